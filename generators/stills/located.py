"""Real pictures and where the face of each is: five landmarks, found once and kept in the family's folder.

A tight crop (view `face`) fills its picture with the face, which a cascade of detectors misses: it is looked at with a
border of repeated pixels, a quarter of its side, and the landmarks are moved back. Of several faces the one that is
largest, and nearest to the middle of a crop, counts. A picture without a face, or with one that is too small, is left
out, and why is counted.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import MediaError
from forensics.common.files import write_atomic
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.faces.mean_shape import head_turn, place_mean_shape
from forensics.faces.still import detect_in_stills
from forensics.faces.types import Face, FaceDetector
from forensics.media.image import read_image
from generators.data.request import DataRequest
from generators.data.rows import choose_rows
from generators.stills.config import Split

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

LANDMARKS = "landmarks.json"
# Crops of 224 px are found by MTCNN once they have 60 px around them: about a quarter.
BORDER_SHARE = 60 / 224
# Pictures between two writes of what was found.
CHUNK = 256
# Kept to a hundredth of a pixel: the last bits of a detector differ with the number of threads.
DIGITS = 2


@dataclass(frozen=True, eq=False)
class Still:
    """A real picture of the data by its place in it, with its face.

    landmarks: (5, 2) in pixels of the picture as `read_still` gives it; turn: (2,), see `head_turn`.
    """

    index: int
    item: Item
    landmarks: NDArray[np.float64]
    turn: NDArray[np.float64]


@dataclass(frozen=True)
class Located:
    """The stills that have a face, and how many were left out, by reason."""

    stills: tuple[Still, ...]
    skipped: dict[str, int]


def real_rows(data: Sequence[Path], split: Split, limit: int | None, progress: Progress) -> list[Item]:
    """Rows with label 0 of manifests. Sources and identities carry the data set's name where several are mixed."""
    items = [row.item for row in choose_rows(DataRequest(data=tuple(data), split=split, limit=limit), progress)]
    return with_data_sets_names(items)


def with_data_sets_names(items: Sequence[Item]) -> list[Item]:
    """Sources and identities are names within a data set: where several are mixed, they begin with its name."""
    if len({item.dataset for item in items}) < 2:
        return list(items)
    return [
        replace(
            item,
            source=f"{item.dataset}/{item.source}" if item.source else "",
            identity=f"{item.dataset}/{item.identity}" if item.identity else "",
        )
        for item in items
    ]


def read_still(path: Path, max_side: int) -> Picture:
    """A picture, reduced where a side is longer. Raises MediaError where it is unreadable."""
    picture = read_image(path)
    height, width = picture.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def locate(
    items: Sequence[Item], folder: Path, detector: FaceDetector, max_side: int, min_face_px: float, progress: Progress
) -> Located:
    """The face of each picture, found now or by an earlier call for the same folder."""
    known = _Store(folder / LANDMARKS, detector.name, max_side)
    keys = [_key(item) for item in items]
    todo = [(key, item) for key, item in zip(keys, items, strict=True) if not known.has(key)]
    if todo:
        with progress.task("finding faces", len(todo)) as bar:
            for start in range(0, len(todo), CHUNK):
                for key, item in todo[start : start + CHUNK]:
                    known.put(key, _found(item, detector, max_side))
                    bar(1)
                known.write()
    stills: list[Still] = []
    skipped: Counter[str] = Counter()
    for index, (key, item) in enumerate(zip(keys, items, strict=True)):
        found = known.get(key)
        if isinstance(found, str):
            skipped[found] += 1
        elif face_size_px(found) < min_face_px:
            skipped["face too small"] += 1
        else:
            try:
                place_mean_shape(found)
                stills.append(Still(index, item, found, np.array(head_turn(found))))
            except ValueError:
                skipped["landmarks that coincide"] += 1
    if skipped:
        progress.say(f"{len(stills)} of {len(items)} pictures taken; left out: {in_words(skipped)}")
    return Located(tuple(stills), dict(skipped))


def in_words(counts: dict[str, int]) -> str:
    """ "3 no face, 1 unreadable"."""
    return ", ".join(f"{count} {why}" for why, count in sorted(counts.items()))


def face_size_px(landmarks: NDArray[np.floating]) -> float:
    """Twice the distance from between the eyes to between the mouth's corners: about brows to chin."""
    return 2 * float(np.linalg.norm(landmarks[:2].mean(0) - landmarks[3:].mean(0)))


def landmarks_of(picture: Picture, view: str, detector: FaceDetector) -> NDArray[np.float64] | None:
    """Five landmarks (5, 2) of the picture's face; None where none is found with the detector's confidence."""
    height, width = picture.shape[:2]
    if view == "face":
        border = round(BORDER_SHARE * max(height, width))
        padded = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE)
        faces = [
            replace(face, box=face.box - border, landmarks=face.landmarks - border)
            for face in detector.detect([np.asarray(padded, np.uint8)])[0]
        ]
        middle = np.array([width, height]) / 2
    else:
        faces, middle = detect_in_stills(detector, [picture])[0], None
    faces = [face for face in faces if face.confidence >= detector.min_confidence]
    if not faces:
        return None
    return np.asarray(max(faces, key=lambda face: _weight(face, middle)).landmarks, np.float64)


def _weight(face: Face, middle: NDArray[np.float64] | None) -> float:
    """Size, less the distance from the middle of a crop."""
    return face.size_px - (0.0 if middle is None else float(np.linalg.norm(face.landmarks.mean(0) - middle)))


def _found(item: Item, detector: FaceDetector, max_side: int) -> NDArray[np.float64] | str:
    try:
        found = landmarks_of(read_still(item.path, max_side), item.view, detector)
    except MediaError:
        return "unreadable"
    return "without a face" if found is None else found


class _Store:
    """landmarks.json: what was found in each picture, or why nothing was."""

    def __init__(self, path: Path, detector: str, max_side: int) -> None:
        self._path = path
        self._made_by = f"{detector}, max side {max_side}"
        self._found: dict[str, list[list[float]] | str] = {}
        try:
            stored = json.loads(path.read_bytes())
            if stored["made_by"] == self._made_by:
                self._found = dict(stored["found"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # it is a cache: without it, faces are found again

    def has(self, key: str) -> bool:
        return key in self._found

    def get(self, key: str) -> NDArray[np.float64] | str:
        found = self._found[key]
        return found if isinstance(found, str) else np.array(found, np.float64)

    def put(self, key: str, found: NDArray[np.float64] | str) -> None:
        self._found[key] = found if isinstance(found, str) else np.round(found, DIGITS).tolist()

    def write(self) -> None:
        write_atomic(self._path, json.dumps({"made_by": self._made_by, "found": self._found}, indent=None) + "\n")


def _key(item: Item) -> str:
    """Of a picture's path, its size and time, and how it is looked at; not the path itself, which may not be text."""
    try:
        status = item.path.stat()
        state = f"{status.st_size} {status.st_mtime_ns}"
    except OSError:  # reading it will say so
        state = ""
    return hashlib.sha256(f"{item.view}\0{item.path}\0{state}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
