"""One file -> one square picture of the asked size, in threads.

Shrinking averages areas (no aliasing over any number of octaves), enlarging is cubic. A cut-off or damaged file is left
out, though most of it could be shown: a generator would learn the grey of the missing part.
Limits: transparency is dropped as the decoder does it, not laid over a background.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import MediaError
from forensics.common.manifest import Item
from forensics.faces.canonical import canonical_square, middle_square, place_square
from forensics.faces.still import detect_in_stills
from forensics.faces.types import FaceDetector, Frame
from forensics.media.child import open_regular
from forensics.media.image import decode_image
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import MediaLimits

Square = tuple[int, int, int]  # left, top, side in pixels of the picture
# No picture format needs more for the pixels that MediaLimits allows.
MAX_FILE_BYTES = 1 << 29
# An icon, a tracking pixel: nothing of it but a colour would be learnt.
MIN_SIDE_PX = 8
UNREADABLE, TOO_SMALL, NO_FACE = "unreadable", "too small", "without a face"
# What the decoder also notes of pictures whose pixels are whole.
HARMLESS = ("EXIF: ", "counting frames: ")
# Full-size pictures that wait for the face detector together.
FACE_GROUP = 16


@dataclass(frozen=True, eq=False)
class Cut:
    """A picture's square: where it lies, and its pixels at the asked size, (px, px, 3) uint8."""

    square: Square
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Miss:
    """Why a file gives no picture: `kind` is UNREADABLE, TOO_SMALL or NO_FACE."""

    kind: str
    text: str


def read_whole(path: Path) -> Frame:
    """All of a picture: (H, W, 3) uint8 RGB, upright. Raises MediaError for what is damaged, huge, or no picture."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
            image_format = sniff(head)
            if image_format.kind != "image":
                raise MediaError("a video, a picture was expected")
            data = head + file.read(MAX_FILE_BYTES - len(head) + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in a name
        raise MediaError(str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise MediaError(f"more than {MAX_FILE_BYTES >> 20} MiB")
    try:
        _, pixels, summary = decode_image(data, image_format, MediaLimits())
    except MemoryError as error:
        raise MediaError("decoding needs more memory than there is") from error
    if summary.errors and not summary.errors[0].startswith(HARMLESS):
        raise MediaError(f"damaged: {summary.errors[0]}")
    return pixels


def resized(picture: Frame, square: Square, px: int) -> NDArray[np.uint8]:
    """The square at the asked size: (px, px, 3) uint8."""
    left, top, side = square
    cut = np.ascontiguousarray(picture[top : top + side, left : left + side])
    if side == px:
        return cut
    method = cv2.INTER_AREA if side > px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, (px, px), interpolation=method), np.uint8)


def cut_again(path: Path, square: Square, px: int) -> NDArray[np.uint8]:
    """The pixels of a square that was found before. Raises MediaError where the file does not hold it any more."""
    picture = read_whole(path)
    left, top, side = square
    if top + side > picture.shape[0] or left + side > picture.shape[1]:
        raise MediaError("has another size now")
    return resized(picture, square, px)


def cut_all(
    items: Sequence[Item], px: int, detector: FaceDetector | None, pool: ThreadPoolExecutor
) -> list[Cut | Miss]:
    """The square of each item: the middle of the picture, or of its largest face where there is a detector and the item is
    of view `scene`. The order is that of the items, whatever the number of threads.
    """
    if detector is None:
        return list(pool.map(lambda item: _cut_middle(item.path, px), items))
    cuts: list[Cut | Miss] = []
    for start in range(0, len(items), FACE_GROUP):
        group = items[start : start + FACE_GROUP]
        pictures = list(pool.map(lambda item: _read(item.path), group))
        scenes = [i for i, item in enumerate(group) if item.view == "scene" and not isinstance(pictures[i], Miss)]
        squares = dict(zip(scenes, _face_squares([pictures[i] for i in scenes], detector), strict=True))
        for i, picture in enumerate(pictures):
            if isinstance(picture, Miss):
                cuts.append(picture)
                continue
            square = squares.get(i, middle_of(picture))
            cuts.append(square if isinstance(square, Miss) else Cut(square, resized(picture, square, px)))
    return cuts


def _cut_middle(path: Path, px: int) -> Cut | Miss:
    picture = _read(path)
    if isinstance(picture, Miss):
        return picture
    square = middle_of(picture)
    return Cut(square, resized(picture, square, px))


def _read(path: Path) -> Frame | Miss:
    try:
        picture = read_whole(path)
    except MediaError as error:
        return Miss(UNREADABLE, error.message)
    height, width = picture.shape[:2]
    return picture if min(height, width) >= MIN_SIDE_PX else Miss(TOO_SMALL, f"{width} x {height} pixels")


def middle_of(picture: Frame) -> Square:
    """The largest square in the middle of a picture."""
    height, width = picture.shape[:2]
    side = middle_square(picture).shape[0]
    return (width - side) // 2, (height - side) // 2, side


def _face_squares(pictures: Sequence[Frame | Miss], detector: FaceDetector) -> list[Square | Miss]:
    frames = [picture for picture in pictures if not isinstance(picture, Miss)]
    found: list[Square | Miss] = []
    for frame, faces in zip(frames, detect_in_stills(detector, frames), strict=True):
        if not faces:
            found.append(Miss(NO_FACE, "no face is found"))
            continue
        largest = max(faces, key=lambda face: face.size_px)
        try:
            found.append(place_square(frame.shape[0], frame.shape[1], *canonical_square(largest.landmarks)))
        except ValueError as error:
            found.append(Miss(NO_FACE, str(error)))
    return found
