"""Segments of a JPEG: as Pillow writes them, as a test writes them, and damaged."""

import io

import numpy as np
import pytest
from PIL import Image

from forensics.media.facts_types import MAX_MARKERS
from forensics.media.jpeg_markers import ZIGZAG, read_jpeg, zigzag_to_rows


def jpeg(picture: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def small(portrait) -> np.ndarray:
    return np.ascontiguousarray(portrait[::4, ::8])


def segment(code: int, payload: bytes, length: int | None = None) -> bytes:
    return bytes([0xFF, code]) + (len(payload) + 2 if length is None else length).to_bytes(2, "big") + payload


@pytest.mark.parametrize("quality", [10, 50, 75, 92, 100])
@pytest.mark.parametrize(("sampling", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_tables_sampling_and_size_of_what_pillow_writes(small, quality, sampling, name):
    data = jpeg(small, quality=quality, subsampling=sampling)
    facts = read_jpeg(data).facts
    assert (facts.width, facts.height) == (64, 128)
    assert (facts.quality, facts.misfit, facts.subsampling) == (quality, 0.0, name)
    with Image.open(io.BytesIO(data)) as picture:  # Pillow gives row order
        assert [list(table) for table in facts.tables] == [list(picture.quantization[number]) for number in (0, 1)]
    assert [marker.name for marker in facts.markers][:3] == ["APP0", "DQT", "DQT"]
    assert facts.markers[0].holds == "JFIF"
    assert (facts.trailing_bytes, facts.end_markers, facts.is_progressive) == (0, 1, False)


def test_zigzag_is_that_of_figure_a6():
    assert ZIGZAG[:10] == (0, 1, 8, 16, 9, 2, 3, 10, 17, 24)
    assert ZIGZAG[-3:] == (55, 62, 63)
    assert sorted(ZIGZAG) == list(range(64))
    assert zigzag_to_rows(tuple(range(64)))[:4] == (0, 1, 5, 6)


def test_sixteen_bit_tables(small):
    data = jpeg(small, quality=50, qtables=[list(range(1, 65))])
    at = data.index(b"\xff\xdb")
    raw = data[at + 5 : at + 5 + 64]
    wide = segment(0xDB, b"\x10" + b"".join((256 * v).to_bytes(2, "big") for v in raw))
    facts = read_jpeg(data[:at] + wide + data[at + 4 + 65 :]).facts
    assert facts.tables[0] == tuple(256 * v for v in read_jpeg(data).facts.tables[0])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_what_lies_behind_the_true_end(small, options):
    data = jpeg(small, quality=95, **options)
    trailing = b"\0\0hidden\xff\xd9 more"
    reading = read_jpeg(data + trailing)
    assert reading.trailing == trailing
    assert reading.facts.trailing_bytes == len(trailing)
    assert reading.facts.end_markers == 2
    assert reading.facts.is_progressive == ("progressive" in options)
    assert reading.problems == []


def test_an_end_marker_inside_a_segment_is_not_the_end(small):
    data = jpeg(small, comment=b"a\xff\xd9b", exif=b"Exif\0\0" + b"\xff\xd9" * 9)
    reading = read_jpeg(data)
    assert (reading.facts.trailing_bytes, reading.facts.end_markers) == (0, 1)
    assert reading.payloads["COM"] == [b"a\xff\xd9b"]
    assert {"Exif", "JFIF"} <= {marker.holds for marker in reading.facts.markers}


@pytest.mark.parametrize(
    ("code", "start", "holds"),
    [
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>", "XMP"),
        (0xE2, b"ICC_PROFILE\0\1\1", "ICC"),
        (0xE2, b"MPF\0II", "MPF"),
        (0xED, b"Photoshop 3.0\x008BIM", "Photoshop"),
        (0xEE, b"Adobe\0d", "Adobe"),
        (0xE1, b"something else", ""),
    ],
)
def test_what_segments_hold(small, code, start, holds):
    data = jpeg(small)
    reading = read_jpeg(data[:2] + segment(code, start) + data[2:])
    assert reading.facts.markers[0].holds == holds
    assert reading.facts.markers[0].offset == 2
    assert reading.facts.markers[0].size == len(start) + 4


def test_size_of_a_c2pa_store_over_two_segments(small):
    description = (8 + 25).to_bytes(4, "big") + b"jumd" + b"c2pa" + bytes(12) + b"\x03c2pa\0" + bytes(3)
    head = (900).to_bytes(4, "big") + b"jumb"
    first = b"JP\0\1" + (1).to_bytes(4, "big") + head + description + bytes(400 - len(description))
    second = b"JP\0\1" + (2).to_bytes(4, "big") + head + bytes(492)
    other = b"JP\0\2" + (1).to_bytes(4, "big") + head + bytes(100)
    data = jpeg(small)
    reading = read_jpeg(data[:2] + segment(0xEB, first) + segment(0xEB, second) + segment(0xEB, other) + data[2:])
    assert reading.c2pa_bytes == 900
    assert read_jpeg(data).c2pa_bytes == 0


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", bytes(1000), b"\xff" * 1000]
)
def test_too_little_for_facts(data):
    assert read_jpeg(data).facts is None


def test_damage_is_said(small):
    data = jpeg(small)
    frame = data.index(b"\xff\xc0")
    cut = read_jpeg(data[: frame + 30])
    assert any("no end marker" in words for words in cut.problems)
    assert read_jpeg(data[:-2]).facts.end_markers == 0
    wrong = read_jpeg(data[:2] + segment(0xE5, b"", length=1) + data[2:])
    assert any("no possible length" in words for words in wrong.problems)
    short_table = read_jpeg(data[:2] + segment(0xDB, bytes(20)) + data[2:])
    assert any("cut off" in words for words in short_table.problems)
    assert short_table.facts.quality == 75
    stray = read_jpeg(data[:2] + b"abc" + data[2:])
    assert any("3 bytes" in words for words in stray.problems)
    assert stray.facts.quality == 75


def test_many_segments_are_cut_and_said(small):
    data = jpeg(small)
    reading = read_jpeg(data[:2] + segment(0xEF, b"x") * 3 * MAX_MARKERS + data[2:])
    assert len(reading.facts.markers) == MAX_MARKERS
    assert any("markers are listed" in words for words in reading.problems)
    assert reading.facts.quality == 75


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", [b"x\xff\xe5\0\2", b"\xff\xeb\0\4JP", b"\xff\xd8", b"\xff", b"\xff\xda\0\2"])
def test_a_file_of_nothing_but_markers_costs_little(pattern):
    reading = read_jpeg(b"\xff\xd8" + pattern * 1_000_000)
    assert reading.facts is None
    assert len(reading.problems) <= 20
    assert sum(map(len, reading.payloads.values())) <= MAX_MARKERS
