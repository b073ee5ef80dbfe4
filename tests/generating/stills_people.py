"""What stands in for real data in tests of stills: coloured crops of one portrait, and a detector that knows it."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from forensics.common.manifest import Item, write_manifest
from forensics.faces.types import Face

SIDE = 128
BORDER = round(60 / 224 * SIDE)
# Eyes, nose, mouth corners of the crop that `face_crop` cuts, as MTCNN sees them.
LANDMARKS = np.array([[42.0, 42], [89, 44], [66, 71], [41, 84], [88, 86]])


def face_crop(portrait: np.ndarray) -> np.ndarray:
    """The face of scikit-image's astronaut, as tight as the data's crops: (128, 128, 3)."""
    return cv2.resize(portrait[62:182, 164:284], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


class KnowingDetector:
    """Finds the face of `face_crop` in each square of its size or with its border; counts how many pictures came."""

    name, min_confidence = "knowing", 0.9

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Face]]:
        self.seen += len(frames)
        return [self._faces(frame) for frame in frames]

    def refine(self, frames: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> None:
        return None

    def _faces(self, frame: np.ndarray) -> list[Face]:
        shift = {SIDE: 0, SIDE + 2 * BORDER: BORDER}.get(frame.shape[0])
        if shift is None or frame.max() == 0:
            return []
        points = (LANDMARKS + shift).astype(np.float32)
        return [Face(np.array([10, 10, 110, 120], np.float32) + shift, points, 0.99)]


def write_people(folder: Path, portrait: np.ndarray, view: str = "face") -> Path:
    """A manifest of four people in split train, two in dev, and one who is black all over; each with a fake beside it."""
    face = face_crop(portrait)
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    tints = [(1, 1, 1), (0.7, 0.9, 1), (1, 0.8, 0.6), (0.5, 0.6, 0.5), (0.9, 1, 0.8), (0.6, 0.5, 0.7), (0, 0, 0)]
    for k, tint in enumerate(tints):
        picture = np.clip(face[:, :: (-1) ** k] * np.array(tint), 0, 255).astype(np.uint8)
        path = folder / f"{k}.png"
        cv2.imwrite(str(path), picture[:, :, ::-1])
        split = "dev" if k in (4, 5) else "train"
        items.append(Item(path, 0, "", "people", f"video{k}", f"person{k}", split, view))
        items.append(Item(folder / f"{k}-fake.png", 1, "x", "people", f"video{k}", f"person{k}", split, view))
    write_manifest(folder / "manifest.csv", items)
    return folder / "manifest.csv"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
