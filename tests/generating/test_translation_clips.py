"""Clips through translators: what is kept of them, what is steadied, and what is done when one is stopped or damaged."""

import csv
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from faceswap_fakes import frames_of, sound_of, tags_of, times_of, turned, write_timed

from forensics.cli import cli
from forensics.common.errors import MediaError, UsageError
from forensics.common.manifest import Item, write_manifest
from forensics.common.progress import Progress
from forensics.media.types import MediaLimits
from generators.config import checked
from generators.faceswap.rendering.colour import to_lab
from generators.provenance import TITLE
from generators.translation import clips, tiles
from generators.translation.applying import apply, items_of_paths
from generators.translation.clips import HowClips
from generators.translation.loaded import LoadedTranslator
from generators.translation.steady import CUT_DISTANCE, Steadier, statistics_of
from generators.translation_config import TranslationConfig
from generators.translator import translator_named

QUIET = Progress(quiet=True)
SIZE = (48, 64)  # height, width


def scene(level: float, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(*size, 3): soft texture about a grey level."""
    noise = np.random.default_rng(seed).normal(0, 12, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    texture = noise.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
    return np.clip(np.rint(level + texture), 0, 255).astype(np.uint8)


def translator(scale: int = 1) -> LoadedTranslator:
    """A network of one layer that gives what it sees, or each pixel `scale` times; not trained."""
    network = torch.nn.Upsample(scale_factor=scale) if scale > 1 else torch.nn.Identity()
    network.reach_px = 0
    name, options = ("srgan", {"scale": scale}) if scale > 1 else ("restore", {"task": "denoise"})
    config = checked(TranslationConfig, {"image_px": 32, **options}, "")
    return LoadedTranslator(translator_named(name), config, network, "ab" * 32, 1, torch.device("cpu"))


def run(paths, folder: Path, loaded=None, smooth_s: float = 0.25, progress: Progress = QUIET):
    return apply(
        loaded or translator(), items_of_paths(paths), folder, how_clips=HowClips(32, smooth_s), progress=progress
    )


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "manifest.csv").open()))


def outputs_of(folder: Path) -> list[Path]:
    return [folder / row["path"] for row in rows_of(folder)]


def means_of(frames) -> np.ndarray:
    """(N, 3) mean of the LAB channels."""
    return np.stack([statistics_of(to_lab(frame)).mean for frame in frames])


def flickering(monkeypatch, by: float = 12.0) -> None:
    """Every other frame of the network becomes lighter, or darker and flatter."""
    count = iter(range(10_000))

    def drawn(loaded, picture, tile_px):
        sign = 1 if next(count) % 2 else -1
        out = picture.astype(float)
        return np.clip((out - out.mean()) * (1 + 0.1 * sign) + out.mean() + by * sign, 0, 255).astype(np.uint8)

    monkeypatch.setattr(clips, "translate", drawn)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (45, 61)])
def test_frames_times_sound_and_tags_are_kept(tmp_path, height, width):
    frames = [scene(60 + 4 * k, size=(height, width)) for k in range(10)]
    clock = Fraction(1, 30_000)
    ticks = [k * 1001 + (700 if k > 5 else 0) for k in range(10)]  # a hitch: the rate is not constant
    source = write_timed(tmp_path / "a.mp4", frames, ticks, clock, sound_start=1000)
    done = run([source], tmp_path / "out")
    assert (done.pictures, done.clips, done.found, done.failed) == (0, 1, 0, ())
    (out,) = outputs_of(tmp_path / "out")
    assert out.parent.name == "clips" and out.suffix == ".mp4"
    assert times_of(out) == times_of(source)
    assert sound_of(out) == sound_of(source) != []
    found = frames_of(out)
    assert {frame.shape for frame in found} == {(48 if height == 48 else 46, 64 if width == 64 else 62, 3)}
    for frame, expected in zip(found, frames, strict=True):
        assert np.abs(frame[:height, :width].astype(int) - expected).mean() < 4
    (row,) = rows_of(tmp_path / "out")
    assert (row["label"], row["generator"], row["made_of"]) == ("1", "restore:denoise", "a.mp4")
    assert tags_of(out)["title"] == TITLE
    assert "TrainedAlgorithmicMedia" in tags_of(out)["description"]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_turned_clip_stays_upright_and_an_enlarged_one_is_larger(tmp_path):
    frame = scene(90)
    frame[:16, :16] = 235
    plain = write_timed(tmp_path / "plain.mp4", [frame] * 3, range(0, 9000, 3000))
    source = turned(plain, tmp_path / "turned.mp4")
    run([source], tmp_path / "out", translator(scale=2))
    (out,) = outputs_of(tmp_path / "out")
    found = frames_of(out)
    expected = np.rot90(frame, -1).repeat(2, 0).repeat(2, 1)
    assert len(found) == 3
    assert found[0].shape == expected.shape == (128, 96, 3)
    assert np.abs(found[0].astype(int) - expected).mean() < 4
    assert rows_of(tmp_path / "out")[0]["generator"] == "srgan:x2"


def test_flicker_is_steadied_and_a_change_of_light_stays(tmp_path, monkeypatch):
    frames = [scene(60 + 3 * k) for k in range(24)]  # grows lighter
    source = write_timed(tmp_path / "a.mp4", frames, range(0, 24 * 3600, 3600))
    light = means_of(frames)[:, 0]
    assert np.diff(light).max() < CUT_DISTANCE
    apart = {}
    for smooth_s in (0.0, 0.25):
        flickering(monkeypatch)
        run([source], tmp_path / str(smooth_s), smooth_s=smooth_s)
        apart[smooth_s] = means_of(frames_of(outputs_of(tmp_path / str(smooth_s))[0]))[:, 0] - light
    assert apart[0.25].var() < apart[0.0].var() / 4
    assert apart[0.25][6:].var() < apart[0.0][6:].var() / 20
    steady = apart[0.25][6:]
    assert light[-1] - light[6] > 15
    assert np.abs(steady - steady.mean()).max() < 1  # it follows the light all the way


def test_smoothing_that_is_off_gives_the_networks_own_frames(tmp_path, monkeypatch):
    flickering(monkeypatch)
    given, seen = [], []
    monkeypatch.setattr(clips, "recompress_clip", lambda frames, *_, **__: [given.append(f) for _, f in frames] and 0)
    plain = clips.translate

    def noted(*job):
        seen.append(plain(*job))
        return seen[-1]

    monkeypatch.setattr(clips, "translate", noted)
    source = write_timed(tmp_path / "a.mp4", [scene(90)] * 4, range(0, 14_400, 3600))
    clips._encode(translator(), source, tmp_path / "silent.mp4", HowClips(32, 0.0), {}, QUIET)
    assert len(given) == 4
    assert all(np.array_equal(a, b) for a, b in zip(given, seen, strict=True))


def test_a_cut_begins_anew():
    dark, light = scene(60, 1), scene(170, 2)
    after_dark, after_light = scene(80, 1), scene(150, 2)  # the network lightens the one and darkens the other
    steadier = Steadier(10.0)
    for k in range(5):
        steadier.steadied(k / 25, dark, after_dark)
    first = steadier.steadied(5 / 25, light, after_light)
    assert np.abs(first.astype(int) - after_light).max() <= 1
    slow = Steadier(10.0)
    near = scene(63, 1)  # no cut: the average goes on
    for k in range(5):
        slow.steadied(k / 25, dark, after_dark)
    (after,) = means_of([slow.steadied(5 / 25, near, near)])
    assert after[0] - means_of([near])[0, 0] > 5


@pytest.mark.parametrize("smooth_s", [-1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(smooth_s):
    with pytest.raises(ValueError, match="0 seconds or more"):
        Steadier(smooth_s)


def test_a_flat_frame_is_not_blown_up():
    flat, textured = np.full((*SIZE, 3), 90, np.uint8), scene(90)
    steadier = Steadier(0.25)
    assert np.array_equal(steadier.steadied(0.0, flat, flat), flat)
    found = steadier.steadied(0.04, flat, textured)
    assert np.ptp(found) <= 2 * np.ptp(textured)


def test_what_is_there_is_found_and_what_is_not_whole_is_done_again(tmp_path, monkeypatch):
    source = write_timed(tmp_path / "a.mp4", [scene(90)] * 6, range(0, 6 * 3600, 3600))
    second = write_timed(tmp_path / "b.mp4", [scene(120)] * 6, range(0, 6 * 3600, 3600))
    plain, count = tiles.translate, iter(range(100))

    def stops(*job):
        if next(count) == 9:
            raise KeyboardInterrupt
        return plain(*job)

    monkeypatch.setattr(clips, "translate", stops)
    with pytest.raises(KeyboardInterrupt):
        run([source, second], tmp_path / "out")
    (whole,) = outputs_of(tmp_path / "out")
    assert [path.name for path in whole.parent.iterdir()] == [whole.name]  # nothing of the second
    before = whole.stat().st_mtime_ns
    done = run([source, second], tmp_path / "out")
    assert (done.clips, done.found) == (2, 1)
    assert whole.stat().st_mtime_ns == before
    assert [len(frames_of(path)) for path in outputs_of(tmp_path / "out")] == [6, 6]
    assert run([source, second], tmp_path / "out").found == 2
    write_timed(source, [scene(60)] * 3, range(0, 3 * 3600, 3600))  # another clip under the same name
    assert run([source, second], tmp_path / "out").found == 1
    assert len(frames_of(whole)) == 3
    with pytest.raises(UsageError, match="another recipe \\(smooth_s\\)"):
        run([source], tmp_path / "out", smooth_s=0.5)


def test_what_cannot_be_read_costs_itself_alone(tmp_path, monkeypatch):
    folder = tmp_path / "clips"
    folder.mkdir()
    whole = write_timed(folder / "whole.mp4", [scene(90)] * 5, range(0, 18_000, 3600), sound_start=0)
    (folder / "broken.mp4").write_bytes(whole.read_bytes()[:40])
    (folder / "empty.mkv").write_bytes(b"")
    (folder / "picture.mp4").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    said, progress = [], Progress(quiet=True)
    monkeypatch.setattr(progress, "say", said.append)
    done = run([folder], tmp_path / "out", progress=progress)
    assert (done.clips, len(done.failed)) == (1, 3)
    assert [path.name for path in (tmp_path / "out" / "clips").iterdir()] == [outputs_of(tmp_path / "out")[0].name]
    left_out = [line for line in said if "left out" in line]
    assert {line.split(":")[0] for line in left_out} == {"broken.mp4", "empty.mkv", "picture.mp4"}
    with pytest.raises(MediaError, match="longer than"):
        how = HowClips(32, limits=MediaLimits(max_wall_s=1e-6))
        clips.translate_clip(translator(), whole, tmp_path / "late.mp4", how, {}, QUIET)
    monkeypatch.setattr(clips, "MAX_FRAMES", 4)
    with pytest.raises(MediaError, match="5 frames, more than 4"):
        clips.translate_clip(translator(), whole, tmp_path / "long.mp4", HowClips(32), {}, QUIET)
    assert not list(tmp_path.glob("l*")) and not list(tmp_path.glob(".l*"))


def test_a_network_that_is_broken_ends_it_all(tmp_path):
    class Broken(torch.nn.Module):
        reach_px = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float("nan")

    source = write_timed(tmp_path / "a.mp4", [scene(90)] * 3, range(0, 9000, 3000))
    loaded = translator()
    broken = LoadedTranslator(loaded.translator, loaded.config, Broken(), "cd" * 32, 1, loaded.device)
    with pytest.raises(UsageError, match="not finite"):
        run([source], tmp_path / "out", broken)
    assert not list((tmp_path / "out" / "clips").iterdir())


def test_the_command_takes_clips_of_manifests_beside_pictures(tmp_path, monkeypatch):
    clip = write_timed(tmp_path / "a.mp4", [scene(90)] * 3, range(0, 9000, 3000))
    cv2.imwrite(str(tmp_path / "b.png"), scene(90))
    (tmp_path / "c.mp4").write_bytes(b"no clip")
    rows = [Item(clip, 1, split="test", generator="other"), Item(tmp_path / "b.png", 0, split="test")]
    write_manifest(tmp_path / "manifest.csv", [*rows, Item(tmp_path / "c.mp4", 0, split="test")])
    monkeypatch.setattr("generators.translation.loaded.load_translator", lambda *_: translator())
    arguments = ["translate", tmp_path, "--model", "any", "--output", tmp_path / "out", "--smooth", "0"]
    first = CliRunner().invoke(cli, ["generate", *map(str, arguments)], standalone_mode=False)
    assert first.return_value == 3, first.output
    assert "1 picture and 1 clip by restore:denoise" in first.output
    assert "c.mp4: left out: not a picture or video" in first.output
    found = {row["made_of"]: row for row in rows_of(tmp_path / "out")}
    assert found.keys() == {"a.mp4", "b.png"}
    assert (found["a.mp4"]["made_of_label"], found["a.mp4"]["label"]) == ("1", "1")
    again = CliRunner().invoke(cli, ["generate", *map(str, arguments)], standalone_mode=False)
    assert "1 picture and 1 clip by restore:denoise, 2 of them there already" in again.output
