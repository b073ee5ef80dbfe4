"""Trained networks as perturbations: what is asked for, what is drawn, and what results and recipes say of it."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from testset_drawings import Drawn, build, bytes_of, items_of

from eval import laundering
from eval.laundering import check_one_each, laundering_of, pinned, reduced_by
from eval.robustness import conditions_of
from eval.testsets.options import BuildOptions
from eval.testsets.verify import rebuild_testset, verify_testset
from eval.variants import PerturbedVariant
from forensics.cli import cli
from forensics.common.errors import ForensicsError, UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.common.progress import Progress
from forensics.media.types import Sampling
from forensics.perturb.grid import GRID
from generators import checkpoint
from generators.checkpoint import find_model, load_generator, write_checkpoint
from generators.translation.loaded import load_translator
from generators.translator import configured, translator_named

RNG = np.random.default_rng(0)
OF = {
    "restore-denoise": ("restore", {"task": "denoise"}),
    "restore-deblock": ("restore", {"task": "deblock"}),
    "srgan-x2": ("srgan", {"scale": 2}),
}


def write_network(path: Path, kind: str, seed: int = 0) -> Path:
    """A tiny network of drawn weights, in half precision as exported ones are."""
    system, values = OF[kind]
    translator = translator_named(system)
    config = configured(translator, "cpu", {"image_px": 32, "picture_px": 0, "width": 4, "blocks": 1, **values})
    torch.manual_seed(seed)
    weights = translator.generator(config).state_dict()
    tensors = {f"average.{name}": value.half() for name, value in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(path, tensors, {"system": system, "config": config.model_dump(mode="json"), "step": 1})
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny networks in the place of those that ship."""
    folder = tmp_path / "shipped"
    for name in OF:
        write_network(folder / f"{name}.safetensors", name)
    monkeypatch.setattr(checkpoint, "SHIPPED", folder)
    return folder


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner(catch_exceptions=False).invoke(cli, [str(part) for part in arguments], standalone_mode=False)
    if isinstance(result.exception, ForensicsError):
        raise result.exception
    return int(result.return_value or 0), result.output


def test_names_stand_for_networks(shipped: Path) -> None:
    assert [str(one) for one in conditions_of(["restore", "srgan", "jpeg:50", "srgan:x2"])] == [
        "restore:denoise", "restore:deblock", "srgan:x2", "jpeg:50",
    ]  # fmt: skip
    assert laundering_of("jpeg:50") == []
    assert {one.name for one in conditions_of([])} == set(GRID)  # only when asked for
    (shipped / "restore-deblock.safetensors").unlink()
    assert [str(one) for one in conditions_of(["restore"])] == ["restore:denoise"]


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("restore:dehaze", "no network is called 'restore:dehaze'", "restore:denoise, restore:deblock, srgan:x2"),
        ("srgan:x4", "no network is called 'srgan:x4'", "restore:denoise=RUN"),
        ("restore=run", "no network is called 'restore'", "there are:"),
        ("restore:denoise=", "names no checkpoint", "restore:denoise=RUN"),
        ("restore:denoise=nowhere", "there is no model 'nowhere'", "a run folder"),
        ("restore:denoise=restore-deblock", "is restore:deblock, not restore:denoise", "there are:"),
        ("restore:denoise@" + "0" * 64, "another checkpoint", "the same file"),
    ],
)
def test_what_cannot_be_is_said_with_what_can(shipped: Path, text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        laundering_of(text)
    assert said in str(error.value)
    assert hint in str(error.value.hint)


def test_without_a_shipped_file_a_run_is_asked_for(shipped: Path) -> None:
    (shipped / "srgan-x2.safetensors").unlink()
    for text in ("srgan:x2", "srgan"):
        with pytest.raises(UsageError, match="ships with this installation") as error:
            laundering_of(text)
        assert error.value.hint == "train one: srgan:x2=RUN"


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "gan.safetensors", {"average.w": torch.zeros(1)}, {"system": "dcgan", "config": {}})
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("gan", "text"):
        with pytest.raises(WeightsError):
            laundering_of(f"restore:denoise={tmp_path / name}.safetensors")


def test_two_checkpoints_of_one_network_are_two_runs(shipped: Path, tmp_path: Path) -> None:
    other = write_network(tmp_path / "other.safetensors", "restore-denoise", seed=1)
    with pytest.raises(UsageError, match="two checkpoints"):
        conditions_of(["restore:denoise", f"restore:denoise={other}"])
    same = laundering_of("restore:denoise") + laundering_of(
        f"restore:denoise={shipped / 'restore-denoise.safetensors'}"
    )
    check_one_each(same)
    assert len(set(same)) == 1


@pytest.mark.parametrize("name", ["restore:denoise", "srgan:x2"])
@pytest.mark.parametrize("size", [(24, 40), (25, 33), (1, 1), (1, 7), (40, 301)])
def test_size_is_kept_and_the_pixels_come_again(shipped: Path, name: str, size: tuple[int, int]) -> None:
    picture = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    before = picture.copy()
    first, again = (laundering_of(name)[0].apply(picture, np.random.default_rng(seed)) for seed in (0, 1))
    assert (first.shape, first.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(first, again)
    assert np.array_equal(picture, before)


def test_enlarged_again_what_was_halved_lies_where_it_lay() -> None:
    picture = np.zeros((5, 7, 3), np.uint8)
    picture[4, 6] = 200  # the odd corner is mirrored, so that its mean is its own
    reduced = reduced_by(picture, 2)
    assert reduced.shape == (3, 4, 3)
    assert reduced[2, 3].tolist() == [200, 200, 200]
    assert reduced.sum() == 600
    assert reduced_by(picture, 1) is picture


def test_several_threads_load_once_and_agree(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generators.translation import loaded

    loads, original = [], loaded.load_translator
    monkeypatch.setattr(loaded, "load_translator", lambda *given: loads.append(given) or original(*given))
    condition = laundering_of("srgan:x2")[0]
    assert not loads
    pictures = [RNG.integers(0, 256, (31, 20, 3), dtype=np.uint8) for _ in range(4)]
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda k=k: found.update({k: condition.apply(pictures[k], RNG)})) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert all(np.array_equal(found[k], condition.apply(pictures[k], RNG)) for k in range(4))


def test_a_checkpoint_that_is_replaced_meanwhile_is_not_used(shipped: Path) -> None:
    condition = laundering_of("restore:denoise")[0]
    write_network(shipped / "restore-denoise.safetensors", "restore-denoise", seed=1)
    with pytest.raises(UsageError, match="changed while it was used"):
        condition.apply(np.zeros((8, 8, 3), np.uint8), RNG)


def test_the_cache_tells_checkpoints_apart(shipped: Path, tmp_path: Path) -> None:
    other = write_network(tmp_path / "other.safetensors", "restore-denoise", seed=1)
    keys = [
        PerturbedVariant(laundering_of(text)[0], Sampling(4.0, 240), 0).key
        for text in ("restore:denoise", f"restore:denoise={other}")
    ]
    assert keys[0] != keys[1]
    assert sha256_of_file(other) in keys[1]
    assert pinned(conditions_of(["jpeg:50"])[0]) == "jpeg:50"  # and what is cached of others is still known


ROWS = [(f"real{level}.png", 0, level, "") for level in (20, 60)] + [
    (f"fake{level}.png", 1, level, "gan") for level in (50, 150)
]


def test_robustness_names_the_network_and_its_checkpoint(
    red_folder, red_detector: Path, shipped: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--perturb", "restore:denoise", "--perturb", "srgan", "--perturb", "blur:2", "--draws", 100, "-q")
    status, printed = run("bench", "robustness", red_folder(ROWS), "--detector", red_detector, "-o", out, *options)
    assert status == 0
    results = json.loads((out / "robustness.json").read_text())
    assert [(part["perturbation"], part["strength"]) for part in results["conditions"]] == [
        ("", None), ("restore:denoise", 1.0), ("srgan:x2", 1.0), ("blur", 2.0),
    ]  # fmt: skip
    assert set(results["outcomes"]) == {"clean", "restore:denoise", "srgan:x2", "blur:2"}
    assert all(part["share_scored"] == 1 for part in results["conditions"])
    digest = sha256_of_file(shipped / "restore-denoise.safetensors")
    assert results["networks"]["restore:denoise"] == digest
    assert set(results["networks"]) == {"restore:denoise", "srgan:x2"}
    table = (out / "robustness.md").read_text()
    assert digest[: laundering.SHORT_DIGITS] in table
    assert "Halved and super-resolved, checkpoint" in table
    assert "Denoised by a network" in (out / "robustness.html").read_text()
    assert "restore:denoise" in printed
    assert "restore:denoise:1" not in printed


def rebuild(made: Path, output: Path):
    return rebuild_testset(made, output, BuildOptions(workers=1, quiet=True), Progress(quiet=True), lambda *_: None)


@pytest.mark.parametrize("is_given", [False, True])
def test_a_set_is_laundered_verified_and_rebuilt_by_the_same_checkpoint_alone(
    shipped: Path, tmp_path: Path, is_given: bool
) -> None:
    drawn = Drawn(tmp_path / "faces", side=33).add_many(2, 0).add_many(2, 1, generator="gan").write()
    used = shipped / "restore-denoise.safetensors"
    text = f"restore:denoise={used}" if is_given else "restore:denoise"
    build(tmp_path / "set", [drawn], [drawn], perturb=("jpeg:50", text), encode="png", audit=False)
    items = items_of(tmp_path / "set")
    assert [item.extra["perturbation"] for item in items].count("restore:denoise") == 4
    assert verify_testset(tmp_path / "set", Progress(quiet=True), workers=1) == []
    digest = sha256_of_file(used)
    record = json.loads((tmp_path / "set" / "testset.json").read_text())
    assert record["recipe"]["options"]["perturb"] == ["jpeg:50", f"{text}@{digest}"]
    assert "torch" in record["environment"]
    assert digest in (tmp_path / "set" / "DATASHEET.md").read_text()
    rebuilt = rebuild(tmp_path / "set", tmp_path / "again")
    assert rebuilt.agrees, rebuilt.lines
    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "again")
    write_network(used, "restore-denoise", seed=1)
    with pytest.raises(UsageError, match="another checkpoint"):
        rebuild(tmp_path / "set", tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_what_ships_is_what_it_is_called() -> None:
    for name, network in laundering.NETWORKS.items():
        loaded = load_translator(network.shipped, torch.device("cpu"))
        assert loaded.what == name
        assert next(loaded.network.parameters()).dtype == torch.float32
        assert {v.dtype for v in load_file(str(find_model(network.shipped))).values()} == {torch.float16}
        with pytest.raises(WeightsError, match="draws pictures from pictures"):
            load_generator(find_model(network.shipped), torch.device("cpu"))
    _, printed = run("generate", "list", "--format", "json")
    known = json.loads(printed)
    assert [card["what"] for card in known["shipped_translators"]] == ["restore:deblock", "restore:denoise", "srgan:x2"]
    assert not {card["name"] for card in known["shipped"]} & set(OF)
