"""Damaged files of every format: each gives pictures or a typed error, and the reader goes on."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from frame_numbers import numbered_frames
from PIL import Image

from forensics.common.errors import MediaError
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sampling

CUTS = 12
FLIPS = 12
MAX_FLIPPED_BITS = 40
# One file may take this long at most: the reader's limit. All of one format is far below it when nothing hangs.
FILE_LIMIT_S = 25.0
PICTURES = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
CLIPS = [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("ts", "libx264")]

pytestmark = pytest.mark.timeout(240)


def mutants(data: bytes, seed: int) -> list[bytes]:
    """CUTS cut-off copies, then FLIPS copies with 1 to MAX_FLIPPED_BITS bits turned over, half of them near the start."""
    rng = np.random.default_rng(seed)
    cut = [data[: int(length)] for length in rng.integers(0, len(data), CUTS)]
    flipped = []
    for number in range(FLIPS):
        copy = bytearray(data)
        reach = len(data) if number % 2 else min(len(data), 600)
        for _ in range(int(rng.integers(1, MAX_FLIPPED_BITS))):
            copy[int(rng.integers(0, reach))] ^= 1 << int(rng.integers(0, 8))
        flipped.append(bytes(copy))
    return cut + flipped


@pytest.fixture(scope="module")
def reader():
    with MediaReader(MediaLimits(max_wall_s=FILE_LIMIT_S, max_memory_bytes=1 << 30)) as opened:
        yield opened


def survive(reader: MediaReader, data: bytes, path: Path) -> None:
    whole = path.with_name(f"whole{path.suffix}")
    whole.write_bytes(data)
    read_any, refused = 0, 0
    for mutant in mutants(data, seed=len(path.suffix)):
        path.write_bytes(mutant)
        started = time.monotonic()
        try:
            with reader.open(path, Sampling(fps=8, max_frames=8)) as stream:
                shapes = [sample.pixels.shape for sample in stream]
            assert shapes
            assert stream.summary is not None
            assert stream.summary.frames_sampled == len(shapes)
            read_any += 1
        except MediaError as error:
            assert error.message
            assert error.hint
            assert "\n" not in error.message
            refused += 1
        assert time.monotonic() - started < 2 * FILE_LIMIT_S
    assert refused > 0  # otherwise the mutants were not damaged
    with reader.open(whole, Sampling()) as stream:  # and the reader is as it was
        assert list(stream)
        assert stream.summary is not None
        assert stream.summary.is_complete


@pytest.mark.parametrize("name", PICTURES)
def test_damaged_pictures(reader, tmp_path, portrait, name):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture" * 10
    options = {"exif": exif} if name in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    Image.fromarray(portrait[::4, ::4]).save(buffer, name, **options)
    survive(reader, buffer.getvalue(), tmp_path / f"mutant.{name.lower()}")


@pytest.mark.parametrize(("suffix", "codec"), CLIPS)
def test_damaged_clips(reader, tmp_path, clip_writer, suffix, codec):
    clip = clip_writer(tmp_path / f"source.{suffix}", numbered_frames(50), codec=codec)
    survive(reader, clip.read_bytes(), tmp_path / f"mutant.{suffix}")


def test_same_damage_same_result(reader, tmp_path, clip_writer):
    """What is read of a damaged file does not depend on what was read before it."""
    data = clip_writer(tmp_path / "source.mp4", numbered_frames(50)).read_bytes()
    path = tmp_path / "mutant.mp4"

    def outcome(mutant: bytes) -> object:
        path.write_bytes(mutant)
        try:
            with reader.open(path, Sampling()) as stream:
                return [(sample.timestamp_s, sample.pixels.tobytes()) for sample in stream], stream.summary
        except MediaError as error:
            return error.message, error.outcome

    damaged = mutants(data, seed=5)[-6:]
    assert [outcome(mutant) for mutant in damaged] == [outcome(mutant) for mutant in damaged]
