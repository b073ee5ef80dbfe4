"""Items and their masks -> face crops with the mask cropped alike, found and cut as a scan does.

A picture's mask is a picture of its own size, any value but 0 = altered. A clip's mask is a clip of its own size and times;
what a lossy encoder leaves around black does not count.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from eval.datasets import load_dataset
from eval.explanations.measures import Mask
from forensics.common.errors import MediaError
from forensics.common.manifest import Item
from forensics.detectors.protocol import Crop
from forensics.faces.canonical import canonical_square, place_square
from forensics.faces.still import detect_in_stills
from forensics.faces.tracking import follow_faces
from forensics.faces.types import Face, FaceDetector, Frame
from forensics.media.reader import MediaReader
from forensics.media.types import Sample, Sampling

# A mask of 8 bits in a lossy clip: ringing around what is black stays below, and hardly altered pixels do not matter.
CLIP_MASK_LEVEL = 16
# Times of a clip and its mask are those of the same frames: they differ by a tick of two containers at most.
SAME_TIME_S = 0.005


T = TypeVar("T", bound=np.generic)


class MaskError(Exception):
    """The mask of an item cannot be used; `outcome` says why in a word."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, eq=False)
class MaskedFace:
    """crop: (S, S, 3) uint8 RGB as detectors get it. altered: (S, S) bool, True = not the original's pixel."""

    crop: Crop
    altered: Mask


@dataclass(frozen=True, eq=False)
class Place:
    """A square of whole pixels in a frame, and the five landmarks (5, 2) in it."""

    x: int
    y: int
    side: int
    landmarks: NDArray[np.float32]


def mask_paths(data: Sequence[Path], layout: str, compression: str | None) -> dict[str, Path]:
    """Normalised path of each item -> its mask; masks are named relative to the manifest. Raises as `load_dataset` does."""
    found: dict[str, Path] = {}
    for path in data:
        loaded = load_dataset(path, layout, compression)
        for item in loaded.items:
            if item.mask:
                found.setdefault(normalised(item.path), loaded.root.absolute() / item.mask)
    return found


def normalised(path: Path) -> str:
    """One name for a file however it is written."""
    return os.path.normpath(path.absolute())


def masked_faces(
    item: Item, mask: Path, readers: tuple[MediaReader, MediaReader], detector: FaceDetector | None, sampling: Sampling
) -> Iterator[list[MaskedFace]]:
    """The faces of each frame of an item, all that a scan would score. `readers`: one for the item, one for its mask.

    Raises MediaError where the item cannot be decoded, MaskError where its mask cannot be used.
    """
    with ExitStack() as stack:
        frames = stack.enter_context(readers[0].open(item.path, sampling))
        try:
            masks = stack.enter_context(readers[1].open(mask, sampling))
        except MediaError as error:
            raise MaskError("mask_unreadable", f"mask {mask.name}: {error.message}") from error
        is_clip = frames.info.kind == "video"
        if is_clip != (masks.info.kind == "video"):
            raise MaskError("mask_mismatch", "the mask of a picture is a picture, that of a clip a clip")
        level = CLIP_MASK_LEVEL if is_clip else 0
        placed = placed_faces(iter(frames), item.view, detector, is_clip)
        for seen, sample in zip_longest(placed, _mask_samples(iter(masks), mask)):
            if seen is None or sample is None:
                raise MaskError("mask_mismatch", "the mask has another number of frames")
            frame, places = seen
            altered = sample.pixels.max(axis=2) > level
            if altered.shape != frame.pixels.shape[:2]:
                shapes = "{1} x {0}".format(*altered.shape), "{1} x {0}".format(*frame.pixels.shape)
                raise MaskError("mask_mismatch", f"the mask has {shapes[0]} pixels, the picture {shapes[1]}")
            if abs(sample.timestamp_s - frame.timestamp_s) > SAME_TIME_S:
                raise MaskError("mask_mismatch", "the mask has other times than the clip")
            yield [MaskedFace(cut(frame.pixels, place), cut(altered, place)) for place in places]


def placed_faces(
    samples: Iterator[Sample], view: str, detector: FaceDetector | None, is_clip: bool
) -> Iterator[tuple[Sample, list[Place]]]:
    """Each sample with the squares of its faces: the middle one of a face crop, of a scene those of the sure faces.

    None of a picture that is judged as a whole: it has no face that a heatmap would show.
    """
    if view == "whole":
        for sample in samples:
            yield sample, []
        return
    if view == "face":
        for sample in samples:
            yield sample, [middle_place(sample.pixels)]
        return
    if detector is None:
        raise ValueError("a scene needs a face detector")
    if is_clip:
        for frame in follow_faces(samples, detector):
            yield frame.sample, places_of(frame.sample.pixels, [one.face for one in frame.observations])
        return
    for sample in samples:
        found = detect_in_stills(detector, [sample.pixels])[0]
        sure = [face for face in found if face.confidence >= detector.min_confidence]
        yield sample, places_of(sample.pixels, sure)


def places_of(frame: Frame, faces: Sequence[Face]) -> list[Place]:
    """The canonical square of each face that a scan would crop."""
    places = []
    for face in faces:
        try:
            x, y, side = place_square(frame.shape[0], frame.shape[1], *canonical_square(face.landmarks))
        except ValueError:  # mostly outside the frame, or a handful of pixels: a scan does not score it either
            continue
        places.append(Place(x, y, side, face.landmarks - np.array([x, y], np.float32)))
    return places


def middle_place(frame: Frame) -> Place:
    """The middle square of a picture that is a face crop already; its landmarks are not known: (0, 2)."""
    height, width = frame.shape[:2]
    side = min(height, width)
    return Place((width - side) // 2, (height - side) // 2, side, np.zeros((0, 2), np.float32))


def cut(picture: NDArray[T], place: Place) -> NDArray[T]:
    """A copy of the square's pixels."""
    part = picture[place.y : place.y + place.side, place.x : place.x + place.side]
    return np.ascontiguousarray(part)


def _mask_samples(samples: Iterator[Sample], mask: Path) -> Iterator[Sample]:
    try:
        yield from samples
    except MediaError as error:
        raise MaskError("mask_unreadable", f"mask {mask.name}: {error.message}") from error
