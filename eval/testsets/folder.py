"""The folder of a test set: whose it is, what of it is there already, and where its files go.

A folder with a testset.json is a set's. It is brought to completion by the same recipe only: files whose SHA-256 is known
and right are not made again. While files are written their hashes are kept in a journal beside them, which goes when the
set is complete. Nothing is written through a link that leaves the folder.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eval.testsets.record import CLASSES, DATASHEET_FILE, MANIFEST_FILE, RECORD_FILE, SetRecord, read_record
from forensics.common.errors import ForensicsError, UsageError
from forensics.common.files import HASH_CHUNK_BYTES, safe_name, sha256_of_file, write_atomic
from forensics.common.manifest import SPLITS, read_manifest
from forensics.media.child import open_regular

JOURNAL_FILE = ".testset-journal"
OWN_FILES = (RECORD_FILE, MANIFEST_FILE, DATASHEET_FILE, JOURNAL_FILE)
NAME_LIMIT = 60
MARK_DIGITS = 12  # of a file's SHA-256, in its name
TEMPORARY = re.compile(r"\..*\.tmp")  # as write_atomic names what is not finished


@dataclass(frozen=True)
class Known:
    """A finished file: its SHA-256, and that of the file it was made from."""

    sha256: str
    original: str


class SetFolder:
    """One --output. Raises UsageError where it cannot be used."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        self.folder, self._overwrite = folder, overwrite
        self.known: dict[str, Known] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._real = folder.resolve()
            entries = sorted(entry.name for entry in folder.iterdir())
        except OSError as error:
            raise UsageError(f"--output {folder}: {error.strerror}", "name a folder that can be written") from error
        self._before = self._record_there()
        if entries and self._before is None and not overwrite:
            raise UsageError(f"{folder} holds files that are not a test set", "choose another --output, or --overwrite")

    def _record_there(self) -> SetRecord | None:
        try:
            return read_record(self.folder / RECORD_FILE)
        except ForensicsError:
            return None

    def check(self, record: SetRecord) -> None:
        """Raise UsageError for a folder that holds a set of another recipe, unless it may be replaced."""
        before = self._before
        if before is not None and before.recipe_sha256 != record.recipe_sha256 and not self._overwrite:
            raise UsageError(
                f"{self.folder} holds a test set of another recipe", "choose another --output, or --overwrite"
            )

    def claim(self, record: SetRecord) -> None:
        """Make the folder this recipe's, unfinished. What an equal recipe finished is known from then on."""
        self.check(record)
        before = self._before
        is_same = before is not None and before.recipe_sha256 == record.recipe_sha256
        if before is not None:
            finished = self._finished(before)
            if is_same and before.environment == record.environment and before.tool_version == record.tool_version:
                self.known = finished
            else:  # another encoder may give other bytes
                self.remove(finished)
        self.write(RECORD_FILE, record.to_json())
        lines = "".join(_journal_line(path, known) for path, known in sorted(self.known.items()))
        self.write(JOURNAL_FILE, lines)
        for name in (MANIFEST_FILE, DATASHEET_FILE):
            if before is not None or self._overwrite:
                self.place(name).unlink(missing_ok=True)

    def _finished(self, before: SetRecord) -> dict[str, Known]:
        """By the manifest, where it is the one that was written; by the journal of an unfinished build."""
        finished = _read_journal(self.folder / JOURNAL_FILE)
        path = self.folder / MANIFEST_FILE
        with contextlib.suppress(OSError, ForensicsError):
            if before.state == "complete" and sha256_of_file(path) == before.manifest_sha256:
                for item in read_manifest(path):
                    name = item.path.relative_to(path.parent.absolute()).as_posix()
                    finished[name] = Known(item.extra.get("sha256", ""), item.extra.get("original", ""))
        return {name: known for name, known in finished.items() if is_media_path(name)}

    def place(self, name: str) -> Path:
        """Absolute path of a file of the set. Raises UsageError for one that would lie outside."""
        path = self.folder / name
        if not (is_media_path(name) or name in OWN_FILES) or not path.parent.resolve().is_relative_to(self._real):
            raise UsageError(f"{name} would lie outside of {self.folder}", "remove links from the folder")
        return path

    def finished_hash(self, name: str, original: str, is_copy: bool) -> str | None:
        """SHA-256 of a file that is there, was made from that original, and has not changed since; None for another."""
        known, path = Known(original, original) if is_copy else self.known.get(name), self.place(name)
        if known is None or known.original != original or path.is_symlink() or not path.is_file():
            return None
        return known.sha256 if sha256_of_file(path) == known.sha256 else None

    def write(self, name: str, content: bytes | str) -> None:
        """Write one file, whole or not at all."""
        path = self.place(name)
        try:
            write_atomic(path, content)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "is the disk full?") from error

    def copy(self, source: Path, name: str) -> str:
        """Copy a file of any length; gives its SHA-256."""
        target = self.place(name)
        digest = hashlib.sha256()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as output, open_regular(source) as file:
                    while chunk := file.read(HASH_CHUNK_BYTES):
                        digest.update(chunk)
                        output.write(chunk)
                Path(temporary).chmod(0o644)
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise UsageError(f"{source} cannot be copied: {error.strerror}", "is the disk full?") from error
        return digest.hexdigest()

    def note(self, name: str, known: Known) -> None:
        """A file is finished: a later build of the same recipe need not make it again."""
        if self.known.get(name) != known:
            self.known[name] = known
            with self.place(JOURNAL_FILE).open("a", encoding="utf-8") as journal:
                journal.write(_journal_line(name, known))

    def finish(self, names: Collection[str]) -> None:
        """Remove what is not part of the set any more: files that were finished for it, unfinished ones, the journal."""
        self.remove(set(self.known) - set(names))
        for path in self.folder.glob("*/*/*/.*.tmp"):
            if TEMPORARY.fullmatch(path.name) and is_media_path(path.relative_to(self.folder).as_posix()):
                path.unlink(missing_ok=True)
        self.place(JOURNAL_FILE).unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files of the set, and folders that are empty then."""
        for name in sorted(names):
            path = self.place(name)
            path.unlink(missing_ok=True)
            for folder in list(path.parents)[:3]:
                with contextlib.suppress(OSError):  # other files are in it
                    folder.rmdir()


def is_media_path(name: str) -> bool:
    """Whether a manifest's path has the form of ours: SPLIT/real|fake/FAMILY/FILE, and stays where it is."""
    parts = PurePosixPath(name).parts
    is_ours = len(parts) == 4 and parts[0] in SPLITS and parts[1] in CLASSES
    return is_ours and "/".join(parts) == name and not any(part in (".", "..") or "\0" in part for part in parts)


def media_name(split: str, label: int, family: str, stem: str, sha256: str, condition: str, suffix: str) -> str:
    """SPLIT/real|fake/FAMILY/STEM-HASH[--CONDITION].SUFFIX, safe whatever family and stem are called.

    sha256: of the original file; part of the name, so that two files never get the same.
    """
    mark = f"-{sha256[:MARK_DIGITS]}" + (f"--{safe_name(condition)}" if condition else "")
    folder = safe_name(family, NAME_LIMIT)
    return f"{split}/{CLASSES[label]}/{folder}/{safe_name(stem, NAME_LIMIT).lstrip('-') or 'input'}{mark}{suffix}"


def _journal_line(name: str, known: Known) -> str:
    return f"{known.sha256} {known.original} {name}\n"


def _read_journal(path: Path) -> dict[str, Known]:
    """Whole lines of a journal; the last one may be cut off."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines():
        parts = line.split(" ", 2)
        if len(parts) == 3 and all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in parts[:2]):
            found[parts[2]] = Known(parts[0], parts[1])
    return found
