"""The folder of one adversarial set: images/*.png, manifest.csv, and crafted.jsonl, the journal that makes it resumable.

The journal's first line is the hash of the recipe; every further line is one picture, appended when its PNG is written. A
line that a crash cut off is ignored, and so is a picture whose file is not the one that was written.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
from pydantic import BaseModel, ConfigDict, ValidationError

from eval.attacks.quantisation import Picture
from forensics.common.errors import UsageError
from forensics.common.files import safe_name, sha256_of_file, write_atomic
from forensics.common.manifest import Item, write_manifest
from forensics.report.store import OutputFolder

JOURNAL, MANIFEST, IMAGES = "crafted.jsonl", "manifest.csv", "images"


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
        self.path, self._recipe = path, recipe_sha256
        self._folder = OutputFolder(path, overwrite)
        self._folder.check([JOURNAL, MANIFEST])
        images = path / IMAGES
        if not (path / JOURNAL).exists() and images.is_dir() and any(images.iterdir()) and not overwrite:
            raise UsageError(f"{images} was not written by this tool", "choose another --output, or --overwrite")
        images.mkdir(exist_ok=True)
        self.entries = self._load()

    def add(self, new: Sequence[tuple[Entry, bytes]]) -> None:
        """Write pictures (as PNG bytes) and note them."""
        for entry, data in new:
            write_atomic(self.path / IMAGES / entry.file, data)
        with self._folder.claim(JOURNAL).open("a", encoding="utf-8") as journal:
            journal.writelines(f"{entry.model_dump_json()}\n" for entry, _ in new)
        self.entries |= {entry.place: entry for entry, _ in new}

    def write_patch(self, name: str, data: bytes) -> None:
        """Keep a trained patch for people to look at."""
        write_atomic(self._folder.claim(name), data)

    def write_rows(self, items: Iterable[Item]) -> None:
        """The manifest."""
        write_manifest(self._folder.claim(MANIFEST), items)

    def _load(self) -> dict[int, Entry]:
        """Entries of this recipe whose files are there unchanged; a journal of another recipe is begun anew."""
        path = self._folder.claim(JOURNAL)
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        entries = [entry for line in lines[1:] if (entry := _entry(line))]
        if not lines or lines[0] != _head(self._recipe):
            for entry in entries:
                (self.path / IMAGES / entry.file).unlink(missing_ok=True)
            entries = []
        kept = {
            entry.place: entry for entry in entries if _hash_or_empty(self.path / IMAGES / entry.file) == entry.sha256
        }
        text = "\n".join([_head(self._recipe), *(entry.model_dump_json() for entry in kept.values())]) + "\n"
        write_atomic(path, text)
        return kept


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
    try:
        return sha256_of_file(path)
    except OSError:
        return ""
