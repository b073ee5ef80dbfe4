"""Pictures and clips through a trained translator into a folder with a manifest.

    pictures/NAME.png ...   one a picture, of its size (x scale), tagged as synthetic where the format can say so
    clips/NAME.mp4 ...      one a clip (`clips`), likewise
    manifest.csv            label 1, generator (`restore:denoise`), source, what it was made of, SHA-256, checkpoint
    translate.json          the recipe, written before the first picture: whose folder this is

The same command again goes on where it stopped, with a clip that was not finished from its first frame. What cannot be
read is named and costs itself alone. Pictures come first, then clips.
"""

import json
from collections.abc import Callable, Sequence
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
from forensics.media.sniff import VIDEO_SUFFIXES
from generators.data.rows import MANIFEST_FILE, is_in_split, list_files
from generators.data.squares import read_whole
from generators.pictures import encoded, encoding_of
from generators.provenance import SourceType, synthetic_tags, tagged_png
from generators.translation.clips import CLIP_SUFFIX, HowClips, translate_clip
from generators.translation.loaded import LoadedTranslator
from generators.translation.steady import DEFAULT_SMOOTH_S
from generators.translation.tiles import check_tile, translate

RECORD, MANIFEST, PICTURES, CLIPS = "translate.json", "manifest.csv", "pictures", "clips"
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
    smooth_s: float = DEFAULT_SMOOTH_S
    precision: str = "float32"


@dataclass(frozen=True)
class Failed:
    """A picture or clip that gave none, and why."""

    path: Path
    message: str


@dataclass(frozen=True)
class Translated:
    """What came of a call: the manifest, how many pictures and clips, how many of both were there, and what failed."""

    manifest: Path
    pictures: int
    clips: int
    found: int
    failed: tuple[Failed, ...]


def items_of_paths(paths: Sequence[Path], split: str = "any") -> list[Item]:
    """Pictures and clips of files, folders and manifests, in their order, each once. Raises UsageError or ManifestError."""
    items: list[Item] = []
    for path in paths:
        if path.is_dir() and not (path / MANIFEST_FILE).is_file():
            files, manifests = list_files(path)
            if manifests:
                raise UsageError(
                    f"{path} is a folder of pictures, but {manifests[0]} lies in it",
                    "give the manifests, which say what is real and what is for testing",
                )
            items += [_undescribed(file, printable(path.resolve().name)) for file in files]
        elif path.is_dir() or path.suffix.lower() == ".csv":
            rows = read_manifest(path / MANIFEST_FILE if path.is_dir() else path)
            has_splits = any(row.split for row in rows)
            items += [
                replace(row, extra={**row.extra, MADE_OF_LABEL: str(row.label)})
                for row in rows
                if is_in_split(row, split, has_splits)
            ]
        else:
            items.append(_undescribed(path, ""))
    unique: dict[Path, Item] = {}
    for item in sorted(items, key=lambda item: MADE_OF_LABEL not in item.extra):  # what a manifest says of a file wins
        unique.setdefault(item.path.absolute(), item)
    if not unique:
        raise ManifestError("no picture or clip was given", "files, folders of them, or manifests")
    return list(unique.values())


def _undescribed(path: Path, dataset: str) -> Item:
    """A picture or clip of which nothing is known."""
    return Item(path, 0, dataset=dataset)


def is_clip(path: Path) -> bool:
    """By its name; its bytes decide when it is read."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def apply(
    loaded: LoadedTranslator, items: Sequence[Item], folder: Path, *, how_clips: HowClips, picture_format: str = "png",
    overwrite: bool = False, progress: Progress,
) -> Translated:  # fmt: skip
    """Translate all that is not there yet. Raises UsageError for a folder of something else, and where nothing could be
    read."""
    extension, _ = encoding_of(picture_format)
    check_tile(loaded, how_clips.tile_px)
    record = TranslateRecord(
        model=loaded.what, checkpoint=loaded.sha256, picture_format=picture_format, smooth_s=how_clips.smooth_s,
        precision=loaded.precision,
    )  # fmt: skip
    _claim(folder, record, overwrite)
    tags = synthetic_tags(
        f"{loaded.translator.title} by forensics generate translate, {loaded.what}", SourceType.COMPOSITE_TRAINED
    )

    def picture_written(source: Path, path: Path) -> str | None:
        return _written(loaded, source, path, how_clips.tile_px, picture_format, tags)

    def clip_written(source: Path, path: Path) -> str | None:
        return _written_clip(loaded, source, path, how_clips, tags, progress)

    try:
        write_atomic(folder / RECORD, json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
        outputs, clip_outputs = (folder / PICTURES).absolute(), (folder / CLIPS).absolute()
        items = [item for item in items if not {outputs, clip_outputs} & {*item.path.absolute().parents}]
        pictures, clips = ([item for item in items if is_clip(item.path) == wanted] for wanted in (False, True))
        made = _Made(loaded, folder / MANIFEST, progress)
        try:
            if pictures:
                with progress.task(f"translating by {loaded.what}", len(pictures)) as bar:
                    for item in pictures:
                        path = outputs / f"{name_of(item.path)}{extension}"
                        made.take(item, path, picture_written)
                        bar(1)
            for item in clips:
                path = clip_outputs / f"{name_of(item.path)}{CLIP_SUFFIX}"
                made.take(item, path, clip_written)
                made.write()  # a clip may take hours: what was made before the next one keeps its label
        finally:  # also where it was stopped: no fake lies there without its label
            made.write()
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}", "is the disk full, or read-only?"
        ) from error
    if not made.rows:
        raise ManifestError(f"none of {len(items)} pictures and clips could be translated", "the lines above say why")
    n_clips = sum(path.parent == clip_outputs for path in made.rows)
    return Translated(folder / MANIFEST, len(made.rows) - n_clips, n_clips, made.found, tuple(made.failed))


class _Made:
    """The manifest's rows as they come, beside those that were there."""

    def __init__(self, loaded: LoadedTranslator, manifest: Path, progress: Progress) -> None:
        self._loaded, self._manifest, self._progress = loaded, manifest, progress
        self._known = {row.path: row for row in read_manifest(manifest)} if manifest.is_file() else {}
        self.rows: dict[Path, Item] = {}
        self.failed: list[Failed] = []
        self.found = 0

    def take(self, item: Item, path: Path, write: Callable[[Path, Path], str | None]) -> None:
        """Note what is there of this very source, else `write` it (source, output); what it returns is why it did not."""
        source = _digest(item.path)
        before = self._known.get(path)
        if path.exists() and before is not None and before.extra.get(SOURCE_SHA256) == source:
            self.found += 1
        elif (why := write(item.path, path)) is not None:
            self.failed.append(Failed(item.path, why))
            self._progress.say(f"{printable(item.path.name)}: left out: {why}")
            return
        self.rows[path] = _row(self._loaded, item, path, source)

    def write(self) -> None:
        kept = {path: row for path, row in self._known.items() if path.exists()} | self.rows
        if kept:
            write_manifest(self._manifest, kept.values())


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


def _written_clip(
    loaded: LoadedTranslator, source: Path, path: Path, how: HowClips, tags: dict[str, str], progress: Progress
) -> str | None:
    """Translate one clip into a file; why there is none, if it could not be."""
    try:
        done = translate_clip(loaded, source, path, how, tags, progress)
    except MediaError as error:
        return error.message
    except (MemoryError, torch.OutOfMemoryError):
        return "too little memory for frames of this size (a smaller --tile helps the network alone)"
    name = printable(source.name)
    if done.errors:
        progress.say(f"{name}: damaged, {done.frames} frames could be read: {done.errors[0]}")
    if done.has_sound and done.sound.left_out:
        progress.say(f"{name}: without: {done.sound.left_out}")
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
            f"{folder} holds what was made by another recipe ({', '.join(changed)})", "another --output, or --overwrite"
        )
    (folder / MANIFEST).unlink(missing_ok=True)
    extension, _ = encoding_of(before.picture_format)
    for outputs, suffix in ((PICTURES, extension), (CLIPS, CLIP_SUFFIX)):
        for path in (folder / outputs).glob(f"*-{'[0-9a-f]' * NAME_DIGITS}{suffix}"):
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
