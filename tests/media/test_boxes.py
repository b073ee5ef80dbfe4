"""Boxes: files written byte by byte give their fields; whatever their sizes say, reading ends and says what is wrong."""

import io
import struct

import pytest
from box_files import box, full, movie_header, small_movie
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.media.boxes import MAX_DEPTH, BoxReading, read_boxes
from forensics.media.facts_types import MAX_BOXES, MAX_TAG_CHARACTERS


def read(data: bytes) -> BoxReading:
    return read_boxes(io.BytesIO(data))


def fields_of(reading: BoxReading, path: str) -> dict[str, str]:
    (found,) = [found for found in reading.boxes if found.path == path]
    return found.fields


def test_fields_of_a_movie():
    reading = read(small_movie())
    assert reading.problems == ()
    brands = fields_of(reading, "ftyp")
    assert brands == {"major_brand": "isom", "minor_version": "512", "compatible_brands": "isom avc1"}
    header = fields_of(reading, "moov/mvhd")
    # 3,600,000,000 s after 1904-01-01: 41,666 days and 16 hours.
    assert header["creation_time"] == header["modification_time"] == "2018-01-28T16:00:00Z"
    assert header["duration_s"] == "4.000"
    media = fields_of(reading, "moov/trak/mdia/mdhd")
    assert (media["timescale"], media["duration"], media["duration_s"]) == ("12800", "51200", "4.000")
    assert media["modification_time"] > media["creation_time"]
    assert fields_of(reading, "moov/trak/mdia/hdlr") == {"handler_type": "vide", "name": "VideoHandler"}
    track = fields_of(reading, "moov/trak/tkhd")
    assert (track["track"], track["width"], track["height"], track["duration"]) == ("1", "64", "48", "4000")
    assert "creation_time" not in track  # zero: not set
    assert fields_of(reading, "moov/trak/edts/elst")["entry_0"] == "duration 4000, media time 1024, rate 1"
    samples = fields_of(reading, "moov/trak/mdia/minf/stbl/stsd")
    assert (samples["codec"], samples["compressor"]) == ("avc1", "encoder")
    assert fields_of(reading, "moov/udta/meta/ilst/\xa9too") == {"text": "Lavf61.7.100"}
    assert fields_of(reading, "moov/udta/\xa9swr") == {"text": "QuickT"}


def test_offsets_and_sizes_tile_the_file():
    data = small_movie()
    top = [found for found in read(data).boxes if "/" not in found.path]
    assert [found.offset for found in top] == [0, top[0].size, top[0].size + top[1].size]
    assert sum(found.size for found in top) == len(data)
    assert top[-1].kind == "mdat"


@pytest.mark.parametrize("payload", [b"", b"x" * 100])
def test_large_sizes_and_sizes_to_the_end(payload):
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + len(payload)) + payload
    to_the_end = box(b"mdat", payload, size=0)
    reading = read(large + to_the_end)
    assert [(found.kind, found.size) for found in reading.boxes] == [("mdat", len(large)), ("mdat", len(to_the_end))]
    assert reading.problems == ()


def test_user_types_are_told_apart():
    xmp = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>")
    c2pa = box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(40))
    assert [found.fields["holds"] for found in read(xmp + c2pa + box(b"uuid", bytes(16))).boxes] == ["XMP", "C2PA", ""]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (box(b"moov", movie_header(1, 1), size=1 << 20), "are there"),
        (box(b"free", b"1234", size=5), "5 bytes"),
        (struct.pack(">I4sQ", 1, b"mdat", 3) + bytes(9), "3 bytes"),
        (struct.pack(">I4sQ", 1, b"mdat", (1 << 64) - 1), "are there"),
        (box(b"ftyp", b"isom") + b"\1\2\3", "no box"),
        (box(b"moov", box(b"mvhd", bytes(9))), "cut off"),
        (box(b"moov", box(b"free", b"", size=0) + bytes(8)), "end of the file"),
    ],
)
def test_damage_is_said_and_the_rest_is_read(data, problem):
    reading = read(box(b"ftyp", b"isom" + bytes(4)) + data)
    assert any(problem in words for words in reading.problems)
    assert reading.boxes[0].fields["major_brand"] == "isom"
    assert all(found.offset + found.size <= len(data) + 16 for found in reading.boxes)


def test_depth_and_number_have_limits():
    nested = b""
    for _ in range(3 * MAX_DEPTH):
        nested = box(b"moov", nested + box(b"free"))
    reading = read(nested)
    assert max(found.path.count("/") for found in reading.boxes) <= MAX_DEPTH
    assert any("deeper" in words for words in reading.problems)
    many = read(box(b"moov", box(b"free") * 2 * MAX_BOXES) + box(b"mdat"))
    assert len(many.boxes) == MAX_BOXES
    assert many.boxes[-1].offset < len(box(b"free")) * 2 * MAX_BOXES + 16
    assert {"moov", "mdat"} <= {found.path for found in many.boxes}  # the top level comes first
    assert "first 2000 boxes" in many.problems[0]


def test_texts_are_bounded_and_printable():
    text = box(b"\xa9too", box(b"data", struct.pack(">II", 1, 0) + b"\x1b[31m<b>" + b"x" * 3000))
    tags = box(b"moov", box(b"udta", full(b"meta", full(b"hdlr", bytes(20)) + box(b"ilst", text))))
    (found,) = [found for found in read(tags).boxes if found.kind == "\xa9too"]
    assert len(found.fields["text"]) <= MAX_TAG_CHARACTERS
    assert "\x1b" not in found.fields["text"]
    (odd,) = read(struct.pack(">I4s", 8, b"a/\x00\n")).boxes
    assert "/" not in odd.path
    assert odd.path.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([b"moov", b"trak", b"meta", b"stsd", b"elst", b"uuid"]),
                          st.binary(max_size=40)), max_size=6))  # fmt: skip
def test_any_bytes_give_boxes_inside_the_file(parts):
    data = b"".join(struct.pack(">I", size) + kind + payload for size, kind, payload in parts)
    first, second = read(data), read(data)
    assert first == second
    assert all(0 <= found.offset < found.offset + found.size <= len(data) for found in first.boxes)
