"""Arcs between latents, and the strips and clips along them."""

import math
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from forensics.cli import cli
from forensics.common.errors import UsageError
from generators.checkpoint import load_generator, write_checkpoint
from generators.drawing import draw_latents, draw_pictures
from generators.interpolation import Place, frames_along, keyframes, path_between, shown_in_strip, slerp
from generators.monitor.grid import GAP_PX
from generators.provenance import COMMENT
from generators.system import configured, system_named
from generators.video import enlarged, write_gif, write_mp4


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Untrained generators whose pictures differ."""
    folder, made = tmp_path_factory.mktemp("models"), {}
    for name, class_names in (("dcgan", []), ("cgan", ["cat", "dog"])):
        system = system_named(name)
        config = configured(system, "cpu", {"image_px": 16, "width": 4, "latent": 8, "classes": len(class_names)})
        torch.manual_seed(0)
        weights = system.generator(config).state_dict()
        loud = {f"average.{key}": 8 * value if value.dim() == 4 else value for key, value in weights.items()}
        meta = {"system": name, "config": config.model_dump(mode="json"), "step": 7, "class_names": class_names}
        made[name] = folder / f"{name}.safetensors"
        write_checkpoint(made[name], loud, meta)
    return made


def load(path):
    return load_generator(path, torch.device("cpu"))


def pictures_of(loaded, n, **options):
    return np.concatenate(list(draw_pictures(loaded, n, 0, **options)))


# -- arcs


def test_the_arc_of_a_quarter_circle():
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    for t in (0, 0.25, 1 / 3, 0.5, 1):
        expected = [math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)]
        assert slerp(a, b, t) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 64), st.floats(0, 1))
def test_arcs_keep_lengths_and_divide_angles(seed, n, t):
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, n))
    a, b = (np.asarray(x / np.linalg.norm(x), np.float32) for x in (u, v))
    between = slerp(a, b, t).astype(np.float64)
    angle = math.acos(np.clip(a.astype(float) @ b.astype(float), -1, 1))
    if 0.01 < angle < math.pi - 0.01:
        assert np.linalg.norm(between) == pytest.approx(1, abs=1e-5)
        assert math.acos(np.clip(between @ a, -1, 1)) == pytest.approx(t * angle, abs=2e-3)


def test_arcs_go_both_ways_and_end_where_they_should():
    a, b = draw_latents(2, 16, seed=0)
    assert (slerp(a, b, 0) == a).all() and (slerp(a, b, 1) == b).all()
    assert np.allclose(slerp(a, b, 0.3), slerp(b, a, 0.7), atol=1e-6)
    # The straight line's middle is nearer to the origin than any sample; the arc's is not.
    shortest = min(np.linalg.norm(a), np.linalg.norm(b))
    assert np.linalg.norm((a + b) / 2) < 0.9 * shortest < np.linalg.norm(slerp(a, b, 0.5))


@pytest.mark.parametrize(("factor", "middle"), [(1, 1.0), (3, 2.0), (-1, 0.0)])
def test_where_there_is_no_arc_a_line_is_taken(factor, middle):
    a = np.array([1, 2, 3], np.float32)
    assert np.allclose(slerp(a, factor * a, 0.5), middle * a, atol=1e-6)


def test_nothing_has_no_direction():
    zero, a = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert np.allclose(slerp(zero, a, 0.25), 0.25 * a)


def test_paths_pass_through_their_keyframes():
    keys = draw_latents(3, 8, seed=0)
    path = path_between(keys, 4, loop=False)
    assert path.shape == (9, 8) and path.dtype == np.float32
    assert (path[[0, 4, 8]] == keys).all()
    round_trip = path_between(keys, 4, loop=True)
    assert round_trip.shape == (12, 8)
    assert (round_trip[:9] == path).all()
    assert (round_trip[9:] == path_between(keys[[2, 0]], 4, loop=False)[1:4]).all()


def test_keyframes_are_samples_and_ends_may_be_others(models):
    loaded = load(models["dcgan"])
    keys = keyframes(loaded, 4, seed=0, first=Place(3, 17), last=Place(5, 2))
    plain = draw_latents(4, 8, seed=0)
    assert (keys[1:3] == plain[1:3]).all()
    assert (keys[0] == draw_latents(18, 8, seed=3)[17]).all()
    assert (keys[3] == draw_latents(3, 8, seed=5)[2]).all()
    with pytest.raises(UsageError, match="keyframes"):
        keyframes(loaded, 1, seed=0)


def test_frames_at_keyframes_are_the_samples(models):
    loaded = load(models["dcgan"])
    frames = list(frames_along(loaded, path_between(draw_latents(3, 8, seed=0), 20, loop=False), None))
    assert len(frames) == 41
    samples = pictures_of(loaded, 3)
    for k in range(3):  # another row of the batch may change a last bit
        assert np.abs(frames[20 * k].astype(int) - samples[k]).max() <= 1
    steps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    assert max(steps) < 0.5 * np.abs(samples[0].astype(int) - samples[1]).mean()


def test_a_class_is_kept_along_the_way(models):
    loaded = load(models["cgan"])
    keys = draw_latents(2, 8, seed=0)
    for label in (None, 1):
        frames = list(frames_along(loaded, path_between(keys, 4, loop=False), label))
        samples = pictures_of(loaded, 2, label=label or 0)
        assert np.abs(frames[0].astype(int) - samples[0]).max() <= 1
        assert np.abs(frames[-1].astype(int) - samples[1]).max() <= 1


@pytest.mark.parametrize(("text", "place"), [("3/17", Place(3, 17)), ("17", Place(0, 17)), ("0/0", Place(0, 0))])
def test_places_are_read(text, place):
    assert Place.parse(text) == place


@pytest.mark.parametrize("text", ["", "/", "3/", "/4x", "-1/2", "1/2/3", "a/1", "1.5"])
def test_what_is_no_place_is_an_error(text):
    with pytest.raises(UsageError, match="place"):
        Place.parse(text)


# -- files


def numbered(n, side=32):
    """Frames whose grey level is their number."""
    return [np.full((side, side, 3), 10 + 20 * k, np.uint8) for k in range(n)]


def test_a_strip_has_a_row_for_each_step():
    assert shown_in_strip(n_steps=2, frames_per_step=4, loop=False).tolist() == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]]
    assert shown_in_strip(2, 4, loop=True)[1].tolist() == [4, 5, 6, 7, 0]  # back at the first
    assert shown_in_strip(1, 800, loop=False).tolist() == [list(range(0, 801, 100))]


def test_paths_have_an_end():
    with pytest.raises(UsageError, match="20000"):
        path_between(np.zeros((201, 2), np.float32), 100, loop=False)


def test_an_mp4_holds_the_frames_at_their_times(tmp_path):
    assert write_mp4(tmp_path / "a.mp4", numbered(10), 30) == 10
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert [time for time, _ in decoded] == pytest.approx([k / 30 for k in range(10)], abs=1e-4)
    for k, (_, picture) in enumerate(decoded):
        assert picture.mean() == pytest.approx(10 + 20 * k, abs=4)
    write_mp4(tmp_path / "b.mp4", numbered(10), 30)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_an_mp4_says_what_it_is(tmp_path):
    write_mp4(tmp_path / "a.mp4", numbered(3), 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        tags = dict(container.metadata)
    assert tags["comment"] == COMMENT and COMMENT.startswith("Synthetic")
    assert tags["description"].endswith("newscodes/digitalsourcetype/trainedAlgorithmicMedia")


def test_a_gif_holds_the_frames_and_says_what_it_is(tmp_path):
    assert write_gif(tmp_path / "a.gif", numbered(6), 25) == 6
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"], gif.info["loop"]) == (6, 40, 0)
        assert gif.info["comment"] == COMMENT.encode()
        for k in range(6):
            gif.seek(k)
            assert np.asarray(gif.convert("RGB")).mean() == pytest.approx(10 + 20 * k, abs=1)


def test_no_frames_are_no_clip(tmp_path):
    for write in (write_gif, write_mp4):
        with pytest.raises(ValueError, match="at least one frame"):
            write(tmp_path / "a", [], 25)
    assert not list(tmp_path.iterdir())


def test_frames_are_enlarged():
    frame = numbered(1, 8)[0]
    assert enlarged(frame, 8) is frame
    for side in (20, 3):
        assert enlarged(frame, side).shape == (side, side, 3)
        assert (enlarged(frame, side) == 10).all()


# -- the command


def run(*arguments):
    return CliRunner().invoke(cli, ["generate", "interpolate", *map(str, arguments), "-q"])


def test_a_folder_gets_a_strip_and_two_clips(models, tmp_path):
    result = run(models["dcgan"], "-o", tmp_path / "out", "--keyframes", 3, "--frames-per-step", 4, "--loop")
    assert result.exit_code == 0, result.output
    assert "3 keyframes, 12 frames" in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "interpolation.gif", "interpolation.mp4", "interpolation.png",
    ]  # fmt: skip
    with Image.open(tmp_path / "out" / "interpolation.png") as sheet:
        assert sheet.size == (5 * 16 + 4 * GAP_PX, 3 * 16 + 2 * GAP_PX)
    with Image.open(tmp_path / "out" / "interpolation.gif") as gif:
        assert (gif.size, gif.n_frames) == ((256, 256), 12)
    again = run(models["dcgan"], "-o", tmp_path / "out")
    assert isinstance(again.exception, UsageError) and "exists" in again.exception.message


def test_one_file_between_two_samples(models, tmp_path):
    target = tmp_path / "new" / "pair.mp4"
    result = run(
        models["cgan"],
        "-o",
        target,
        "--from",
        "0/3",
        "--to",
        "1/4",
        "--class",
        "dog",
        "--size",
        64,
        "--frames-per-step",
        5,
    )
    assert result.exit_code == 0, result.output
    with av.open(str(target)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6 and frames[0].shape == (64, 64, 3)
    loaded = load(models["cgan"])
    sample = pictures_of(loaded, 1, start=3, label=1)[0]
    assert np.abs(frames[0].astype(int) - enlarged(sample, 64)).mean() < 12  # but for H.264's halved colours


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("-o", "a.avi"), "avi"),
        (("-o", "a", "--from", "x"), "place"),
        (("-o", "a", "--class", "0"), "classes"),
        (("-o", "a.mp4", "--fps", "nan"), "finite"),
        (("-o", "a.mp4", "--truncation", "nan"), "finite"),
        (("-o", "a.png", "--size", 4096), "points"),
        (("-o", "a.gif", "--size", 4096), "points"),
        (("-o", "a.mp4", "--frames-per-step", 10_000), "20000"),
    ],
)
def test_options_that_cannot_be_are_errors(models, tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    result = run(models["dcgan"], *arguments)
    assert isinstance(result.exception, UsageError) and word in result.exception.message
    assert not list(tmp_path.iterdir())
