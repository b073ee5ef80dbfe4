"""Samples of trained generators at a detector's size, beside reals of the same resolution.

Generators that train on a CPU draw 32 to 64 px. Sample i is enlarged by an interpolation that is drawn for it, and so is
real i after a reduction to the sample's size: neither resolution nor encoder tells the classes apart, what the generator's
layers left does. Reals are framed as the generator's training pictures were. A sample takes the split of its real; latents
are all different, so no sample is in two splits.
Limits: all splits share the generators. What a detector learns of one, test on another: name other models for it.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from generators.checkpoint import LoadedGenerator
from generators.data.pictures import DataRequest, Pictures, load_pictures
from generators.data.rows import choose_rows
from generators.drawing import BATCH, draw_pictures
from generators.pictures import Picture
from generators.stills.config import EnlargedConfig
from generators.stills.folder import FAKE, MANIFEST, REAL, StillsRecord, claim, finish, jpeg
from generators.stills.located import with_data_sets_names
from generators.stills.pairs import digest_of_rows, digests, drawn_quality

INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
# Nearest neighbour is rare outside of generators: it leaves squares that anybody sees.
SHARES = (0.1, 0.35, 0.35, 0.2)
ENLARGING_STREAM = 0xE41A


@dataclass(frozen=True)
class _Pair:
    """One sample and the real beside it."""

    real: Path
    fake: Path
    interpolation: str
    quality: int


def enlarged(picture: Picture, size_px: int, interpolation: str) -> Picture:
    """(H, W, 3) at (size_px, size_px, 3), by the interpolation of this name. Raises KeyError for another name."""
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=INTERPOLATIONS[interpolation]), np.uint8)


def drawn_interpolation(seed: int, index: int) -> str:
    """How the `index`-th pair is enlarged."""
    rng = rng_for(seed, ENLARGING_STREAM, index)
    return list(INTERPOLATIONS)[int(np.searchsorted(np.cumsum(SHARES), rng.random(), "right").clip(0, 3))]


def write_enlarged(
    models: Sequence[LoadedGenerator],
    reals: Sequence[Path],
    folder: Path,
    config: EnlargedConfig,
    progress: Progress,
    overwrite: bool = False,
) -> Path:
    """Make the family in `folder`; the path of its manifest. Pair i is drawn by generator i modulo their number.

    Fewer pairs are made where there are fewer reals. Raises UsageError for a folder of something else, for generators
    of two views, or for one that is given twice.
    """
    views = {loaded.view for loaded in models}
    if len(views) != 1:
        raise UsageError("the models draw pictures of two views", "faces and scenes belong in two folders")
    if len({loaded.sha256 for loaded in models}) < len(models):
        raise UsageError("a model is given twice: its samples would be too, in two splits", "name each model once")
    request = DataRequest(data=tuple(reals), label="0", split=config.split, faces=views == {"face"}, limit=config.count)
    chosen = [row.item for row in choose_rows(request, Progress(quiet=True))]  # said aloud when they are read
    record = StillsRecord(
        family="gan",
        options=config.model_dump(mode="json"),
        data=digests(reals),
        rows=digest_of_rows(chosen),
        models={f"{number} {loaded.system.name}": loaded.sha256 for number, loaded in enumerate(models)},
    )
    if claim(folder, record, overwrite):
        progress.say(f"{folder}: done before, nothing to do")
        return folder / MANIFEST
    sizes = sorted({loaded.config.image_px for loaded in models})
    with tempfile.TemporaryDirectory(prefix="forensics-reals-") as cache:
        by_size = {px: load_pictures(request, px, Path(cache) / str(px), progress) for px in sizes}
        rows = _write_pairs(models, by_size, folder, config, progress)
    names = ", ".join(dict.fromkeys(loaded.system.name for loaded in models))
    about = (
        f"Samples of {names} (seed {config.seed}) enlarged to {config.size_px} px, and photographs of one resolution."
    )
    return finish(folder, rows, about)


def _write_pairs(
    models: Sequence[LoadedGenerator],
    by_size: dict[int, Pictures],
    folder: Path,
    config: EnlargedConfig,
    progress: Progress,
) -> list[Item]:
    any_size = next(iter(by_size.values()))
    n = min(config.count, len(any_size))
    if n < config.count:
        progress.say(f"{n} pairs, not {config.count}: there are no more reals")
    if any(pictures.items != any_size.items for pictures in by_size.values()):
        raise UsageError("a real can be read at one size and not at another", "take out the pictures named above")
    items = with_data_sets_names(any_size.items)
    rows: list[Item] = []
    with progress.task(f"making {config.dataset}", n) as bar:
        for number, loaded in enumerate(models):
            mine = list(range(number, n, len(models)))
            for first in range(0, len(mine), BATCH):
                indices = mine[first : first + BATCH]
                pairs = [_pair(folder, config, index) for index in indices]
                if not all(pair.real.exists() and pair.fake.exists() for pair in pairs):
                    _draw(loaded, by_size[loaded.config.image_px], config, indices, pairs, first)
                for offset, (index, pair) in enumerate(zip(indices, pairs, strict=True)):
                    rows += _rows(loaded, items[index], config, pair, first + offset)
                bar(len(indices))
    return sorted(rows, key=lambda row: (row.path.name, row.label))


def _pair(folder: Path, config: EnlargedConfig, index: int) -> _Pair:
    return _Pair(
        folder / REAL / f"{index:06d}.jpg",
        folder / FAKE / f"{index:06d}.jpg",
        drawn_interpolation(config.seed, index),
        drawn_quality(config.seed, index, config.quality_low, config.quality_high),
    )


def _draw(
    loaded: LoadedGenerator,
    reals: Pictures,
    config: EnlargedConfig,
    indices: Sequence[int],
    pairs: Sequence[_Pair],
    first: int,
) -> None:
    """Write samples `first` and on of the generator, and the reals of these indices."""
    batches = draw_pictures(loaded, len(indices), config.seed, start=first, truncation=config.truncation)
    samples = [picture for batch in batches for picture in batch]
    for pair, sample, real in zip(pairs, samples, reals.batch(np.array(indices)), strict=True):
        for path, picture, is_fake in ((pair.fake, sample, True), (pair.real, real, False)):
            large = enlarged(picture, config.size_px, pair.interpolation)
            write_atomic(path, jpeg(large, pair.quality, is_fake))


def _rows(loaded: LoadedGenerator, item: Item, config: EnlargedConfig, pair: _Pair, sample: int) -> tuple[Item, Item]:
    """The real's row, and the sample's: in its split, but nobody's picture."""
    shared = {
        "original_dataset": item.dataset,
        "interpolation": pair.interpolation,
        "native_px": str(loaded.config.image_px),
        "jpeg_quality": str(pair.quality),
    }
    real = replace(
        item, path=pair.real, label=0, generator="", dataset=config.dataset, view=loaded.view, mask="",
        extra={"sha256": sha256_of_file(pair.real), **shared, "checkpoint": "", "sample": ""},
    )  # fmt: skip
    fake = replace(
        real, path=pair.fake, label=1, generator=loaded.system.name, identity="",
        source=f"{loaded.sha256[:12]}-{config.seed}-{sample}",
        extra={
            "sha256": sha256_of_file(pair.fake), **shared, "checkpoint": loaded.sha256, "sample": str(sample),
        },
    )  # fmt: skip
    return real, fake
