"""Perturbed copies of items, made from what the decoding child gives of the original, and scored in its place.

A picture's copy is a PNG: lossless, so that the detectors get the very pixels that the perturbation gave. A clip's copy
holds the frames that a scan samples, each perturbed, at their times, in lossless H.264 (4:2:0, as the clip was); under the
perturbation `h264` it holds all its frames, compressed at the CRF asked for, so that prediction over time takes part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_text
from forensics.common.seeds import rng_for
from forensics.media.reader import MediaReader, MediaStream
from forensics.media.types import Sampling
from forensics.perturb.clip import recompress_clip
from forensics.perturb.grid import Condition

# More than any clip has: every frame is wanted.
ALL_FRAMES = Sampling(fps=240.0, max_frames=100_000)
LOSSLESS_CRF = 0
WHOLE_CLIP = "h264"
PNG_COMPRESSION = 1  # read once and removed
SEED_DIGITS = 15


@dataclass(frozen=True)
class PerturbedVariant:
    """Items under one condition. The noise of an item depends on the seed, its bytes, the condition and the frame."""

    condition: Condition
    sampling: Sampling
    seed: int

    @property
    def key(self) -> str:
        """What, beside the original's hash, a copy depends on."""
        return f"perturbed {self.condition} seed {self.seed}"

    def make(self, original: Path, sha256: str, reader: MediaReader, folder: Path) -> Path:
        """Write the copy of one item. Raises MediaError where the original cannot be decoded or gives no frame."""
        is_whole_clip = self.condition.name == WHOLE_CLIP
        with reader.open(original, ALL_FRAMES if is_whole_clip else self.sampling) as stream:
            if stream.info.kind == "image":
                return self._picture(stream, sha256, folder / "picture.png")
            target = folder / "clip.mp4"
            frames = self._frames(stream, sha256, is_perturbed=not is_whole_clip)
            try:
                recompress_clip(frames, target, self.condition.strength if is_whole_clip else LOSSLESS_CRF)
            except ValueError as error:
                raise MediaError(f"no perturbed copy could be made: {error}") from error
            return target

    def _picture(self, stream: MediaStream, sha256: str, target: Path) -> Path:
        sample = next(iter(stream), None)
        if sample is None:
            raise MediaError("the picture could not be decoded")
        try:
            pixels = self.condition.apply(sample.pixels, self._rng(sha256, 0))
        except ValueError as error:
            raise MediaError(f"{self.condition} cannot be applied: {error}") from error
        if not cv2.imwrite(str(target), pixels[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]):
            raise MediaError("the perturbed picture could not be written", "is there space in the temporary folder?")
        return target

    def _frames(self, stream: MediaStream, sha256: str, is_perturbed: bool) -> Iterator[tuple[float, np.ndarray]]:
        for sample in stream:
            if is_perturbed:
                yield sample.timestamp_s, self.condition.apply(sample.pixels, self._rng(sha256, sample.index))
            else:
                yield sample.timestamp_s, sample.pixels

    def _rng(self, sha256: str, frame: int) -> np.random.Generator:
        own = sha256_of_text(f"{sha256} {self.condition}")
        return rng_for(self.seed, int(own[:SEED_DIGITS], 16), frame)
