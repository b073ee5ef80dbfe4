"""Quantisation tables: the family is named, re-saves of camera files are hinted at, never called more than suspicious."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from forensics.analysis.jpeg_tables import ANALYSIS, examine
from forensics.analysis.protocol import File
from forensics.media.facts_types import FileFacts, Marker
from forensics.media.jpeg_markers import read_jpeg
from forensics.media.traits import IJG_CHROMA, IJG_LUMA

CAMERA = {"exif.Make": "Maker", "exif.Model": "M1"}
EXIF_FIRST = (Marker("APP1", 2, 400, "Exif"), Marker("DQT", 402, 134, ""))


def file_of(pixels: np.ndarray, tags: dict[str, str] | None = None, **options: object) -> File:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    facts = FileFacts("jpeg", len(data), 1, tags or {}, (), read_jpeg(data).facts, None, 0, ())
    return File(facts, "picture.jpg")


def own_tables(seed: int) -> list[list[int]]:
    """Tables of a camera maker: the standard ones, each frequency scaled by its own factor."""
    rng = np.random.default_rng(seed)
    return [
        np.clip(np.rint(base * rng.uniform(0.05, 0.4) * rng.uniform(0.6, 1.4, 64)), 1, 255).astype(int).tolist()
        for base in (IJG_LUMA, IJG_CHROMA)
    ]


def as_from_camera(pixels: np.ndarray, seed: int) -> File:
    """A picture as a camera writes it: its own tables, Exif and no JFIF."""
    file = file_of(pixels, CAMERA, qtables=own_tables(seed))
    return File(replace(file.facts, jpeg=replace(file.facts.jpeg, markers=EXIF_FIRST)), file.name)


def make_positive(pixels: np.ndarray, seed: int) -> File:
    """A camera's picture saved again by a library that keeps the tags."""
    rng = np.random.default_rng(seed)
    return file_of(pixels, CAMERA, quality=int(rng.integers(50, 96)), exif=b"Exif\0\0II*\0", progressive=bool(seed % 2))


@pytest.fixture(scope="module")
def small(portrait) -> np.ndarray:
    return np.ascontiguousarray(portrait[::8, ::8])


def test_suspicious_for_most_positives_and_no_camera_file(small):
    """A second save is ordinary handling: more than suspicious it cannot be."""
    states = [examine(make_positive(small, seed)).state for seed in range(20)]
    assert states.count("suspicious") >= 16
    assert "inconsistent" not in states
    assert all(examine(as_from_camera(small, seed)).state == "consistent" for seed in range(20))


@pytest.mark.parametrize("quality", [5, 30, 75, 95, 100])
def test_resaved_pictures_without_camera_tags_are_consistent(small, quality):
    finding = examine(file_of(small, quality=quality))
    assert (finding.state, finding.statistic) == ("consistent", 0.0)
    assert finding.measures["quality"] == quality
    assert finding.measures["is_ijg"] is True
    assert f"quality {quality}" in finding.observation


def test_families(small):
    custom = file_of(small, qtables=own_tables(1))
    assert "custom tables" in examine(custom).observation
    with_segments = replace(custom.facts.jpeg, markers=(Marker("APP13", 2, 40, "Photoshop"),))
    assert "Photoshop" in examine(File(replace(custom.facts, jpeg=with_segments), "a.jpg")).observation
    assert "camera maker" in examine(as_from_camera(small, 1)).observation
    same_for_both = file_of(small, qtables=[IJG_LUMA.tolist(), IJG_LUMA.tolist()])
    assert examine(same_for_both).measures["is_ijg"] is True


def test_mixed_qualities_are_no_libraries(small):
    mixed = file_of(small, qtables=[IJG_LUMA.tolist(), (IJG_CHROMA // 3).tolist()])
    assert examine(mixed).measures["is_ijg"] is False


def test_high_quality_standard_tables_of_a_phone_are_no_hint(small):
    file = file_of(small, CAMERA, quality=96)
    phone = File(replace(file.facts, jpeg=replace(file.facts.jpeg, markers=EXIF_FIRST)), file.name)
    assert examine(phone).state == "consistent"


def test_what_cannot_be_judged(small):
    grey = file_of(small[..., 0], quality=80)
    assert examine(grey).measures["chroma_quality"] is None
    assert examine(File(replace(grey.facts, jpeg=None, container="png"), "a.png")).state == "not applicable"
    without = replace(grey.facts.jpeg, tables=(), quality=None, misfit=None)
    assert examine(File(replace(grey.facts, jpeg=without), "a.jpg")).state == "inconclusive"
    odd = replace(grey.facts.jpeg, tables=((65535,) * 64, (0,) * 64), misfit=65000.0)
    assert examine(File(replace(grey.facts, jpeg=odd), "a.jpg")).state == "consistent"


def test_it_names_what_decides_and_repeats(small):
    assert {"suspicious_at", "max_ijg_misfit", "min_camera_quality"} <= set(ANALYSIS.parameters)
    first, second = (examine(make_positive(small, 3)) for _ in range(2))
    assert (first.observation, first.measures) == (second.observation, second.measures)
