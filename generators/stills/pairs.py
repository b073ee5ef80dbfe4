"""Fakes written beside the reals that they were made of: the same reduction, the same JPEG quality, a mask for each fake.

What a fake is, is said by a `Family`: a recipe drawn from the seed for each (picture, fake), which the manifest shows, and
the painting of it. Recipes cost nothing, so a stopped command goes on where it was: what lies there is not painted again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.faces.types import FaceDetector
from generators.pictures import encoded
from generators.stills.config import FamilyConfig
from generators.stills.folder import FAKE, MANIFEST, MASK, REAL, StillsRecord, claim, finish, jpeg
from generators.stills.located import Picture, Still, in_words, locate, read_still, real_rows

QUALITY_STREAM = 0x0A11
# A fake of which less than this share was changed is a real.
LEAST_CHANGED_SHARE = 0.005
HALF = 128

Mask = NDArray[np.uint8]  # (H, W), 255 where the fake's pixels are all new
R = TypeVar("R")


class Family(Protocol[R]):
    """One kind of fakes."""

    generator: str

    def recipe(self, still: Still, number: int) -> R | None:
        """What the `number`-th fake of a picture is made by; None where it cannot be made."""
        ...

    def paint(self, still: Still, picture: Picture, recipe: R) -> tuple[Picture, Mask]:
        """The fake, of the picture's size, and its mask. Raises MediaError where another picture cannot be read."""
        ...

    def shown(self, recipe: R) -> Mapping[str, str]:
        """The recipe as columns of the manifest, the same ones for every fake."""
        ...


@dataclass(frozen=True)
class _Places:
    real: Path
    fakes: tuple[Path, ...]
    masks: tuple[Path, ...]


class PairWriter(Generic[R]):
    """Writes a family's pictures into its folder."""

    def __init__(self, family: Family[R], config: FamilyConfig, dataset: str, folder: Path, progress: Progress) -> None:
        self._family, self._config, self._dataset = family, config, dataset
        self._folder, self._progress = folder, progress
        self.skipped: Counter[str] = Counter()

    def write(self, stills: Sequence[Still]) -> list[Item]:
        """Rows of the manifest: each real that has a fake, and its fakes."""
        rows: list[Item] = []
        with self._progress.task(f"making {self._dataset}", len(stills)) as bar:
            for still in stills:
                rows += self._pair(still)
                bar(1)
        if self.skipped:
            self._progress.say(f"left out: {in_words(self.skipped)}")
        return rows

    def _pair(self, still: Still) -> list[Item]:
        """One real and its fakes; nothing where no fake can be made."""
        places = self._places(still)
        quality = drawn_quality(self._config.seed, still.index, self._config.quality_low, self._config.quality_high)
        picture: Picture | None = None
        fakes: list[Item] = []
        for number, (path, mask_path) in enumerate(zip(places.fakes, places.masks, strict=True)):
            recipe = self._family.recipe(still, number)
            if recipe is None:
                self.skipped["without another person of like pose in its split"] += 1
                continue
            if not (path.exists() and mask_path.exists()):
                try:
                    picture = read_still(still.item.path, self._config.max_side) if picture is None else picture
                    fake, mask = self._family.paint(still, picture, recipe)
                except MediaError:
                    self.skipped["unreadable"] += 1
                    continue
                if np.mean(mask >= HALF) < LEAST_CHANGED_SHARE:
                    self.skipped["hardly changed"] += 1
                    continue
                write_atomic(mask_path, encoded(np.repeat(mask[:, :, None], 3, 2)))
                write_atomic(path, jpeg(fake, quality, is_fake=True))
            extra = {**self._common(still, path, quality), **self._family.shown(recipe)}
            fakes.append(
                self._row(still, path, 1, self._family.generator, mask_path.relative_to(self._folder).as_posix(), extra)
            )
        if not fakes:
            return []
        if not places.real.exists():
            try:
                picture = read_still(still.item.path, self._config.max_side) if picture is None else picture
            except MediaError:
                self.skipped["unreadable"] += 1
                return []
            write_atomic(places.real, jpeg(picture, quality, is_fake=False))
        return [self._row(still, places.real, 0, "", "", self._common(still, places.real, quality)), *fakes]

    def _places(self, still: Still) -> _Places:
        names = [f"{still.index:06d}-{number}" for number in range(self._config.per_picture)]
        return _Places(
            self._folder / REAL / f"{still.index:06d}.jpg",
            tuple(self._folder / FAKE / f"{name}.jpg" for name in names),
            tuple(self._folder / MASK / f"{name}.png" for name in names),
        )

    def _common(self, still: Still, path: Path, quality: int) -> dict[str, str]:
        return {
            "sha256": sha256_of_file(path),
            "original_dataset": still.item.dataset,
            "jpeg_quality": str(quality),
        }

    def _row(self, still: Still, path: Path, label: int, generator: str, mask: str, extra: dict[str, str]) -> Item:
        """Whose picture it is stays, and its split: that of the real."""
        return replace(
            still.item, path=path, label=label, generator=generator, dataset=self._dataset, mask=mask, extra=extra
        )


def drawn_quality(seed: int, index: int, low: int, high: int) -> int:
    """JPEG quality of a real and of all that is made of it."""
    return int(rng_for(seed, QUALITY_STREAM, index).integers(low, high + 1))


def digest_of_rows(items: Sequence[Item]) -> str:
    """SHA-256 of the reals in their order: files are named by it, so a picture more or another order is another recipe."""
    rows = [[str(one.path), one.view, one.dataset, one.source, one.identity, one.split] for one in items]
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()


def digests(data: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each manifest's bytes, by its path as it was given; a folder's is that of its manifest.csv or ""."""
    found = {}
    for path in data:
        file = path / "manifest.csv" if path.is_dir() else path
        found[path.as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return found


def write_family(
    name: str,
    data: Sequence[Path],
    folder: Path,
    config: FamilyConfig,
    dataset: str,
    family_of: Callable[[Sequence[Still]], Family[R]],
    about: str,
    detector: FaceDetector,
    progress: Progress,
    overwrite: bool,
    models: dict[str, str] | None = None,
) -> Path:
    """Make a family of located faces in `folder`; the path of its manifest. A finished one of the same recipe is left.

    `family_of` makes the family once the faces of all reals are known; `about` says in words what it is; `models` as in the
    record. Raises UsageError for a folder of something else, ManifestError for data without reals.
    """
    items = real_rows(data, config.split, config.limit, progress)
    record = StillsRecord(
        family=name,
        options=config.model_dump(mode="json"),
        data=digests(data),
        rows=digest_of_rows(items),
        models=models or {},
    )
    if claim(folder, record, overwrite):
        progress.say(f"{folder}: done before, nothing to do")
        return folder / MANIFEST
    located = locate(items, folder, detector, config.max_side, config.min_face_px, progress)
    writer = PairWriter(family_of(located.stills), config, dataset, folder, progress)
    return finish(folder, writer.write(located.stills), about)
