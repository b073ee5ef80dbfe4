"""Pictures through a trained translator into a folder with a manifest.

    pictures/NAME.png ...   one a picture, of its size (x scale), tagged as synthetic where the format can say so
    manifest.csv            label 1, generator (`restore:denoise`), source, what it was made of, SHA-256, checkpoint
    translate.json          the recipe, written before the first picture: whose folder this is

The same command again goes on where it stopped. A picture that cannot be read is named and costs itself alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from forensics.common.errors import ManifestError, MediaError, UsageError
from forensics.common.files import sha256_of_file, sha256_of_text, write_atomic
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.progress import Progress
from forensics.common.text import csv_cell, printable
from forensics.media.sniff import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from generators.data.rows import MANIFEST_FILE, is_in_split, list_files
from generators.data.squares import read_whole
from generators.pictures import encoded, encoding_of
from generators.provenance import SourceType, synthetic_tags, tagged_png
from generators.translation.loaded import LoadedTranslator
from generators.translation.tiles import check_tile, translate

RECORD, MANIFEST, PICTURES = "translate.json", "manifest.csv", "pictures"
MADE_OF_LABEL, SOURCE_SHA256 = "made_of_label", "made_of_sha256"
NAME_DIGITS = 8
MAX_STEM = 60


class TranslateRecord(BaseModel):
    """translate.json: the recipe of every file in the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["forensics-translate-1"] = "forensics-translate-1"
    model: str
    checkpoint: str
    picture_format: str


@dataclass(frozen=True)
class Failed:
    """A picture that gave none, and why."""

    path: Path
    message: str


@dataclass(frozen=True)
class Translated:
    """What came of a call: the manifest, how many pictures are in it, how many of them were there, and what failed."""

    manifest: Path
    pictures: int
    found: int
    failed: tuple[Failed, ...]


def pictures_of_paths(paths: Sequence[Path], split: str = "any") -> list[Item]:
    """Pictures of files, folders and manifests, in their order, each once. Raises UsageError or ManifestError."""
    items: list[Item] = []
    for path in paths:
        if path.is_dir() and not (path / MANIFEST_FILE).is_file():
            files, manifests = list_files(path)
            if manifests:
                raise UsageError(
                    f"{path} is a folder of pictures, but {manifests[0]} lies in it",
                    "give the manifests, which say what is real and what is for testing",
                )
            found = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
            items += [_undescribed(file, printable(path.resolve().name)) for file in found]
        elif path.is_dir() or path.suffix.lower() == ".csv":
            rows = read_manifest(path / MANIFEST_FILE if path.is_dir() else path)
            has_splits = any(row.split for row in rows)
            items += [
                replace(row, extra={**row.extra, MADE_OF_LABEL: str(row.label)})
                for row in rows
                if is_in_split(row, split, has_splits) and row.path.suffix.lower() not in VIDEO_SUFFIXES
            ]
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            raise UsageError(f"{path} is a clip; pictures are translated", "cut frames out of it first")
        else:
            items.append(_undescribed(path, ""))
    unique: dict[Path, Item] = {}
    for item in sorted(items, key=lambda item: MADE_OF_LABEL not in item.extra):  # what a manifest says of a file wins
        unique.setdefault(item.path.absolute(), item)
    if not unique:
        raise ManifestError("no picture was given", "pictures, folders of them, or manifests")
    return list(unique.values())


def _undescribed(path: Path, dataset: str) -> Item:
    """A picture of which nothing is known."""
    return Item(path, 0, dataset=dataset)


def apply(
    loaded: LoadedTranslator, items: Sequence[Item], folder: Path, *, tile_px: int, picture_format: str = "png",
    overwrite: bool = False, progress: Progress,
) -> Translated:  # fmt: skip
    """Translate every picture that is not there yet. Raises UsageError for a folder of something else, and where nothing
    could be read."""
    extension, _ = encoding_of(picture_format)
    check_tile(loaded, tile_px)
    record = TranslateRecord(model=loaded.what, checkpoint=loaded.sha256, picture_format=picture_format)
    _claim(folder, record, overwrite)
    tags = synthetic_tags(
        f"{loaded.translator.title} by forensics generate translate, {loaded.what}", SourceType.COMPOSITE_TRAINED
    )
    failed: list[Failed] = []
    rows: dict[Path, Item] = {}
    found = 0
    try:
        write_atomic(folder / RECORD, json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
        known = {row.path: row for row in read_manifest(folder / MANIFEST)} if (folder / MANIFEST).is_file() else {}
        outputs = (folder / PICTURES).absolute()
        items = [item for item in items if outputs not in item.path.absolute().parents]
        try:
            with progress.task(f"translating by {loaded.what}", len(items)) as bar:
                for item in items:
                    path = outputs / f"{name_of(item.path)}{extension}"
                    source = _digest(item.path)
                    before = known.get(path)
                    if path.exists() and before is not None and before.extra.get(SOURCE_SHA256) == source:
                        found += 1
                    elif (why := _written(loaded, item.path, path, tile_px, picture_format, tags)) is not None:
                        failed.append(Failed(item.path, why))
                        progress.say(f"{printable(item.path.name)}: left out: {why}")
                        bar(1)
                        continue
                    rows[path] = _row(loaded, item, path, source)
                    bar(1)
        finally:  # also where it was stopped: no fake lies there without its label
            kept = {path: row for path, row in known.items() if path.exists()} | rows
            if kept:
                write_manifest(folder / MANIFEST, kept.values())
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}", "is the disk full, or read-only?"
        ) from error
    if not rows:
        raise ManifestError(f"none of {len(items)} pictures could be translated", "the lines above say why")
    return Translated(folder / MANIFEST, len(rows), found, tuple(failed))


def _written(
    loaded: LoadedTranslator, source: Path, path: Path, tile_px: int, picture_format: str, tags: dict[str, str]
) -> str | None:
    """Translate one picture into a file; why there is none, if it could not be."""
    try:
        data = encoded(translate(loaded, read_whole(source), tile_px), picture_format)
    except MediaError as error:
        return error.message
    except (MemoryError, torch.OutOfMemoryError):
        return "too little memory for a picture of this size (a smaller --tile helps the network alone)"
    except (ValueError, cv2.error):
        return f"the result is too large for {picture_format}"
    write_atomic(path, tagged_png(data, tags) if picture_format == "png" else data)
    return None


def _digest(path: Path) -> str:
    """Of a source's bytes, so that an edited one is translated again; empty where it cannot be read."""
    try:
        return sha256_of_file(path)
    except OSError:
        return ""


def name_of(path: Path) -> str:
    """Of an output: the picture's own, and a digest of where it lies, so that two of one name are two."""
    stem = printable(path.stem).replace("/", "_")[:MAX_STEM]
    return f"{stem}-{sha256_of_text(printable(str(path.absolute())))[:NAME_DIGITS]}"


def _row(loaded: LoadedTranslator, item: Item, path: Path, source: str) -> Item:
    name = csv_cell(printable(item.path.name))
    extra: dict[str, str] = {
        "made_of": name,
        MADE_OF_LABEL: item.extra.get(MADE_OF_LABEL, ""),  # of a file alone nobody said what it is
        SOURCE_SHA256: source,
        "checkpoint": loaded.sha256,
        "sha256": sha256_of_file(path),
    }
    return replace(
        item, path=path, label=1, generator=loaded.what, source=item.source or name, mask="", extra=extra
    )  # fmt: skip


def _claim(folder: Path, record: TranslateRecord, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder with --output")
    before = _read(folder, overwrite)
    if before is None:
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise UsageError(
                f"{folder} holds files that no translation wrote", "choose another --output, or --overwrite"
            )
        return
    if before == record:
        return
    changed = [name for name in TranslateRecord.model_fields if getattr(before, name) != getattr(record, name)]
    if not overwrite:
        raise UsageError(
            f"{folder} holds pictures of another recipe ({', '.join(changed)})", "another --output, or --overwrite"
        )
    (folder / MANIFEST).unlink(missing_ok=True)
    extension, _ = encoding_of(before.picture_format)
    for path in (folder / PICTURES).glob(f"*-{'[0-9a-f]' * NAME_DIGITS}{extension}"):
        path.unlink()


def _read(folder: Path, overwrite: bool) -> TranslateRecord | None:
    try:
        return TranslateRecord.model_validate_json((folder / RECORD).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        if overwrite:
            return None
        raise UsageError(f"{folder / RECORD} is not a record of a translation", "choose another --output") from error
