"""A file is what its first bytes say; everything that is not in the tables is refused before a decoder sees it."""

import io

import numpy as np
import pytest
from frame_numbers import numbered_frames
from PIL import Image

from forensics.common.errors import MediaError
from forensics.media.sniff import HEAD_BYTES, MEDIA_SUFFIXES, Format, extension_fits, sniff


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_picture_as_pillow_writes_it(name):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, name)
    assert sniff(buffer.getvalue()[:HEAD_BYTES]) == Format("image", name)


@pytest.mark.parametrize(
    ("suffix", "codec", "demuxer"),
    [
        ("mp4", "libx264", "mov"),
        ("mov", "mpeg4", "mov"),
        ("mkv", "libx264", "matroska"),
        ("webm", "libvpx-vp9", "matroska"),
        ("avi", "mpeg4", "avi"),
        ("ts", "libx264", "mpegts"),
        ("mpg", "mpeg2video", "mpeg"),
        ("flv", "flv1", "flv"),
        ("wmv", "wmv2", "asf"),
    ],
)
def test_clip_as_ffmpeg_writes_it(tmp_path, clip_writer, suffix, codec, demuxer):
    path = clip_writer(tmp_path / f"clip.{suffix}", numbered_frames(30), codec=codec)
    with path.open("rb") as file:
        found = sniff(file.read(HEAD_BYTES))
    assert found == Format("video", demuxer)
    assert path.suffix in MEDIA_SUFFIXES
    assert extension_fits(path.suffix, demuxer) is True


@pytest.mark.parametrize(
    "script",
    [
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"file other.mp4\n",
        b"\n #EXTM3U\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXTINF:10,\nhttp://example.org/other.ts\n",
    ],
)
def test_script_that_plays_other_files_is_named_as_such(script):
    with pytest.raises(MediaError, match="playlist script") as caught:
        sniff(script)
    assert caught.value.hint


@pytest.mark.parametrize(
    "head",
    [
        b"a film about nothing",
        b"BMW drivers, a study",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x7fELF" + bytes(100),
        b"%PDF-1.7",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"G" * 300,
        bytes(HEAD_BYTES),
        b"\xff",
    ],
)
def test_anything_else_is_refused(head):
    with pytest.raises(MediaError, match="not a picture or video"):
        sniff(head)


def test_empty_file_says_so():
    with pytest.raises(MediaError, match="empty"):
        sniff(b"")


def test_heic_says_what_to_do():
    with pytest.raises(MediaError, match="HEIC") as caught:
        sniff(b"\x00\x00\x00\x18ftypheic" + bytes(100))
    assert "PNG" in caught.value.hint


@pytest.mark.parametrize(
    ("suffix", "container", "fits"),
    [
        (".MP4", "mov", True),
        (".jpg", "mov", False),
        (".webm", "matroska,webm", True),
        ("", "mov", None),
        (".x", "?", None),
    ],
)
def test_extension_against_container(suffix, container, fits):
    assert extension_fits(suffix, container) is fits
