"""The pictures of a training run: rows, classes and pixels by index, from a memory-mapped file or decoded when asked for.

    pictures = load_pictures(DataRequest(data=(Path("manifest.csv"),)), px=64, cache=run / "cache", progress=Progress())
    pictures.batch(batch_indices(len(pictures), 64, step, seed))  # (64, 64, 64, 3) uint8 RGB

Limits: files that change while they are in use are an error where they are decoded in every step, and are not noticed where
their pixels are kept.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError, MediaError
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.faces.types import FaceDetector
from generators.data.classes import class_labels
from generators.data.request import DataRequest
from generators.data.rows import Row, choose_rows
from generators.data.squares import Square, cut_again
from generators.data.survey import Survey, digest, survey

__all__ = ["DataRequest", "Pictures", "load_pictures", "pictures_of"]

View = Literal["face", "scene"]
# Above this share, what a generator learns as fine detail is interpolation.
MAX_ENLARGED = 0.1
NAMES_SHOWN = 5


class PixelSource(Protocol):
    """Pixels by index."""

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """indices: (B,). Returns (B, px, px, 3) uint8, a copy."""
        ...


@dataclass(frozen=True, eq=False)
class Pictures:
    """Squares of one size with their rows, in the order of the data.

    labels: (N,) int64, index into class_names (all 0 and () without classes). view: `face` if every picture is a face crop.
    The items are the rows as they were read: their `view` and pixels are those of the file, not of the square.
    missed: how many files gave no picture, by reason. digests: one for each picture's pixels.
    """

    items: tuple[Item, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    px: int
    view: View
    source: PixelSource
    digests: tuple[str, ...]
    missed: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pixels of these pictures: (B,) int64 -> (B, px, px, 3) uint8 RGB, a copy.

        Raises ManifestError for a file that is not what it was when the run began.
        """
        return self.source.batch(indices)

    @cached_property
    def sha256(self) -> str:
        """Of names, labels and pixels in their order: all that training depends on, wherever the files lie."""
        rows = [
            (item.path.name, item.label, self.class_names[label] if self.class_names else "")
            for item, label in zip(self.items, self.labels, strict=True)
        ]
        return hashlib.sha256(json.dumps([self.px, self.view, rows, self.digests]).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class KeptPixels:
    """Pixels that lie in one array, mostly a memory map."""

    pixels: NDArray[np.uint8]

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.asarray(self.pixels)[indices]  # an array of indices copies


@dataclass(frozen=True, eq=False)
class DecodedPixels:
    """Pixels that are decoded when they are asked for, in threads."""

    paths: tuple[Path, ...]
    squares: tuple[Square, ...]
    digests: tuple[str, ...]
    px: int
    workers: int

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.workers, thread_name_prefix="decode")

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        pictures = list(self._pool.map(self._decode, indices.tolist()))
        return np.stack(pictures) if pictures else np.zeros((0, self.px, self.px, 3), np.uint8)

    def _decode(self, index: int) -> NDArray[np.uint8]:
        path = self.paths[index]
        hint = "start the run again, so that its data are read anew"
        try:
            pixels = cut_again(path, self.squares[index], self.px)
        except MediaError as error:
            raise ManifestError(f"{path} could be read before: {error.message}", hint) from error
        if digest(pixels) != self.digests[index]:
            raise ManifestError(f"{path} has changed since it was first read", hint)
        return pixels


def load_pictures(
    request: DataRequest,
    px: int,
    cache: Path,
    progress: Progress,
    workers: int = 0,
    detector: FaceDetector | None = None,
) -> Pictures:
    """The pictures that were asked for, as squares of px pixels; `cache` is a folder for what is decoded.

    The square is the middle of a picture; with `request.faces`, and for rows of view `scene`, that of its largest face.
    workers: threads that decode (0: as many as cores). detector: MTCNN by default, on the GPU if there is one.
    May be called by several processes at once: one decodes, the others wait. Raises ManifestError where nothing is left or
    a class is too small, UsageError for a request that cannot be carried out.
    """
    rows = choose_rows(request, progress)
    class_labels(rows, request.class_by, progress)  # wrong classes are said before hours of decoding
    items = [row.item for row in rows]
    has_scenes = request.faces and any(item.view == "scene" for item in items)
    finder = (detector or _default_detector()) if has_scenes else None
    workers = workers or os.cpu_count() or 1
    found = survey(items, px, cache, request.cache_gb, finder, workers, progress)
    _say_missed(request, rows, found, progress)
    kept = [rows[position] for position in found.index.kept]
    if not kept:
        raise ManifestError(
            "no file gave a picture",
            "check the paths in the manifest" if finder is None else "check --faces and the column `view`",
        )
    _say_enlarged(found.index.squares, px, progress)
    labels, names = class_labels(kept, request.class_by, Progress(quiet=True))  # it was said before
    if names:
        sizes = np.bincount(labels, minlength=len(names))
        progress.say(f"classes: {len(names)} by {request.class_by}, of {sizes.min()} to {sizes.max()} pictures")
    return Pictures(
        items=tuple(row.item for row in kept),
        labels=labels,
        class_names=names,
        px=px,
        view="face" if request.faces or all(row.item.view == "face" for row in kept) else "scene",
        source=_source(kept, found, px, workers),
        digests=tuple(found.index.digests),
        missed=dict(Counter(miss.kind for miss in found.index.missed.values())),
    )


def pictures_of(
    pixels: NDArray[np.uint8],
    items: Sequence[Item] | None = None,
    labels: NDArray[np.int64] | None = None,
    class_names: tuple[str, ...] = (),
    view: View = "scene",
) -> Pictures:
    """Pictures that are in memory already: (N, px, px, 3) uint8. Without items the rows are numbered reals."""
    rows = tuple(items) if items is not None else tuple(Item(Path(f"{i:06d}.png"), 0) for i in range(len(pixels)))
    return Pictures(
        items=rows,
        labels=np.zeros(len(rows), np.int64) if labels is None else labels,
        class_names=class_names,
        px=pixels.shape[1],
        view=view,
        source=KeptPixels(pixels),
        digests=tuple(digest(picture) for picture in pixels),
    )


def _source(kept: Sequence[Row], found: Survey, px: int, workers: int) -> PixelSource:
    if found.pixels is not None:
        return KeptPixels(found.pixels)
    paths = tuple(row.item.path for row in kept)
    return DecodedPixels(paths, tuple(found.index.squares), tuple(found.index.digests), px, workers)


def _default_detector() -> FaceDetector:
    import torch

    from forensics.faces.mtcnn import MtcnnDetector

    return MtcnnDetector(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _say_missed(request: DataRequest, rows: Sequence[Row], found: Survey, progress: Progress) -> None:
    """How many files of which data gave no picture, and the first of them by name."""
    missed: dict[tuple[int, str], list[str]] = defaultdict(list)
    for position, miss in sorted(found.index.missed.items()):
        row = rows[position]
        missed[row.origin, miss.kind].append(f"{row.item.path.name} ({miss.text})")
    for (origin, kind), names in sorted(missed.items()):
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        progress.say(f"{request.data[origin]}: {len(names)} left out, {kind}: {', '.join(names[:NAMES_SHOWN])}{more}")


def _say_enlarged(squares: Sequence[Square], px: int, progress: Progress) -> None:
    n_enlarged = sum(side < px for _, _, side in squares)
    if n_enlarged > MAX_ENLARGED * len(squares):
        progress.say(
            f"{n_enlarged} of {len(squares)} pictures are smaller than {px} px and were enlarged: their finest detail is "
            "made by interpolation (a smaller --image-px avoids it)"
        )
