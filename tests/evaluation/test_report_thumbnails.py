"""Thumbnails: small, of the right moment, and none of what cannot be decoded."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.report.thumbnails import MAX_PX, thumbnails_of
from forensics.media.types import MediaLimits


def decoded(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def found(folder: Path, clip_writer) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """Thumbnails of a wide picture, a small one, a clip that turns from red over green to blue, and of three failures."""
    cv2.imwrite(str(folder / "wide.png"), np.full((300, 900, 3), (40, 80, 200), np.uint8))
    cv2.imwrite(str(folder / "small.png"), np.full((24, 32, 3), 90, np.uint8))
    colours = [(220, 20, 20)] * 10 + [(20, 220, 20)] * 10 + [(20, 20, 220)] * 10
    clip_writer(folder / "clip.mp4", [np.full((96, 128, 3), colour, np.uint8) for colour in colours])
    (folder / "text.png").write_bytes(b"no picture at all")
    (folder / "cut.png").write_bytes((folder / "wide.png").read_bytes()[:20])
    names = ("text.png", "wide.png", "cut.png", "gone.png", "small.png", "clip.mp4", "wide.png")
    return thumbnails_of([folder / name for name in names], MediaLimits(max_wall_s=60))


def test_keys_are_the_paths_that_could_be_read(folder: Path, found: dict[str, str]) -> None:
    assert list(found) == [str(folder / name) for name in ("wide.png", "small.png", "clip.mp4")]


def test_long_side_is_reduced_and_nothing_enlarged(folder: Path, found: dict[str, str]) -> None:
    assert decoded(found[str(folder / "wide.png")]).shape == (round(MAX_PX / 3), MAX_PX, 3)
    assert decoded(found[str(folder / "small.png")]).shape == (24, 32, 3)


def test_colours_are_rgb(folder: Path, found: dict[str, str]) -> None:
    assert np.abs(decoded(found[str(folder / "wide.png")]).mean((0, 1)) - (200, 80, 40)).max() < 4


def test_clip_is_shown_by_its_middle(folder: Path, found: dict[str, str]) -> None:
    red, green, blue = decoded(found[str(folder / "clip.mp4")]).mean((0, 1))
    assert green > 180
    assert max(red, blue) < 60


def test_no_paths_no_process() -> None:
    assert thumbnails_of([]) == {}
