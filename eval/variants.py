"""Perturbed copies of items, made from what the decoding child gives of the original, and scored in its place.

A picture's copy is a PNG: lossless, so that the detectors get the very pixels that the perturbation gave. A clip's copy
holds the frames that a scan samples, each perturbed, as far apart in time as they were, in lossless H.264 (4:2:0, as the
clip was); under the perturbation `h264` it holds all its frames, compressed at the CRF asked for, so that prediction over
time takes part.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from eval.laundering import AnyCondition, pinned
from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_text
from forensics.common.seeds import rng_for
from forensics.media.reader import MediaReader, MediaStream
from forensics.media.types import Sampling
from forensics.perturb.clip import recompress_clip
from forensics.perturb.picture import Picture

# More than any clip has: every frame is wanted.
ALL_FRAMES = Sampling(fps=240.0, max_frames=100_000)
LOSSLESS_CRF = 0
WHOLE_CLIP = "h264"
PNG_COMPRESSION = 1  # read once and removed
KEPT_BYTES = 256 << 20
SEED_DIGITS = 15


class DecodedPictures:
    """Pixels of pictures by the hash of their file, so that one that is perturbed in many ways is decoded once.

    Keeps what comes first, up to a number of bytes; safe to use from several threads.
    """

    def __init__(self, max_bytes: int = KEPT_BYTES) -> None:
        self._left, self._lock = max_bytes, threading.Lock()
        self._pixels: dict[str, Picture] = {}

    def get(self, sha256: str) -> Picture | None:
        """The picture, if it was kept."""
        return self._pixels.get(sha256)

    def put(self, sha256: str, pixels: Picture) -> None:
        """Keep a picture, if there is room."""
        with self._lock:
            if sha256 not in self._pixels and pixels.nbytes <= self._left:
                self._left -= pixels.nbytes
                self._pixels[sha256] = pixels


@dataclass(frozen=True)
class PerturbedVariant:
    """Items under one condition. The noise of an item depends on the seed, its bytes, the condition and the frame.

    `decoded` is shared by the conditions of a run.
    """

    condition: AnyCondition
    sampling: Sampling
    seed: int
    decoded: DecodedPictures = field(default_factory=DecodedPictures, compare=False)

    @property
    def key(self) -> str:
        """What, beside the original's hash, a copy depends on."""
        return f"perturbed {pinned(self.condition)} seed {self.seed}"

    def make(self, original: Path, sha256: str, reader: MediaReader, folder: Path) -> Path:
        """Write the copy of one item. Raises MediaError where the original cannot be decoded or gives no frame."""
        known = self.decoded.get(sha256)
        if known is not None:
            return self._picture(known, sha256, folder / "picture.png")
        is_whole_clip = self.condition.name == WHOLE_CLIP
        with reader.open(original, ALL_FRAMES if is_whole_clip else self.sampling) as stream:
            if stream.info.kind == "image":
                pixels = _only_picture(stream)
                self.decoded.put(sha256, pixels)
                return self._picture(pixels, sha256, folder / "picture.png")
            target = folder / "clip.mp4"
            frames = self._frames(stream, sha256, is_perturbed=not is_whole_clip)
            try:
                recompress_clip(frames, target, self.condition.strength if is_whole_clip else LOSSLESS_CRF)
            except ValueError as error:
                raise MediaError(f"no perturbed copy could be made: {error}") from error
            return target

    def _picture(self, original: Picture, sha256: str, target: Path) -> Path:
        try:
            pixels = self.condition.apply(original, self._rng(sha256, 0))
        except ValueError as error:
            raise MediaError(f"{self.condition} cannot be applied: {error}") from error
        if not cv2.imwrite(str(target), pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]):
            raise MediaError("the perturbed picture could not be written", "is there space in the temporary folder?")
        return target

    def _frames(self, stream: MediaStream, sha256: str, is_perturbed: bool) -> Iterator[tuple[float, Picture]]:
        for sample in stream:
            if is_perturbed:
                yield sample.timestamp_s, self.condition.apply(sample.pixels, self._rng(sha256, sample.index))
            else:
                yield sample.timestamp_s, sample.pixels

    def _rng(self, sha256: str, frame: int) -> np.random.Generator:
        own = sha256_of_text(f"{sha256} {self.condition}")
        return rng_for(self.seed, int(own[:SEED_DIGITS], 16), frame)


def _only_picture(stream: MediaStream) -> Picture:
    samples = list(stream)
    if not samples:
        raise MediaError("the picture could not be decoded")
    return samples[0].pixels
