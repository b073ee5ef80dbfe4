"""The folder of one adversarial set: images/*.png, manifest.csv, and crafted.jsonl, the journal that makes it resumable.

The journal's first line is the hash of the recipe; every further line is one picture, appended just before its PNG is
written, so that no file of ours is ever taken for somebody else's. A line that a crash cut off is ignored, and so is one
whose file is not there or another. Nothing is written through a link that leaves the folder.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
from pydantic import BaseModel, ConfigDict, ValidationError

from eval.attacks.quantisation import Picture
from forensics.common.errors import UsageError
from forensics.common.files import safe_name, sha256_of_file, write_atomic
from forensics.common.manifest import Item, write_manifest
from forensics.report.store import OutputFolder

JOURNAL, MANIFEST, IMAGES = "crafted.jsonl", "manifest.csv", "images"
PATCH_FILES = {1: "patch-fake-to-real.png", 0: "patch-real-to-fake.png"}


class Entry(BaseModel):
    """One adversarial picture.

    place: index of its original among those that are attacked. original: SHA-256 of the original's file. score_before:
    the victim's probability in memory. largest_change and rms_change: grey levels, over the squares, as saved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: int
    file: str
    sha256: str
    original: str
    score_before: float
    largest_change: int
    rms_change: float
    squares: int


class SetFolder:
    """One set on disk. Raises UsageError where something of somebody else's is in the way."""

    def __init__(self, path: Path, recipe_sha256: str, overwrite: bool) -> None:
        self.path, self._recipe, self._overwrite = path, recipe_sha256, overwrite
        _refuse_link(path)
        self._folder = OutputFolder(path, overwrite)
        self._folder.check([JOURNAL, MANIFEST, *PATCH_FILES.values()])
        images = path / IMAGES
        _refuse_link(images)
        with _typed(images):
            images.mkdir(exist_ok=True)
            if not (path / JOURNAL).exists() and any(images.iterdir()) and not overwrite:
                raise UsageError(f"{images} was not written by this tool", "choose another --output, or --overwrite")
        self._ours: set[str] = set()
        with _typed(path / JOURNAL):
            self.entries = self._load()

    def claim(self, names: Iterable[str]) -> None:
        """Raise UsageError if one of these names, which are to be written, is a picture that somebody else put there."""
        for name in sorted(set(names) - self._ours):
            path = self.path / IMAGES / name
            if (path.exists() or path.is_symlink()) and not self._overwrite:
                raise UsageError(f"{path} was not written by this tool", "choose another --output, or --overwrite")

    def add(self, new: Sequence[tuple[Entry, bytes]]) -> None:
        """Note pictures (as PNG bytes) and write them. Raises UsageError as `claim` does, and where it cannot write."""
        self.claim(entry.file for entry, _ in new)
        journal = self._folder.claim(JOURNAL)
        with _typed(journal), journal.open("a", encoding="utf-8") as file:
            file.writelines(f"{entry.model_dump_json()}\n" for entry, _ in new)
        self._ours |= {entry.file for entry, _ in new}
        for entry, data in new:
            with _typed(self.path / IMAGES / entry.file):
                write_atomic(self.path / IMAGES / entry.file, data)
        self.entries |= {entry.place: entry for entry, _ in new}

    def write_patch(self, name: str, data: bytes) -> None:
        """Keep a trained patch for people to look at."""
        with _typed(self.path / name):
            write_atomic(self._folder.claim(name), data)

    def write_rows(self, items: Iterable[Item]) -> None:
        """The manifest."""
        with _typed(self.path / MANIFEST):
            write_manifest(self._folder.claim(MANIFEST), items)

    def _load(self) -> dict[int, Entry]:
        """Entries of this recipe whose files are there unchanged; a journal of another recipe is begun anew."""
        path = self._folder.claim(JOURNAL)
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        entries = [entry for line in lines[1:] if (entry := _entry(line))]
        is_same = bool(lines) and lines[0] == _head(self._recipe)
        kept = {}
        for entry in entries:
            if is_same and _hash_or_empty(self.path / IMAGES / entry.file) == entry.sha256:
                kept[entry.place] = entry
                self._ours.add(entry.file)
        for entry in entries:
            if entry.file not in self._ours:
                (self.path / IMAGES / entry.file).unlink(missing_ok=True)
        text = "\n".join([_head(self._recipe), *(entry.model_dump_json() for entry in kept.values())]) + "\n"
        write_atomic(path, text)
        return kept


def _refuse_link(folder: Path) -> None:
    """Raise UsageError for a folder that is a link to somewhere else."""
    if not Path(os.path.realpath(folder)).is_relative_to(
        os.path.realpath(folder.parent)
    ):  # a loop is none, and no error
        raise UsageError(f"{folder} is a link to a folder outside of --output", "remove it, or choose another --output")


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    """An OSError as a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "is something else there, or the disk full?"
        ) from error


def png_bytes(picture: Picture) -> bytes:
    """(H, W, 3) uint8 RGB as PNG, the same bytes every time."""
    done, data = cv2.imencode(".png", picture[:, :, ::-1])
    if not done:
        raise ValueError("the PNG encoder gave nothing")
    return data.tobytes()


def file_names(paths: Sequence[Path]) -> list[str]:
    """A safe, unique PNG name per path, the same for the same list."""
    taken: set[str] = set()
    names = []
    for path in paths:
        stem, number = safe_name(path.stem), 2
        name = f"{stem}.png"
        while name.lower() in taken:  # some file systems do not tell upper from lower case
            name, number = f"{stem}-{number}.png", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def _head(recipe: str) -> str:
    return json.dumps({"recipe": recipe})


def _entry(line: str) -> Entry | None:
    try:
        entry = Entry.model_validate_json(line)
    except ValidationError:
        return None
    # A journal is a file that others may have edited: only plain names inside the folder are believed.
    return entry if Path(entry.file).name == entry.file and entry.file not in ("", ".", "..") else None


def _hash_or_empty(path: Path) -> str:
    """Of a regular file; another is not the one that was written."""
    try:
        return sha256_of_file(path) if path.is_file() and not path.is_symlink() else ""
    except OSError:
        return ""
