"""Still pictures: upright, eight bits, limited before decoding, and what is left of a damaged file."""

import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from PIL import Image, ImageFile

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.media import image
from forensics.media.image import EXIF_ORIENTATION, decode_image, read_image
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import MediaLimits

LOSSLESS = ["PNG", "BMP", "TIFF"]
LIMITS = MediaLimits()


def encode(picture: np.ndarray, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, name, **options)
    return buffer.getvalue()


def decode(data: bytes, limits: MediaLimits = LIMITS):
    return decode_image(data, sniff(data[:HEAD_BYTES]), limits)


def png_that_claims(width: int, height: int) -> bytes:
    """A header, a few bytes of compressed zeros, an end."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def corners() -> np.ndarray:
    """(32, 48, 3): four quarters of different colours, so that every turn and mirror is another picture."""
    picture = np.empty((32, 48, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:] = (200, 0, 0), (0, 200, 0)
    picture[16:, :24], picture[16:, 24:] = (0, 0, 200), (200, 200, 0)
    return picture


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_pixels_come_back(corners, name):
    info, pixels, summary = decode(encode(corners, name))
    assert np.array_equal(pixels, corners)
    assert (pixels.dtype, info.kind, info.width, info.height) == (np.uint8, "image", 48, 32)
    assert summary.is_complete
    assert summary.errors == ()


# What a viewer does to the stored picture for each value (EXIF 2.32, 4.6.4 A): the test's own table, in numpy.
UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", list(UPRIGHT))
def test_exif_orientation_is_applied(corners, orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    info, pixels, _ = decode(encode(corners, "PNG", exif=exif))
    assert np.array_equal(pixels, UPRIGHT[orientation](corners))
    assert (info.height, info.width) == pixels.shape[:2]
    turns = {3: 180, 6: 270, 8: 90}
    if orientation in turns:
        assert info.rotation_deg == turns[orientation]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_impossible_orientation_is_none(corners, value):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value
    info, pixels, _ = decode(encode(corners, "PNG", exif=exif))
    assert np.array_equal(pixels, corners)
    assert info.rotation_deg == 0


def test_sixteen_bits_keep_their_greys():
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (8, 1))
    _, pixels, _ = decode(encode(ramp, "PNG"))
    assert np.array_equal(pixels[0, :, 0], np.arange(256))


def test_transparent_and_palette_pictures_become_rgb(corners):
    with_alpha = np.dstack([corners, np.full((32, 48), 255, np.uint8)])
    _, pixels, _ = decode(encode(with_alpha, "PNG"))
    assert np.array_equal(pixels, corners)
    _, pixels, _ = decode(encode(corners, "GIF"))
    assert pixels.shape == corners.shape
    assert np.abs(pixels.astype(int) - corners).max() < 8


def test_truncated_jpeg_gives_its_upper_part_and_the_error(portrait):
    data = encode(portrait, "JPEG", quality=95)
    _, whole, _ = decode(data)
    _, pixels, summary = decode(data[: len(data) // 2])
    assert not summary.is_complete
    assert summary.errors
    assert np.array_equal(pixels[:128], whole[:128])
    assert not np.array_equal(pixels[-64:], whole[-64:])


def test_a_tolerant_pass_runs_alone(portrait, monkeypatch):
    """A damaged file is held in its tolerant pass until another one is decoded, or cannot go on."""
    halves = [encode(part, "JPEG", quality=95) for part in (portrait, portrait[::-1])]
    held, other = (data[: len(data) // 2] for data in halves)
    expected = [decode(data) for data in (held, other)]
    is_held, may_go_on, original = threading.Event(), threading.Event(), image._open

    def held_open(data, image_format):
        picture = original(data, image_format)
        if data == held and ImageFile.LOAD_TRUNCATED_IMAGES:
            is_held.set()
            may_go_on.wait(60)
        return picture

    monkeypatch.setattr(image, "_open", held_open)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(decode, held)
        assert is_held.wait(60)
        second = pool.submit(decode, other)
        wait([second], timeout=0.3)
        may_go_on.set()
        for future, (_, pixels, summary) in zip((first, second), expected, strict=True):
            assert np.array_equal(future.result()[1], pixels)
            assert future.result()[2] == summary


def test_many_threads_see_what_one_sees(portrait):
    whole = [encode(portrait[k : k + 96], "JPEG") for k in range(0, 240, 10)]
    files = [data[: len(data) // 2] if k % 3 == 0 else data for k, data in enumerate(whole)]
    alone = [decode(data) for data in files]
    with ThreadPoolExecutor(6) as pool:
        beside = list(pool.map(decode, files * 4))
    for (_, pixels, summary), (_, one_pixels, one_summary) in zip(beside, alone * 4, strict=True):
        assert summary == one_summary
        assert np.array_equal(pixels, one_pixels)


@pytest.mark.parametrize("side", [9_000, 50_000, 2_000_000])
def test_bomb_is_refused_by_its_header(side):
    with pytest.raises(MediaError, match=f"{side} x {side}") as caught:
        decode(png_that_claims(side, side))
    assert caught.value.outcome is Outcome.LIMIT_EXCEEDED
    assert "--max-pixels" in caught.value.hint


def test_pixel_limit_is_exact(corners):
    data = encode(corners, "PNG")
    assert decode(data, MediaLimits(max_pixels=32 * 48))[1].shape == (32, 48, 3)
    with pytest.raises(MediaError) as caught:
        decode(data, MediaLimits(max_pixels=32 * 48 - 1))
    assert caught.value.outcome is Outcome.LIMIT_EXCEEDED


def test_header_without_a_body_is_unreadable(corners):
    with pytest.raises(MediaError) as caught:
        decode(encode(corners, "JPEG")[:40])
    assert caught.value.outcome is Outcome.UNREADABLE


def test_bytes_are_not_taken_for_another_format(corners):
    """A JPEG's signature before a PNG: only the JPEG decoder is asked."""
    with pytest.raises(MediaError, match="JPEG"):
        decode(b"\xff\xd8\xff" + encode(corners, "PNG"))


def test_first_frame_of_an_animation(corners):
    buffer = io.BytesIO()
    others = [Image.fromarray(255 - corners), Image.fromarray(corners // 2)]
    Image.fromarray(corners).save(buffer, "GIF", save_all=True, append_images=others)
    info, pixels, _ = decode(buffer.getvalue())
    assert info.frames_claimed == 3
    assert np.abs(pixels.astype(int) - corners).max() < 8


def test_read_image_raises_for_what_is_no_picture(tmp_path, corners):
    (tmp_path / "a.png").write_bytes(encode(corners, "PNG"))
    assert np.array_equal(read_image(tmp_path / "a.png"), corners)
    with pytest.raises(MediaError):
        read_image(tmp_path / "missing.png")
    with pytest.raises(MediaError):
        read_image(tmp_path)
    (tmp_path / "a.avi").write_bytes(b"RIFF\x00\x00\x00\x00AVI LIST")
    with pytest.raises(MediaError, match="video"):
        read_image(tmp_path / "a.avi")
