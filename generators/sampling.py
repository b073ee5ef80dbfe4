"""A folder of samples with a manifest, ready for `forensics train` and `forensics bench`, and reals beside them if asked.

    fake/000000.png ...   label 1      real/000000.png ...   label 0, through the same resizing and encoder
    manifest.csv          one row a picture, with its SHA-256
    samples.json          the recipe, written before the first picture: whose folder this is
    grid.png              the first samples, to look at

The same command again goes on where it stopped, and with a larger n adds to the folder. Files of another recipe, or of
somebody else, are never replaced without `overwrite`.
Limits: reals are decoded again on every call. Bytes repeat on one kind of device with the same libraries.
"""

import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import SPLITS, Item, write_manifest
from forensics.common.progress import Progress
from forensics.common.text import printable
from generators.checkpoint import LoadedGenerator
from generators.data.pictures import DataRequest, Pictures, load_pictures
from generators.drawing import BATCH, draw_latents, draw_pictures, label_text, labels_of
from generators.monitor.grid import columns_for, tile
from generators.pictures import Picture, encoded, encoding_of, write_png

__all__ = ["Reals", "SampleRecord", "draw_latents", "draw_pictures", "read_record", "write_samples"]

RECORD, MANIFEST, GRID = "samples.json", "manifest.csv", "grid.png"
FAKE, REAL = "fake", "real"
GRID_PICTURES = 64
# The seed where none is named: the same latents in two splits would be the same pictures.
SPLIT_SEEDS = {"train": 0, "dev": 1, "test": 2}


@dataclass(frozen=True)
class Reals:
    """Real pictures to be written beside the samples: as many as there are samples, or all where there are fewer."""

    data: tuple[Path, ...]
    split: Literal["train", "dev", "test", "any"] = "train"


class SampleRecord(BaseModel):
    """samples.json: what the folder's files are made of. All but `n` and `n_reals` is the recipe.

    checkpoint: SHA-256 of its file. label: the one class that was asked for, "" for all in turn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["forensics-samples-1"] = "forensics-samples-1"
    system: str
    checkpoint: str
    step: int
    seed: int
    truncation: float | None
    label: str
    image_px: int
    view: str
    picture_format: str
    split: str
    dataset: str
    reals: tuple[str, ...]
    reals_split: str
    n: int
    n_reals: int

    def difference(self, other: "SampleRecord") -> list[str]:
        """Fields of the recipe that differ."""
        fields = SampleRecord.model_fields.keys() - {"n", "n_reals"}
        return sorted(name for name in fields if getattr(self, name) != getattr(other, name))


def write_samples(
    loaded: LoadedGenerator,
    folder: Path,
    n: int,
    seed: int | None = None,
    split: str = "train",
    *,
    truncation: float | None = None,
    label: int | None = None,
    dataset: str = "",
    picture_format: str = "png",
    reals: Reals | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Draw samples 0 to n of the seed into `folder`; returns the path of its manifest.

    seed: without one, that of SPLIT_SEEDS. label: the class of all (see `drawing.label_named`).
    picture_format: "png" or "jpeg:Q", for reals alike.
    Raises UsageError for a folder that holds something else, fewer samples than it holds, and options that cannot be.
    """
    say = progress or Progress(quiet=True)
    if n < 1 or split not in SPLITS:
        raise UsageError(f"cannot write {n} samples of split '{split}'", f"one or more, of {', '.join(SPLITS)}")
    if truncation is not None and not math.isfinite(truncation):
        raise UsageError(f"a truncation of {truncation} cannot be", "a number above 0, such as 0.5")
    encoding_of(picture_format)
    _check_text(dataset, *(() if reals is None else map(str, reals.data)))
    record = SampleRecord(
        system=loaded.system.name,
        checkpoint=loaded.sha256,
        step=loaded.step,
        seed=SPLIT_SEEDS[split] if seed is None else seed,
        truncation=truncation,
        label="" if label is None else label_text(loaded, label),
        image_px=loaded.config.image_px,
        view=loaded.view,
        picture_format=picture_format,
        split=split,
        dataset=dataset or f"generators-{loaded.system.name}",
        reals=() if reals is None else tuple(path.as_posix() for path in reals.data),
        reals_split="" if reals is None else reals.split,
        n=n,
        n_reals=0,
    )
    try:
        return _write(loaded, folder, record, label, reals, overwrite, say)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}", "is the disk full?"
        ) from error


def _check_text(*names: str) -> None:
    """Raise UsageError for a name that the record and the manifest, both UTF-8, cannot hold."""
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(f"'{printable(name)}' is not UTF-8", "give it another name") from error


def _write(
    loaded: LoadedGenerator,
    folder: Path,
    record: SampleRecord,
    label: int | None,
    reals: Reals | None,
    overwrite: bool,
    say: Progress,
) -> Path:
    before = _claim(folder, record, overwrite)
    with tempfile.TemporaryDirectory(prefix="forensics-reals-") as cache:
        pictures = None if reals is None else _load(loaded, reals, record.n, Path(cache), say)
        record = record.model_copy(update={"n_reals": 0 if pictures is None else len(pictures)})
        write_atomic(folder / RECORD, f"{record.model_dump_json(indent=1)}\n")
        rows = _write_fakes(loaded, folder, record, label, say)
        if pictures is not None:
            rows += _write_reals(pictures, folder, record, before, say)
    write_manifest(folder / MANIFEST, rows)
    return folder / MANIFEST


def read_record(folder: Path) -> SampleRecord | None:
    """The folder's samples.json, None where there is none. Raises UsageError for one that is not ours."""
    try:
        return SampleRecord.model_validate_json((folder / RECORD).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise UsageError(f"{folder / RECORD} is not a record of samples", "choose another --output") from error


def _claim(folder: Path, record: SampleRecord, overwrite: bool) -> SampleRecord | None:
    """Make sure that files may be written there; with `overwrite`, take away what is in their place. The record before."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder with --output")
    before = None if overwrite else read_record(folder)
    if overwrite:
        _clear(folder, record)
        return None
    if before is None:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds files that are not samples", "choose another --output, or --overwrite")
        return None
    changed = record.difference(before)
    if changed:
        values = "; ".join(f"{name} is {getattr(before, name)!r}, not {getattr(record, name)!r}" for name in changed)
        raise UsageError(f"{folder} holds samples of another recipe: {values}", "another --output, or --overwrite")
    paths = _paths(folder, FAKE, max(record.n, before.n), record)
    n_there = max((k + 1 for k, path in enumerate(paths[: before.n]) if path.exists()), default=0)
    if record.n < n_there:  # a stopped command may hold fewer than it was to
        raise UsageError(f"{folder} holds {n_there} samples already", f"--n {n_there} or more, or --overwrite")
    foreign = [path for path in paths[before.n :] if path.exists()]
    if foreign:  # the record is older than every picture that it speaks of
        raise UsageError(f"{foreign[0]} is not one of the folder's samples", "move it away, or --overwrite")
    return before


def _clear(folder: Path, record: SampleRecord) -> None:
    """Remove what the new files would be taken for, and what an older record says is ours; other files stay."""
    try:
        before = read_record(folder)
    except UsageError:
        before = None
    (folder / MANIFEST).unlink(missing_ok=True)
    _remove(_paths(folder, FAKE, record.n, record))
    if before is not None:
        _remove(_paths(folder, FAKE, before.n, before))
        _remove(_paths(folder, REAL, before.n_reals, before))
    (folder / GRID).unlink(missing_ok=True)
    (folder / RECORD).unlink(missing_ok=True)  # last: it says what else is ours


def _paths(folder: Path, kind: str, n: int, record: SampleRecord) -> list[Path]:
    """Where the first n fakes or reals of a record lie."""
    extension, _ = encoding_of(record.picture_format)
    return [folder / kind / f"{index:06d}{extension}" for index in range(n)]


def _write_fakes(
    loaded: LoadedGenerator, folder: Path, record: SampleRecord, label: int | None, progress: Progress
) -> list[Item]:
    """Draw what is not there yet, batch by batch. Rows of all."""
    paths = _paths(folder, FAKE, record.n, record)
    in_grid = min(record.n, GRID_PICTURES)
    grid: list[Picture] = []
    n_there = sum(path.exists() for path in paths)
    if n_there:
        progress.say(f"{n_there} of {record.n} samples are there already")
    with progress.task(f"drawing with {record.system}", record.n) as bar:
        for first in range(0, record.n, BATCH):
            there = [path.exists() for path in paths[first : first + BATCH]]
            if not all(there) or first < in_grid:
                drawn = _batch(loaded, record, first, len(there), label)
                grid += drawn[: max(0, in_grid - first)]
                for picture, path, is_there in zip(drawn, paths[first:], there, strict=False):
                    if not is_there:
                        write_atomic(path, encoded(picture, record.picture_format))
            bar(len(there))
    write_png(folder / GRID, tile(np.stack(grid), columns_for(in_grid)))
    labels = labels_of(loaded, np.arange(record.n), label)
    return [_row(loaded, record, path, k, None if labels is None else int(labels[k])) for k, path in enumerate(paths)]


def _batch(loaded: LoadedGenerator, record: SampleRecord, first: int, n: int, label: int | None) -> list[Picture]:
    batches = draw_pictures(loaded, n, record.seed, start=first, truncation=record.truncation, label=label)
    return [picture for batch in batches for picture in batch]


def _row(loaded: LoadedGenerator, record: SampleRecord, path: Path, index: int, label: int | None) -> Item:
    extra = {"sha256": sha256_of_file(path), "seed": str(record.seed), "checkpoint": record.checkpoint}
    if label is not None:
        # Which class was drawn, or which of MAD-GAN's generators drew.
        extra["class" if loaded.system.condition == "class" else "generator_index"] = label_text(loaded, label)
    if record.truncation is not None:
        extra["truncation"] = f"{record.truncation:g}"
    return Item(
        path=path,
        label=1,
        generator=record.system,
        dataset=record.dataset,
        source=f"{record.checkpoint[:12]}-{record.seed}-{index}",
        split=record.split,
        view=record.view,
        extra=extra,
    )


def _load(loaded: LoadedGenerator, reals: Reals, n: int, cache: Path, progress: Progress) -> Pictures:
    """Real pictures as the generator's training saw them: the same crop and resizing."""
    request = DataRequest(data=reals.data, label="0", split=reals.split, faces=loaded.view == "face", limit=n)
    pictures = load_pictures(request, loaded.config.image_px, cache, progress)
    if len(pictures) < n:
        progress.say(f"{len(pictures)} reals for {n} samples: there are no more")
    if pictures.view != loaded.view:
        # One view for both, or a scan would crop one class and not the other.
        progress.say(
            f"reals are of view {pictures.view}, the generator's pictures of view {loaded.view}: all rows say so"
        )
    return pictures


def _write_reals(
    pictures: Pictures,
    folder: Path,
    record: SampleRecord,
    before: SampleRecord | None,
    progress: Progress,
) -> list[Item]:
    """Write reals by the fakes' encoder."""
    rows = []
    paths = _paths(folder, REAL, len(pictures), record)
    # An older manifest may know other pictures by these names.
    (folder / MANIFEST).unlink(missing_ok=True)
    is_mixed = len({item.dataset for item in pictures.items}) > 1
    with progress.task("writing reals", len(pictures)) as bar:
        for first in range(0, len(pictures), BATCH):
            indices = np.arange(first, min(first + BATCH, len(pictures)))
            for index, picture in zip(indices, pictures.batch(indices), strict=True):
                path = paths[index]
                write_atomic(path, encoded(picture, record.picture_format))
                rows.append(_real_row(pictures.items[index], path, record, is_mixed))
            bar(len(indices))
    _remove(_paths(folder, REAL, before.n_reals if before else 0, record)[len(rows) :])
    return rows


def _real_row(item: Item, path: Path, record: SampleRecord, is_mixed: bool) -> Item:
    """Whose picture it is stays, and its split; the data set is the fakes', so that both classes are measured together.

    Sources and identities are names within a data set: where several are mixed, they carry its name.
    """
    mark = f"{item.dataset}/" if is_mixed else ""
    return replace(
        item,
        path=path,
        label=0,
        dataset=record.dataset,
        source=f"{mark}{item.source}" if item.source else "",
        identity=f"{mark}{item.identity}" if item.identity else "",
        split=item.split or record.split,
        view=record.view,
        mask="",
        extra={"sha256": sha256_of_file(path), "original_dataset": item.dataset},
    )


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
