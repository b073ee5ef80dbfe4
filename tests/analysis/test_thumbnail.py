"""The preview: agrees with its picture however it was made, and does not agree with another one."""

import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from forensics.analysis.protocol import File
from forensics.analysis.thumbnail import ANALYSIS, examine, match_preview
from forensics.media.facts_types import FileFacts

FACTS = FileFacts("jpeg", 1, 1, {}, (), None, None, 0, ())
SHOWN_PX = 256


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Six different public-domain pictures at the size at which an analysis is shown them."""
    grey = [np.repeat(picture[..., None], 3, 2) for picture in (data.camera(), data.coins())]
    return [
        _fit(picture, SHOWN_PX) for picture in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), *grey)
    ]


def _fit(pixels: np.ndarray, side: int) -> np.ndarray:
    factor = side / max(pixels.shape[:2])
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def preview_of(pixels: np.ndarray, side: int = 160, quality: int = 60) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(_fit(pixels, side)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def part_of(pixels: np.ndarray, rng: np.random.Generator, least: float) -> np.ndarray:
    """A part with at least that share of the side, anywhere."""
    height, width = (round(side * float(rng.uniform(least, 1.0))) for side in pixels.shape[:2])
    y, x = int(rng.integers(0, pixels.shape[0] - height + 1)), int(rng.integers(0, pixels.shape[1] - width + 1))
    return np.ascontiguousarray(pixels[y : y + height, x : x + width])


def make_positive(pictures: list[np.ndarray], seed: int) -> File:
    """A picture whose preview is that of another one."""
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(len(pictures))[:2]
    thumbnail = preview_of(part_of(pictures[second], rng, 0.8), quality=int(rng.integers(40, 90)))
    return File(FACTS, "a.jpg", thumbnail, pictures[first])


def make_ordinary(pictures: list[np.ndarray], seed: int) -> File:
    """A picture that was cropped, brightened and saved again after its preview was made."""
    rng = np.random.default_rng(seed)
    whole = pictures[int(rng.integers(len(pictures)))]
    edited = part_of(whole, rng, 0.7)
    edited = np.clip(255 * (edited / 255.0) ** rng.uniform(0.7, 1.4) * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)
    return File(FACTS, "a.jpg", preview_of(whole), preview_of(edited, SHOWN_PX, int(rng.integers(30, 95))))


def test_inconsistent_for_most_positives_and_hardly_for_ordinary_files(pictures):
    assert sum(examine(make_positive(pictures, seed)).state == "inconsistent" for seed in range(20)) >= 16
    assert sum(examine(make_ordinary(pictures, seed)).state == "inconsistent" for seed in range(20)) <= 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_orientation_does_not_matter(pictures, turns, mirrored):
    turned = np.ascontiguousarray(np.rot90(pictures[0][:, ::-1] if mirrored else pictures[0], turns))
    finding = examine(File(FACTS, "a.jpg", preview_of(pictures[0]), turned))
    assert finding.state == "consistent"
    assert (finding.measures["lies"] == "as it is stored") == (turns == 0 and not mirrored)
    assert bool(finding.maps) == (turns == 0 and not mirrored)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("kind", ["bars", "cropped to a square", "stretched", "small"])
def test_previews_of_every_make(pictures, number, kind):
    picture = pictures[number]
    preview = preview_of(picture)
    if kind == "bars":
        height, width = preview.shape[:2]
        preview = (
            np.pad(preview, ((10, 10), (0, 0), (0, 0)))
            if width >= height
            else np.pad(preview, ((0, 0), (10, 10), (0, 0)))
        )
    elif kind == "cropped to a square":
        side = min(preview.shape[:2])
        y, x = ((length - side) // 2 for length in preview.shape[:2])
        preview = preview[y : y + side, x : x + side]
    elif kind == "stretched":
        preview = cv2.resize(preview, (160, 120), interpolation=cv2.INTER_AREA)
    else:
        preview = preview_of(picture, 80, 30)
    assert examine(File(FACTS, "a.jpg", preview, picture)).state == "consistent"


def test_the_map_shows_where_they_differ(pictures):
    picture = pictures[0].copy()
    picture[20:90, 20:90] = pictures[1][20:90, 20:90]
    finding = examine(File(FACTS, "a.jpg", preview_of(pictures[0]), picture))
    (difference,) = finding.maps
    height, width = difference.values.shape
    y, x = np.unravel_index(int(np.argmax(difference.values)), (height, width))
    assert 20 / 256 - 0.05 < y / height < 90 / 256 + 0.05
    assert 20 / 256 - 0.05 < x / width < 90 / 256 + 0.05


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (1, 5000), (5000, 1), (40, 400), (300, 300)])
@pytest.mark.parametrize("value", ["flat", "black", "noise"])
def test_odd_pictures(pictures, shape, value):
    rng = np.random.default_rng(1)
    level = {"flat": 128, "black": 0}.get(value, 0)
    odd = rng.integers(0, 256, (*shape, 3), np.uint8) if value == "noise" else np.full((*shape, 3), level, np.uint8)
    for first, second in ((odd, pictures[0]), (pictures[0], odd), (odd, odd)):
        finding = examine(File(FACTS, "a.jpg", first, second))
        assert finding.state in ("inconclusive", "inconsistent", "suspicious", "consistent")
        if value != "noise" or min(shape) < 24:
            assert finding.state == "inconclusive"
        assert finding.statistic is None or math.isfinite(finding.statistic)
        assert all(np.isfinite(part.values).all() and part.values.dtype == np.float32 for part in finding.maps)


def test_nothing_to_compare(pictures):
    assert examine(File(FACTS, "a.jpg", None, pictures[0])).state == "not applicable"
    assert examine(File(FACTS, "a.jpg", pictures[0], None)).state == "not applicable"
    assert ANALYSIS.parameters["inconsistent_at"] > ANALYSIS.parameters["suspicious_at"]


def test_it_is_deterministic(pictures):
    first, second = (match_preview(preview_of(pictures[2]), pictures[3]) for _ in range(2))
    assert (first.correlation, first.how) == (second.correlation, second.how)
