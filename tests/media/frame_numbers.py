"""Clips whose every frame says which one it is: the number lies in twelve black or white blocks that lossy codecs keep."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT = 64, 48
BLOCK_PX = 16
BITS = 12


def numbered_frame(number: int) -> np.ndarray:
    """(48, 64, 3) uint8 RGB: 3 rows of 4 blocks, bit i of the number in block i."""
    frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, WIDTH // BLOCK_PX)
        value = 235 if number >> bit & 1 else 20
        frame[row * BLOCK_PX : (row + 1) * BLOCK_PX, column * BLOCK_PX : (column + 1) * BLOCK_PX] = value
    return frame


def number_of(pixels: np.ndarray) -> int:
    """The number in a decoded frame, by the middle of each block."""
    middles = pixels[BLOCK_PX // 2 :: BLOCK_PX, BLOCK_PX // 2 :: BLOCK_PX, 1].reshape(-1)
    return sum(1 << bit for bit, value in enumerate(middles) if value > 128)


def numbered_frames(count: int) -> list[np.ndarray]:
    return [numbered_frame(number) for number in range(count)]


def write_timed_clip(path: Path, times_ms: list[int], codec: str = "libx264") -> Path:
    """Frame n is shown at times_ms[n]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_index_first(source: Path, target: Path) -> Path:
    """The same MP4 with its index before the pictures, as files are made that play while they load."""
    with av.open(str(source)) as before, av.open(str(target), "w", options={"movflags": "faststart"}) as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(before.streams.video[0]):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    return target


def with_display_matrix(source: Path, target: Path, quarter_turns_clockwise: int) -> Path:
    """The same MP4 with another matrix in its track header (ISO/IEC 14496-12, 8.3.2): how players turn the picture."""
    data = bytearray(source.read_bytes())
    # After the type: version and flags, times, track id, reserved, duration (20 bytes in version 0), then 16 more.
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns_clockwise]
    one = 1 << 16
    struct.pack_into(">9i", data, matrix, a * one, b * one, 0, -b * one, a * one, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target
