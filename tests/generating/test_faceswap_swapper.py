"""A trained swap as a file: strangers' checkpoints are believed no further than their tensors, and swaps stay inside."""

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faceswap_people import write_people

from forensics.common.errors import ForensicsError, UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.media.image import read_image
from generators.checkpoint import load_generator, read_checkpoint, write_checkpoint
from generators.faceswap.alignment import warped
from generators.faceswap.config import SwapConfig
from generators.faceswap.training.networks import SwapNetwork
from generators.faceswap.training.preview import COLUMNS, resized, seen, sheet, spread_over
from generators.faceswap.training.previewing import folders_of, write_preview
from generators.faceswap.training.swapper import exported, find_swap, load_swapper
from generators.faceswap.training.warp_pairs import SEEN_FROM, SEEN_PX, seen_by

CPU = torch.device("cpu")
CONFIG = SwapConfig(image_px=32, width=8, latent=16, device="cpu")


def tensors_for(config: SwapConfig = CONFIG, **extra: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"network.{name}": value for name, value in SwapNetwork(config).state_dict().items()} | extra


def meta_for(config: SwapConfig = CONFIG, **changes: Any) -> dict[str, Any]:
    plain = {
        "system": "faceswap",
        "config": config.model_dump(mode="json"),
        "step": 7,
        "game": {"n": 1},
        "rollbacks": 0,
    }
    return {**plain, "best": None, **changes}


def write(path: Path, config: SwapConfig = CONFIG, **changes: Any) -> Path:
    write_checkpoint(path, tensors_for(config), meta_for(config, **changes))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model.safetensors")


def faces(n: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 256, 256, 3), dtype=np.uint8)


# -- what is loaded


@pytest.mark.parametrize("variant", ["autoencoder", "gan"])
@pytest.mark.parametrize("px", [32, 48])
def test_what_was_written_draws_as_it_did(tmp_path: Path, variant: Any, px: int) -> None:
    config = CONFIG.model_copy(update={"variant": variant, "image_px": px})
    path = write(tmp_path / "m.safetensors", config)
    swapper = load_swapper(path, CPU)
    assert (swapper.step, swapper.image_px, swapper.sha256) == (7, px, sha256_of_file(path))
    torch.manual_seed(0)
    network = SwapNetwork(config).eval()
    given = seen(faces(2), px)
    x = torch.from_numpy(given).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits = network(x, 1)
        expected = torch.sigmoid(logits[:, :3])
        if variant == "gan":
            alpha = torch.sigmoid(logits[:, 4:])
            expected = alpha * expected + (1 - alpha) * x
    drawn, mask = swapper.draw(given, 1)
    assert drawn.shape == (2, px, px, 3)
    assert np.abs(drawn - expected.permute(0, 2, 3, 1).numpy() * 255).max() < 0.6
    assert np.abs(mask - torch.sigmoid(logits[:, 3]).numpy() * 255).max() < 0.6
    one = swapper.draw(given[1:], 1)[0]
    assert np.abs(one[0].astype(int) - drawn[1]).max() <= 1  # whatever else is in the batch


def test_an_exported_file_is_small_and_draws_alike(tmp_path: Path) -> None:
    critics = {"critics.0.layers.0.bias": torch.ones(9), "optimizer.network.0.exp_avg": torch.zeros(1 << 20)}
    whole = tmp_path / "whole.safetensors"
    people = {"source": {"clips": ["jane_doe.mp4"], "sha256": "ab"}, "target": {"clips": [], "sha256": "cd"}}
    write_checkpoint(whole, tensors_for(**critics), meta_for(people=people))
    half = tmp_path / "half.safetensors"
    exported(whole, half)
    tensors, meta = read_checkpoint(half)
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert tensors.keys() == tensors_for().keys()
    assert not {"game", "rollbacks", "best"} & meta.keys()
    assert meta["people"] == {"source": {"sha256": "ab"}, "target": {"sha256": "cd"}}
    assert b"jane_doe" not in half.read_bytes()
    assert half.stat().st_size < 2 * sum(v.numel() for v in tensors_for().values()) + 20_000
    given = seen(faces(), 32)
    for person in (0, 1):
        (a, mask_a), (b, mask_b) = (load_swapper(path, CPU).draw(given, person) for path in (whole, half))
        assert np.abs(a.astype(int) - b).max() <= 2
        assert np.abs(mask_a.astype(int) - mask_b).max() <= 2
    with pytest.raises(WeightsError, match="is no face swap"):
        exported(write(tmp_path / "gan.safetensors", system="dcgan"), tmp_path / "no.safetensors")
    assert not (tmp_path / "no.safetensors").exists()


# -- strangers' files


def test_garbage_and_torn_files_are_typed_errors(tmp_path: Path, model: Path) -> None:
    good = model.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for content in (b"", b"nonsense", good[:1000], good[: len(good) // 2], b"\xff" * 64):
        bad.write_bytes(content)
        with pytest.raises(WeightsError):
            load_swapper(bad, CPU)
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(good)
        data[int(rng.integers(0, 6000))] ^= 1 << int(rng.integers(0, 8))
        bad.write_bytes(bytes(data))
        try:
            load_swapper(bad, CPU).swap(faces(1), "source")
        except WeightsError:
            continue
    with pytest.raises(WeightsError):
        load_swapper(tmp_path / "nothing.safetensors", CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": "dcgan"}, "is no face swap"),
        ({"system": None}, "is no face swap"),
        ({"config": None}, "bad.safetensors"),
        ({"config": []}, "bad.safetensors"),
        ({"config": {"image_px": 40}}, "option 'image_px'"),
        ({"config": {"image_px": 1 << 40}}, "option 'image_px'"),
        ({"config": {"width": "wide"}}, "option 'width'"),
        ({"config": {"made_up": 1}}, "made_up"),
        ({"step": "seven"}, "seven"),
        ({"step": None}, "bad.safetensors"),
        ({"step": 1e400}, "bad.safetensors"),
    ],
)
def test_metadata_that_say_something_else_are_typed_errors(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_checkpoint(tmp_path / "bad.safetensors", tensors_for(), meta_for() | changes)
    with pytest.raises(WeightsError, match=message):
        load_swapper(tmp_path / "bad.safetensors", CPU)


@pytest.mark.parametrize("missing", ["system", "config", "step"])
def test_metadata_that_miss_something_are_typed_errors(tmp_path: Path, missing: str) -> None:
    meta = meta_for()
    del meta[missing]
    write_checkpoint(tmp_path / "bad.safetensors", tensors_for(), meta)
    with pytest.raises(WeightsError):
        load_swapper(tmp_path / "bad.safetensors", CPU)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    name = "network.encoder.code.0.weight"
    missing = tensors_for()
    del missing[name]
    cut = tensors_for() | {name: torch.zeros(3, 3)}
    more = tensors_for(**{"network.encoder.more": torch.zeros(1)})
    for tensors, named in ((missing, "encoder.code.0.weight"), (cut, "encoder.code.0.weight"), (more, "encoder.more")):
        write_checkpoint(path, tensors, meta_for())
        with pytest.raises(WeightsError, match=f"do not fit its sizes: {named}"):
            load_swapper(path, CPU)
    for other in ({"width": 16}, {"latent": 32}, {"image_px": 64}, {"variant": "gan"}):
        write_checkpoint(path, tensors_for(), meta_for(CONFIG.model_copy(update=other)))
        with pytest.raises(WeightsError, match="do not fit its sizes"):
            load_swapper(path, CPU)


def test_enormous_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """512 px, 512 channels and a code of 8192 are 280 GB of weights, if they were made."""
    huge = SwapConfig(image_px=512, width=512, latent=8192, device="cpu")
    with torch.device("meta"):
        assert sum(v.numel() for v in SwapNetwork(huge).parameters()) * 4 > 200e9
    path = tmp_path / "bad.safetensors"
    write_checkpoint(path, tensors_for(), meta_for(huge))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match="do not fit its sizes"):
        load_swapper(path, CPU)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_weights_that_are_no_numbers_are_a_typed_error(tmp_path: Path) -> None:
    bad = tensors_for() | {"network.decoders.0.last.bias": torch.full((4,), float("nan"))}
    write_checkpoint(tmp_path / "bad.safetensors", bad, meta_for())
    swapper = load_swapper(tmp_path / "bad.safetensors", CPU)
    with pytest.raises(WeightsError, match="not finite"):
        swapper.swap(faces(1), "source")
    swapper.swap(faces(1), "target")  # the other decoder is whole


def test_a_swap_is_no_generator_and_a_generator_no_swap(tmp_path: Path, model: Path) -> None:
    with pytest.raises(WeightsError):
        load_generator(model, CPU)
    write_checkpoint(tmp_path / "gan.safetensors", {"average.w": torch.zeros(2)}, {"system": "dcgan", "step": 1})
    with pytest.raises(WeightsError, match="is no face swap") as caught:
        load_swapper(tmp_path / "gan.safetensors", CPU)
    assert "faceswap train" in caught.value.hint


def test_find_swap_finds_runs_and_files_and_says_what_is_missing(tmp_path: Path, model: Path) -> None:
    assert find_swap(str(model)) == model
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(UsageError, match="holds no checkpoint"):
        find_swap(str(run))
    for step in (5, 12):
        write(run / "checkpoints" / f"step-{step:08d}.safetensors")
    assert find_swap(str(run)).name == "step-00000012.safetensors"
    for spec in ("nothing", "../faceswap/config", "a/b", ""):
        with pytest.raises(UsageError) as caught:
            find_swap(spec)
        assert caught.value.hint


# -- swapping


def test_a_swap_changes_only_what_the_network_sees(model: Path) -> None:
    swapper = load_swapper(model, CPU)
    given = faces()
    kept = given.copy()
    out, mask = swapper.swap(given, "target")
    np.testing.assert_array_equal(given, kept)
    assert (out.shape, out.dtype) == (given.shape, np.uint8)
    assert (mask.shape, mask.dtype) == ((3, 256, 256), np.float32)
    assert 0 <= mask.min() <= mask.max() <= 1
    # Pixel centres k that lie within the outer centres of what is seen: 18 + 220 (j + .5) / P, j = 0 and P - 1.
    half = SEEN_PX / 32 / 2
    first, last = int(np.ceil(SEEN_FROM + half)), int(SEEN_FROM + SEEN_PX - half)
    inside = np.zeros((256, 256), bool)
    inside[first : last + 1, first : last + 1] = True
    np.testing.assert_array_equal(out[:, ~inside], given[:, ~inside])
    assert (mask[:, ~inside] == 0).all()
    # And what it sees is all replaced: an untrained decoder's grey in the place of noise.
    core = slice(first + 1, last)
    assert (mask[:, core, core] > 0).all()
    assert np.abs(out[:, core, core].astype(int) - given[:, core, core]).mean() > 30


def test_a_swap_lies_where_the_face_was(tmp_path: Path) -> None:
    """A decoder that draws the input (alpha of 0): there and back, a smooth face is itself."""
    config = CONFIG.model_copy(update={"variant": "gan", "image_px": 128})
    tensors = tensors_for(config)
    bias = tensors["network.decoders.1.last.bias"].clone()
    bias[4] = -50
    tensors["network.decoders.1.last.bias"] = bias
    tensors["network.decoders.1.last.weight"] = torch.zeros_like(tensors["network.decoders.1.last.weight"])
    write_checkpoint(tmp_path / "m.safetensors", tensors, meta_for(config))
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    face = np.stack([128 + 90 * np.sin(x / 20 + k) * np.cos(y / 25) for k in range(3)], -1).round().astype(np.uint8)
    out, mask = load_swapper(tmp_path / "m.safetensors", CPU).swap(face[None], "target")
    assert np.abs(out[0].astype(int) - face).max() <= 4
    assert np.median(mask[0][60:200, 60:200]) == pytest.approx(0.5, abs=0.01)


def test_people_are_source_and_target(model: Path) -> None:
    swapper = load_swapper(model, CPU)
    given = faces(1)
    seen_now = np.stack([warped(given[0], seen_by(32), 32)])
    for to, person in (("source", 0), ("target", 1)):
        drawn, _ = swapper.draw(seen_now, person)
        out, _ = swapper.swap(given, to)
        np.testing.assert_allclose(out[0][60:200, 60:200].mean((0, 1)), drawn[0].mean((0, 1)), atol=8)
    assert not np.array_equal(swapper.swap(given, "source")[0], swapper.swap(given, "target")[0])


# -- previews


def test_a_sheet_shows_face_reconstruction_swap_and_mask() -> None:
    """Four pictures for either person, row by row: drawn by a stand-in that writes who drew."""
    px = 32

    def draw(given: np.ndarray, person: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full_like(given, 100 + 50 * person), np.full(given.shape[:3], 10 * (person + 1), np.uint8)

    source = np.stack([np.full((px, px, 3), level, np.uint8) for level in (1, 2, 3)])
    target = source + 5
    picture = sheet(draw, source, target)
    assert picture.dtype == np.uint8
    height, width = picture.shape[0] // 3, picture.shape[1] // COLUMNS
    assert min(height, width) >= px
    values = [[int(np.median(picture[r * height : (r + 1) * height, c * width : (c + 1) * width])) for c in range(8)]
              for r in range(3)]  # fmt: skip
    assert values == [[1 + r, 100, 150, 20, 6 + r, 150, 100, 10] for r in range(3)]


def test_faces_for_a_preview_are_spread_and_cut_as_the_network_sees_them() -> None:
    assert spread_over(3, 3) == [0, 1, 2]
    assert spread_over(100, 4) == [12, 37, 62, 87]
    assert spread_over(1, 3) == [0, 0, 0]
    x = np.arange(256)
    ramp = np.broadcast_to(x[None, :, None], (256, 256, 3)).astype(np.uint8)[None]
    expected = SEEN_FROM + SEEN_PX * (np.arange(64) + 0.5) / 64
    np.testing.assert_allclose(seen(ramp, 64)[0, 30, 2:-2, 0], expected[2:-2], atol=1)
    # Of half the size: pixel k covers 2k and 2k + 1.
    small = np.broadcast_to(np.arange(128)[None, :, None], (128, 128, 3)).astype(np.uint8)[None]
    np.testing.assert_allclose(resized(small, 64)[0, 30, 4:-4, 0], (expected[4:-4] - 0.5) / 2, atol=1.1)


def test_a_preview_of_a_file_needs_to_know_whose_faces(tmp_path: Path, model: Path) -> None:
    sets = {"source": write_people(tmp_path / "a", "oval", 3, 2), "target": write_people(tmp_path / "b", "block", 3, 0)}
    picture = tmp_path / "out" / "preview.png"
    with pytest.raises(UsageError, match="does not say whose faces") as caught:
        write_preview(str(model), picture, {"source": sets["source"]}, 2)
    assert "--target DIR" in caught.value.hint
    write_preview(str(model), picture, sets, 2)
    height, width = read_image(picture).shape[:2]
    assert height // 32 == 2
    assert width // 32 == 8
    with pytest.raises(UsageError, match="exists"):
        write_preview(str(model), picture, sets, 2)
    with pytest.raises(UsageError, match="is no PNG"):
        write_preview(str(model), tmp_path / "preview.jpg", sets, 2)
    assert folders_of(str(model)) == {}
    (tmp_path / "run.json").write_text("of something else")
    elsewhere = write(tmp_path / "models" / "m.safetensors")
    assert folders_of(str(elsewhere)) == {}
    inside = write(tmp_path / "checkpoints" / "m.safetensors")
    write_preview(str(inside), picture.with_name("other.png"), sets, 2)  # both are given: no record is asked
    assert folders_of("nothing at all") == {}


def test_any_metadata_are_a_swap_or_a_typed_error(tmp_path: Path) -> None:
    """Fields replaced at random by values of other kinds."""
    rng = np.random.default_rng(1)
    odd = [None, True, -1, 0, 1e308, "x", [], {}, [[]], {"a": 1}, 2**70]
    base = json.dumps(meta_for())
    for _ in range(60):
        meta = json.loads(base)
        place = meta if rng.random() < 0.3 else meta["config"]
        place[str(rng.choice(list(place)))] = odd[int(rng.integers(len(odd)))]
        write_checkpoint(tmp_path / "odd.safetensors", tensors_for(), meta)
        try:
            load_swapper(tmp_path / "odd.safetensors", CPU)
        except ForensicsError as error:
            assert isinstance(error, WeightsError)
