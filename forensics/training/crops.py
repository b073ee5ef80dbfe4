"""Face crops of manifests, made once by the same path that scanning takes, and kept in a memory-mapped file.

Beside each crop stand its five landmarks, from which pseudo-fakes are made, and what surrounds the face.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError, MediaError
from forensics.common.files import sha256_of_text, write_atomic
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.detectors.protocol import Seen
from forensics.faces.canonical import (
    REFERENCE_LANDMARKS,
    canonical_square,
    crop_face,
    crop_surroundings,
    middle_square,
    place_square,
    reduce_surroundings,
)
from forensics.faces.still import detect_in_stills
from forensics.faces.types import FaceDetector, Frame
from forensics.media.image import read_image

CACHE_VERSION = 2
GROUP = 32
# Digits of the key in the names of its files.
NAME_DIGITS = 16


@dataclass(frozen=True, eq=False)
class Crops:
    """Items that have a crop, and their pixels by position in a flat memory map.

    places: (N, 4) int64, where the crop begins and its side, where its surroundings begin and their side.
    landmarks: (N, 5, 2) float32 in pixels of the crop; the median ones where no face was found in a crop.
    """

    items: tuple[Item, ...]
    places: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    pixels: NDArray[np.uint8]
    missed: dict[str, int]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Frame:
        """(S, S, 3) uint8 crop of an item; a view of the file, not to be written to."""
        return self._square(*self.places[index, :2])

    def surroundings(self, index: int) -> Frame:
        """(S, S, 3) uint8: the face with what is around it, for detectors of synthesis; the crop where that is all."""
        return self._square(*self.places[index, 2:])

    def seen(self, index: int, sees: Seen) -> Frame:
        """What a detector that sees this is given of an item."""
        return self[index] if sees == "face" else self.surroundings(index)

    def only(self, indices: Sequence[int]) -> "Crops":
        """Some of the items, in this order; `missed` stays that of all."""
        rows = np.asarray(indices, np.int64)
        items = tuple(self.items[i] for i in indices)
        return Crops(items, self.places[rows], self.landmarks[rows], self.pixels, self.missed)

    def _square(self, start: int, side: int) -> Frame:
        return self.pixels[start : start + side * side * 3].reshape(side, side, 3)

    @cached_property
    def sha256(self) -> str:
        """Of rows and pixels: all that training depends on. Computed once; reads every pixel."""
        rows = [(item.dataset, item.path.name, item.label, item.source, item.identity) for item in self.items]
        digest = hashlib.sha256(json.dumps(rows).encode())
        digest.update(self.places.astype("<i8").tobytes())
        digest.update(self.landmarks.astype("<f4").tobytes())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()


def load_crops(items: list[Item], folder: Path, detector: FaceDetector, progress: Progress) -> Crops:
    """Crops of all items, from `folder` if they were made from the same files before.

    A picture of view `scene` gives its largest face; one without a face, or unreadable, is counted in `missed` under its
    data set. Files are named by what the crops depend on, so that runs with other pictures, before or beside this one,
    keep theirs: nothing here removes crops that are not needed any more. Raises ManifestError when nothing is left.
    """
    stamps = [f"{item.path}|{item.view}|{_stamp(item.path)}" for item in items]
    key = sha256_of_text("\n".join([str(CACHE_VERSION), detector.name, *stamps]))
    index_path, pixel_path = (folder / f"{key[:NAME_DIGITS]}.{suffix}" for suffix in ("json", "bin"))
    if not _is_made(key, index_path, pixel_path):
        _make_crops(items, key, index_path, pixel_path, detector, progress)
    index = json.loads(index_path.read_text(encoding="utf-8"))
    if not index["rows"]:
        raise ManifestError("no picture of the manifest gave a face crop", "check the column `view`: face or scene")
    rows = np.array(index["rows"], np.int64)
    return Crops(
        items=tuple(items[row] for row in rows[:, 0]),
        places=rows[:, 1:],
        landmarks=np.array(index["landmarks"], np.float32).reshape(-1, 5, 2),
        pixels=np.memmap(pixel_path, np.uint8, "r"),
        missed=index["missed"],
    )


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"


def _is_made(key: str, index_path: Path, pixel_path: Path) -> bool:
    try:
        found = json.loads(index_path.read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(found == key) and pixel_path.is_file()


def _make_crops(
    items: list[Item], key: str, index_path: Path, pixel_path: Path, detector: FaceDetector, progress: Progress
) -> None:
    pixel_path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=pixel_path.parent, prefix=f".{pixel_path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            index = {"key": key, **_write_crops(items, file, detector, progress)}
        if _is_made(key, index_path, pixel_path):  # by a run beside this one
            return
        temporary.chmod(0o644)
        temporary.replace(pixel_path)
        write_atomic(index_path, json.dumps(index))  # last: where it stands, its pixels do
    finally:
        temporary.unlink(missing_ok=True)


def _write_crops(items: list[Item], file: BinaryIO, detector: FaceDetector, progress: Progress) -> dict[str, object]:
    """Append all crops to the file; returns what the index says of them."""
    rows: list[tuple[int, ...]] = []
    landmarks: list[list[float]] = []
    missed: Counter[str] = Counter()
    with progress.task("face crops", len(items)) as advance:
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            for position, face in enumerate(faces_of(group, detector), start=start):
                if face is None:
                    missed[items[position].dataset] += 1
                    continue
                place = _append(file, face.crop)
                around = place if face.surroundings is face.crop else _append(file, face.surroundings)
                rows.append((position, *place, *around))
                landmarks.append([round(float(value), 2) for value in face.landmarks.ravel()])
            advance(len(group))
    return {"rows": rows, "landmarks": landmarks, "missed": dict(missed)}


def _append(file: BinaryIO, square: Frame) -> tuple[int, int]:
    start = file.tell()
    file.write(np.ascontiguousarray(square).tobytes())
    return start, square.shape[0]


@dataclass(frozen=True, eq=False)
class CroppedFace:
    """A face as it is stored: its crop, what surrounds it, its landmarks (5, 2) in pixels of the crop."""

    crop: Frame
    surroundings: Frame
    landmarks: NDArray[np.float32]


def faces_of(items: list[Item], detector: FaceDetector) -> list[CroppedFace | None]:
    """The face of each item: the picture itself for view `face` (its middle square), the largest sure one for `scene`."""
    pictures = [_read(item) for item in items]
    readable = [(i, picture) for i, picture in enumerate(pictures) if picture is not None]
    shown = [middle_square(picture) if items[i].view == "face" else picture for i, picture in readable]
    faces: list[CroppedFace | None] = [None] * len(items)
    for (i, _), picture, found in zip(readable, shown, detect_in_stills(detector, shown), strict=True):
        sure = [face for face in found if face.confidence >= detector.min_confidence]  # as a scan does
        largest = max(sure, key=lambda face: face.size_px, default=None)
        if items[i].view == "face":
            landmarks = REFERENCE_LANDMARKS * picture.shape[0] if largest is None else largest.landmarks
            faces[i] = CroppedFace(picture, reduce_surroundings(picture), np.asarray(landmarks, np.float32))
        elif largest is not None:
            faces[i] = _cut_out(picture, largest.landmarks)
    return faces


def _read(item: Item) -> Frame | None:
    try:
        return read_image(item.path)
    except MediaError:
        return None


def _cut_out(picture: Frame, landmarks: NDArray[np.float32]) -> CroppedFace | None:
    try:
        height, width = picture.shape[:2]
        left, top, _ = place_square(height, width, *canonical_square(landmarks))
        moved = np.asarray(landmarks - np.array([left, top]), np.float32)
        return CroppedFace(crop_face(picture, landmarks), crop_surroundings(picture, landmarks), moved)
    except ValueError:
        return None
