"""What stands in for a trained swap in tests: a swapper of one colour a person, clips with a clock and a sound."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np

from forensics.media.reader import MediaReader

BLUE, YELLOW = (40, 60, 220), (210, 200, 40)
SIDE = 64
TICKS = 90_000


def drawn_mask(side: int = SIDE) -> np.ndarray:
    """255 in the middle three quarters of the square."""
    mask = np.zeros((side, side), np.uint8)
    mask[side // 8 : -side // 8, side // 8 : -side // 8] = 255
    return mask


class ColourSwapper:
    """Draws the source's face blue and the target's yellow, whatever it sees; notes how many faces came at a time."""

    image_px, sha256, step = SIDE, "ab" * 32, 7
    config = SimpleNamespace(variant="autoencoder")

    def __init__(self, mask: np.ndarray | None = None) -> None:
        self.mask = drawn_mask() if mask is None else mask
        self.batches: list[int] = []
        self.meta = {"people": {"source": {"clips": ["anna.mp4"]}, "target": {"clips": ["bea 1.mp4", "bea 2.mp4"]}}}

    def draw(self, seen: np.ndarray, person: int) -> tuple[np.ndarray, np.ndarray]:
        assert seen.dtype == np.uint8 and seen.shape[1:] == (SIDE, SIDE, 3)
        self.batches.append(len(seen))
        faces = np.broadcast_to(np.array((BLUE, YELLOW)[person], np.uint8), seen.shape).copy()
        return faces, np.repeat(self.mask[None], len(seen), 0)


def write_timed(
    path: Path, frames: Sequence[np.ndarray], ticks: Sequence[int], clock: Fraction = Fraction(1, TICKS),
    sound_start: int | None = None,
) -> Path:  # fmt: skip
    """Frames with B-frames between them at `ticks` of the clock; from sample `sound_start` on, AAC noise of a second."""
    # The index first: a file that is cut off can still be read.
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "b-adapt": "0", "crf": "12"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p" if stream.height % 2 or stream.width % 2 else "yuv420p"
        stream.time_base = stream.codec_context.time_base = clock
        stream.codec_context.thread_count = 1
        voice = None if sound_start is None else container.add_stream("aac", rate=48_000, layout="mono")
        for tick, picture in zip(ticks, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = int(tick), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            rng = np.random.default_rng(0)
            for number in range(47):
                noise = (0.1 * rng.normal(size=(1, 1024))).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, sound_start + 1024 * number, Fraction(1, 48_000)
                container.mux(voice.encode(frame))
            container.mux(voice.encode())
    return path


def turned(source: Path, target: Path) -> Path:
    """The same MP4, to be shown a quarter turn clockwise (ISO/IEC 14496-12, 8.3.2: the matrix of the track's header)."""
    data = bytearray(source.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times, ids and duration, then 16 bytes more
    one = 1 << 16
    struct.pack_into(">9i", data, matrix, 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def kinds_of(path: Path) -> set[str]:
    """Of pictures: I, P, B."""
    with av.open(str(path)) as container:
        return {"?IPB"[int(frame.pict_type)] for frame in container.decode(video=0)}


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        packets = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


def tags_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {name.lower(): value for name, value in container.metadata.items()}


class SharedReader:
    """In the place of `MediaReader`: the same decoding process for every clip, so that it starts once."""

    def __init__(self, reader: MediaReader) -> None:
        self._reader = reader

    def __call__(self, *_: object) -> "SharedReader":
        return self

    def __enter__(self) -> MediaReader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        pass


def names_in(folder: Path) -> set[str]:
    """Files of a folder, hidden ones and those in folders too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
