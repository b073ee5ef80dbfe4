"""The output folder: whose files are in it, which records can be reused, and where new ones go.

`forensics-run.json` lists every file that this tool wrote there. What is listed is updated by a later run; what is not
is somebody else's and never replaced unless asked to.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel

from forensics.common.errors import UsageError
from forensics.common.files import safe_name, sha256_of_text, write_atomic

RUN_FILE = "forensics-run.json"
Stored = TypeVar("Stored", bound=BaseModel)


class NamedFile(Protocol):
    """The part of a record that names its input."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...


TOOL = "deepfake-forensics"


class OutputFolder:
    """One --output folder. Raises UsageError where it cannot be used."""

    def __init__(self, folder: Path, overwrite: bool) -> None:
        self.folder, self._overwrite = folder, overwrite
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--output {folder}: {error.strerror}", "name a folder that can be written") from error
        self._files: list[str] = []
        self._records: dict[str, str] = {}
        self._taken: set[str] = set()
        self._load()

    def _load(self) -> None:
        path = self.folder / RUN_FILE
        if not path.exists():
            return
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            if run["tool"] != TOOL:
                raise ValueError("another tool's file")
            self._files = [str(name) for name in run["files"]]
            self._records = {str(key): str(name) for key, name in run["records"].items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            if not self._overwrite:
                raise UsageError(
                    f"{path} is not this tool's: {error}", "choose another --output, or --overwrite"
                ) from error

    def stored(self, kind: type[Stored], key: str, is_whole: Callable[[str, Stored], bool]) -> Stored | None:
        """The record of a kind under a key, if it is there; is_whole(stem, record): whether all that belongs to it is."""
        stem = self._records.get(key)
        if stem is None or stem in self._taken or safe_name(stem, 200) != stem:
            return None
        try:
            record = kind.model_validate_json((self.folder / f"{stem}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not is_whole(stem, record):
            return None
        self._taken.add(stem)
        return record

    def new_stem(self, file: NamedFile, ending: str = "") -> str:
        """A file name without extension for an input's record: readable, safe, the same on every run.

        ending: keeps records of different kinds of the same input apart.
        """
        mark = (file.sha256 or sha256_of_text(file.path))[:8]
        base = f"{safe_name(file.name)}-{mark}{ending}"
        stem, number = base, 2
        while stem in self._taken:
            stem, number = f"{base}-{number}", number + 1
        self._taken.add(stem)
        held = [key for key, name in self._records.items() if name == stem]
        for key in held:  # what comes into this file is not that key's record any more
            del self._records[key]
        if held:
            self._save()
        return stem

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file of ours. Raises UsageError for a file that somebody else wrote."""
        self.claim(name)
        self._write(name, content)

    def claim(self, name: str) -> Path:
        """The path of a file of ours that is appended to. Raises UsageError for a file that somebody else wrote."""
        self.check([name])
        if name not in self._files:
            self._files = sorted([*self._files, name])
            self._save()
        return self.folder / name

    def discard(self, name: str) -> None:
        """Remove a file of ours that no longer belongs to the rest; somebody else's stays."""
        if name in self._files:
            (self.folder / name).unlink(missing_ok=True)
            self._files.remove(name)
            self._save()

    def check(self, names: Iterable[str]) -> None:
        """Raise UsageError if one of these names is a file that somebody else wrote, or none that can be written."""
        for name in names:
            path = self.folder / name
            if path.parent != self.folder:
                raise UsageError(f"{name} would lie outside of {self.folder}")
            if path.exists() and name not in self._files and not self._overwrite:
                raise UsageError(f"{path} was not written by this tool", "choose another --output, or --overwrite")

    def remember(self, key: str, stem: str) -> None:
        """Make a finished record reusable under its key."""
        self._records[key] = stem
        self._save()

    def stem_of(self, key: str) -> str | None:
        """The stem of the record under a key."""
        return self._records.get(key)

    def _save(self) -> None:
        run = {"tool": TOOL, "files": self._files, "records": dict(sorted(self._records.items()))}
        self._write(RUN_FILE, json.dumps(run, indent=2) + "\n")

    def _write(self, name: str, content: str | bytes) -> None:
        try:
            write_atomic(self.folder / name, content)
        except OSError as error:
            raise UsageError(
                f"{self.folder / name} cannot be written: {error.strerror}", "name an --output that can be written"
            ) from error


def record_key(input_sha256: str, shown_path: str, options_sha256: str, weights_sha256: str, tool_version: str) -> str:
    """What must be unchanged for a record to be reused."""
    path = shown_path.encode("utf-8", "backslashreplace").decode("utf-8")  # a name may hold bytes that are not text
    return sha256_of_text("\n".join([input_sha256, path, options_sha256, weights_sha256, tool_version]))
