"""What a file says, through the decoding child: read, bounded, and not believed."""

import io
import json
import struct
import textwrap
from pathlib import Path

import numpy as np
import pytest
from box_files import box, small_movie
from frame_numbers import numbered_frames
from PIL import Image

from forensics.common.errors import MediaError
from forensics.media import reader as reader_module
from forensics.media.facts import THUMBNAIL_PX, facts_of_header, header_of_facts, read_facts
from forensics.media.facts_types import (
    MAX_BOXES,
    MAX_MARKERS,
    MAX_PACKETS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    Box,
    FileFacts,
    JpegFacts,
    Marker,
    PacketFacts,
)
from forensics.media.reader import MAX_HEADER_BYTES, MediaReader
from forensics.media.types import MediaLimits, Sampling

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def reader():
    with MediaReader(MediaLimits(max_wall_s=30.0)) as opened:
        yield opened


@pytest.fixture(scope="module")
def clip(tmp_path_factory, clip_writer) -> Path:
    return clip_writer(tmp_path_factory.mktemp("clip") / "clip.mp4", numbered_frames(30), gop=10)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif_with_preview(preview: bytes) -> bytes:
    """A first directory with Software, a second one with the preview's offset and length."""
    software = b"GIMP 2.10\0"
    first = struct.pack("<HHHIII", 1, 0x0131, 2, len(software), 26, 26 + len(software))
    second_at = 26 + len(software)
    at = second_at + 2 + 24 + 4
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, at, 0x0202, 4, 1, len(preview), 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + software + second + preview


def test_a_clip(reader, clip):
    facts, thumbnail = read_facts(reader, clip)
    assert thumbnail is None
    assert (facts.container, facts.size_bytes, facts.jpeg) == ("mov", clip.stat().st_size, None)
    assert {"ftyp", "moov/trak/mdia/mdhd", "mdat"} <= {found.path for found in facts.boxes}
    assert facts.tags["container.encoder"].startswith("Lavf")
    assert facts.tags["video.codec"] == "h264"
    assert facts.tags["video.signature"].startswith("x264 - core")
    assert facts.tags["video.x264.keyint"] == "10"
    assert len(facts.packets.sizes) == 30
    assert sum(facts.packets.is_key) == 3
    assert facts.problems == ()


@pytest.mark.parametrize(("suffix", "container"), [("mkv", "matroska"), ("ts", "mpegts")])
def test_clips_without_boxes(reader, tmp_path, clip_writer, suffix, container):
    facts, _ = read_facts(reader, clip_writer(tmp_path / f"clip.{suffix}", numbered_frames(10)))
    assert (facts.container, facts.boxes, len(facts.packets.sizes)) == (container, (), 10)


def test_a_jpeg_with_a_preview(reader, tmp_path, portrait):
    preview = np.ascontiguousarray(portrait[::4, ::4])
    path = tmp_path / "picture.jpg"
    path.write_bytes(jpeg(portrait[::2, ::2], quality=83, exif=exif_with_preview(jpeg(preview)), comment=b"hello"))
    facts, thumbnail = read_facts(reader, path)
    assert thumbnail.shape == preview.shape
    assert np.abs(thumbnail.astype(int) - preview).mean() < 8
    assert (facts.container, facts.jpeg.quality, facts.jpeg.misfit) == ("jpeg", 83, 0.0)
    assert facts.tags["exif.Software"] == "GIMP 2.10"
    assert facts.tags["jpeg.comment"] == "hello"


def test_previews_are_reduced_and_damaged_ones_are_said(reader, tmp_path, portrait):
    path = tmp_path / "picture.jpg"
    wide = np.repeat(portrait[::8], 2, axis=1)  # 64 x 1024
    path.write_bytes(jpeg(portrait[::4, ::4], exif=exif_with_preview(jpeg(wide, quality=50))))
    _, thumbnail = read_facts(reader, path)
    assert thumbnail.shape == (32, THUMBNAIL_PX, 3)
    path.write_bytes(jpeg(portrait[::4, ::4], exif=exif_with_preview(b"\xff\xd8\xff" + bytes(500))))
    facts, thumbnail = read_facts(reader, path)
    assert thumbnail is None
    assert any("preview" in words for words in facts.problems)


def test_the_preview_of_jfif(reader, tmp_path, portrait):
    data = jpeg(portrait[::4, ::4])
    pixels = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3)
    payload = b"JFIF\0\1\2\0\0\1\0\1" + bytes([6, 4]) + pixels.tobytes()
    path = tmp_path / "picture.jpg"
    path.write_bytes(data[:2] + b"\xff\xe0" + struct.pack(">H", len(payload) + 2) + payload + data[20:])
    _, thumbnail = read_facts(reader, path)
    np.testing.assert_array_equal(thumbnail, pixels)


def test_xmp_and_c2pa_in_boxes(reader, tmp_path):
    xmp = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b'<x xmp:CreatorTool="Tool 1"/>')
    store = box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(500))
    path = tmp_path / "clip.mp4"
    path.write_bytes(small_movie() + xmp + store)
    facts, _ = read_facts(reader, path)
    assert facts.tags["xmp.CreatorTool"] == "Tool 1"
    assert facts.c2pa_bytes == len(store)
    assert facts.packets is None  # the sample tables are missing
    assert facts.problems


@pytest.mark.parametrize("content", [b"", b"just text", b"ffconcat version 1.0\nfile x.mp4\n"])
def test_what_is_no_media_is_refused(reader, tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError):
        read_facts(reader, path)
    with pytest.raises(MediaError):
        read_facts(reader, tmp_path / "missing.mp4")


def test_the_reader_goes_on_with_frames(reader, clip):
    first = read_facts(reader, clip)
    with reader.open(clip, Sampling(max_frames=2)) as stream:
        assert len(list(stream)) == 2
    assert read_facts(reader, clip) == first


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "mp4"])
def test_damaged_files_give_facts_or_a_typed_error(reader, tmp_path, portrait, clip, name):
    data = clip.read_bytes()
    if name != "mp4":
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0131] = "Software"
        Image.fromarray(portrait[::8, ::8]).save(buffer, name, exif=exif)
        data = buffer.getvalue()
    rng = np.random.default_rng(len(name))
    path = tmp_path / "damaged"
    n_read = 0
    for number in range(10):
        damaged = bytearray(data if number % 2 else data[: int(rng.integers(12, len(data)))])
        for _ in range(12 * (number % 2)):
            damaged[int(rng.integers(4, min(len(damaged), 900)))] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        try:
            facts, _ = read_facts(reader, path)
            assert facts.size_bytes == len(damaged)
            n_read += 1
        except MediaError as error:
            assert error.message
    assert n_read > 0


def worst_facts() -> FileFacts:
    """As much of everything as can be kept, in characters that take most bytes."""
    text = "\U0001f600" * MAX_TAG_CHARACTERS
    marker = Marker("0x01", 2**40, 2**16, "Photoshop")
    table = tuple([65535] * 64)
    jpeg_facts = JpegFacts(65535, 65535, (table,) * 16, 100, 99.9, "other", True, (marker,) * MAX_MARKERS, 2**40, 2**40)
    times = tuple(round(1e6 + n / 3, 6) for n in range(MAX_PACKETS))
    packets = PacketFacts(times, (2**31 - 1,) * MAX_PACKETS, (True,) * MAX_PACKETS, True)
    boxes = tuple(Box("\U0001f600" * 60, 2**62, 2**62, {"text": text}) for _ in range(MAX_BOXES))
    tags = {f"{n}{text}"[:60]: text for n in range(MAX_TAGS)}
    return FileFacts("matroska", 2**62, 8, tags, boxes, jpeg_facts, packets, 2**62, (text,) * 60)


def test_the_worst_message_is_below_the_limit_and_says_what_it_lost():
    header = json.dumps(header_of_facts(worst_facts()) | {"has_thumbnail": True})
    assert len(header) < MAX_HEADER_BYTES
    assert len(header) > MAX_HEADER_BYTES // 2  # else this was not the worst
    facts = facts_of_header(json.loads(header))
    assert 0 < len(facts.boxes) < MAX_BOXES
    assert any("boxes are left out" in words for words in facts.problems)
    assert facts.packets == worst_facts().packets
    assert facts.jpeg == worst_facts().jpeg


@pytest.mark.parametrize(
    "change",
    [
        {"packets": {"count": MAX_PACKETS + 1, "times_s": "", "sizes": "", "is_key": "", "is_cut_short": False}},
        {"packets": {"count": 2, "times_s": "AAAA", "sizes": "AAAA", "is_key": "AA==", "is_cut_short": False}},
        {
            "packets": {
                "count": 1,
                "times_s": "AAAAAAAA+H8=",
                "sizes": "AAAAAA==",
                "is_key": "AA==",
                "is_cut_short": False,
            }
        },
        {"packets": {"count": 1}},
        {"packets": 5},
        {"tags": {"a": 5}},
        {"tags": {str(n): "" for n in range(MAX_TAGS + 1)}},
        {"boxes": [{"path": "a"}]},
        {"jpeg": {"width": "wide"}},
        {"orientation": float("nan")},
        {"problems": ["\ud800"]},
    ],
)
def test_headers_that_lie_are_refused(change):
    header = header_of_facts(FileFacts("png", 1, 1, {}, (), None, None, 0, ()))
    assert facts_of_header(header).container == "png"
    with pytest.raises((ValueError, TypeError, KeyError)):
        facts_of_header(header | change)


@pytest.mark.parametrize(
    "messages",
    [
        '[({"type": "info"}, b"")]',
        '[({"type": "facts"}, b"")]',
        '[({**GOOD, "has_thumbnail": True}, b""), ({"type": "sample", "h": 2, "w": 2}, bytes(5))]',
        '[({**GOOD, "has_thumbnail": True}, b""), ({"type": "end"}, b"")]',
        '[({**GOOD, "has_thumbnail": True}, b""), ({"type": "sample", "h": 513, "w": 1}, bytes(3 * 513))]',
    ],
)
def test_a_child_that_lies_is_caught(tmp_path, monkeypatch, messages):
    """A child that a hostile file has taken over may send anything."""
    good = header_of_facts(FileFacts("png", 1, 1, {}, (), None, None, 0, ()))
    script = f"""
        import json, struct, sys
        GOOD = json.loads({json.dumps(good)!r})
        def send(header, payload):
            head = json.dumps(header).encode()
            sys.stdout.buffer.write(struct.pack("<II", len(head), len(payload)) + head + payload)
            sys.stdout.buffer.flush()
        send({{"type": "ready"}}, b"")
        sys.stdin.readline()
        for header, payload in {messages}:
            send(header, payload)
        sys.stdin.readline()
    """
    program = tmp_path / "child.py"
    program.write_text(textwrap.dedent(script))
    real = reader_module.subprocess.Popen
    monkeypatch.setattr(
        reader_module.subprocess, "Popen", lambda command, **options: real([command[0], str(program)], **options)
    )
    with MediaReader(MediaLimits(max_wall_s=20.0)) as lying, pytest.raises(MediaError):
        read_facts(lying, program)
