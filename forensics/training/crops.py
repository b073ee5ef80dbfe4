"""Face crops of manifests, made once by the same path that scanning takes, and kept in a memory-mapped file."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError, MediaError
from forensics.common.files import sha256_of_text, write_atomic
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.faces.canonical import crop_face, middle_square
from forensics.faces.still import detect_in_stills
from forensics.faces.types import FaceDetector, Frame
from forensics.media.image import read_image

CACHE_VERSION = 1
GROUP = 32


@dataclass(frozen=True, eq=False)
class Crops:
    """Items that have a crop, and their pixels by position in a flat memory map."""

    items: tuple[Item, ...]
    offsets: NDArray[np.int64]
    sides: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    missed: dict[str, int]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Frame:
        """(S, S, 3) uint8 crop of an item; a view of the file, not to be written to."""
        start, side = int(self.offsets[index]), int(self.sides[index])
        return self.pixels[start : start + side * side * 3].reshape(side, side, 3)

    @cached_property
    def sha256(self) -> str:
        """Of rows and pixels: all that training depends on. Computed once; reads every pixel."""
        rows = [(item.dataset, item.path.name, item.label) for item in self.items]
        digest = hashlib.sha256(json.dumps(rows).encode())
        digest.update(np.stack([self.offsets, self.sides]).astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()


def load_crops(items: list[Item], folder: Path, detector: FaceDetector, progress: Progress) -> Crops:
    """Crops of all items, from `folder` if they were made from the same files before.

    A picture of view `scene` gives its largest face; one without a face, or unreadable, is counted in `missed` under its
    data set. Raises ManifestError when nothing is left.
    """
    stamps = [f"{item.path}|{item.view}|{_stamp(item.path)}" for item in items]
    key = sha256_of_text("\n".join([str(CACHE_VERSION), detector.name, *stamps]))
    index_path, pixel_path = folder / "crops.json", folder / "crops.bin"
    if not (_index_key(index_path) == key and pixel_path.is_file()):
        _make_crops(items, key, index_path, pixel_path, detector, progress)
    index = json.loads(index_path.read_text(encoding="utf-8"))
    if not index["rows"]:
        raise ManifestError("no picture of the manifest gave a face crop", "check the column `view`: face or scene")
    rows = np.array(index["rows"], np.int64)
    return Crops(
        items=tuple(items[row] for row in rows[:, 0]),
        offsets=rows[:, 1],
        sides=rows[:, 2],
        pixels=np.memmap(pixel_path, np.uint8, "r"),
        missed=index["missed"],
    )


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"


def _index_key(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError):
        return None


def _make_crops(
    items: list[Item], key: str, index_path: Path, pixel_path: Path, detector: FaceDetector, progress: Progress
) -> None:
    index_path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[int, int, int]] = []
    missed: Counter[str] = Counter()
    offset = 0
    temporary = pixel_path.with_suffix(".tmp")
    with temporary.open("wb") as file, progress.task("face crops", len(items)) as advance:
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            for position, crop in enumerate(crops_of(group, detector), start=start):
                if crop is None:
                    missed[items[position].dataset] += 1
                    continue
                rows.append((position, offset, crop.shape[0]))
                offset += file.write(np.ascontiguousarray(crop).tobytes())
            advance(len(group))
    index_path.unlink(missing_ok=True)  # an index never stands beside pixels that are not its own
    temporary.replace(pixel_path)
    write_atomic(index_path, json.dumps({"key": key, "rows": rows, "missed": dict(missed)}))


def crops_of(items: list[Item], detector: FaceDetector) -> list[Frame | None]:
    """The crop of each item: the picture itself for view `face` (its middle square), the largest face for `scene`."""
    pictures: list[Frame | None] = []
    for item in items:
        try:
            pictures.append(read_image(item.path))
        except MediaError:
            pictures.append(None)
    scenes = [i for i, item in enumerate(items) if item.view == "scene" and pictures[i] is not None]
    found = dict(
        zip(scenes, detect_in_stills(detector, [p for i in scenes if (p := pictures[i]) is not None]), strict=True)
    )
    crops: list[Frame | None] = []
    for i, (item, picture) in enumerate(zip(items, pictures, strict=True)):
        if picture is None or item.view == "face":
            crops.append(None if picture is None else middle_square(picture))
            continue
        faces = sorted(found[i], key=lambda face: -face.size_px)
        try:
            crops.append(crop_face(picture, faces[0].landmarks) if faces else None)
        except ValueError:
            crops.append(None)
    return crops
