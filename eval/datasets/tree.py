"""The folder of a data set: what lies in it, what a list says lies in it, and nothing outside.

Archives and lists are downloads, so they are not trusted: an entry that is absolute, climbs with `..`, or goes through a
link that leaves the folder is refused, because a benchmark would hash, copy and report files that the user never named.
Hidden files and folders are skipped (`.DS_Store`, `._x.jpg` of other systems). Order is that of the paths, on any disk.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from forensics.common.errors import ManifestError
from forensics.common.text import printable
from forensics.media.sniff import MEDIA_SUFFIXES, VIDEO_SUFFIXES

INSIDE_HINT = "a data set is read inside its own folder only: a manifest of yours may name files anywhere"
# DeepfakeBench's largest list (FaceForensics++, two compressions, 32 frames of 5,000 videos) has about 40 MB.
MAX_LIST_BYTES = 1 << 30
FRAME_FOLDERS = ("images", "frames")  # FaceForensics++'s own extraction script; DeepfakeBench


@dataclass(frozen=True)
class Clip:
    """One video: its file, or its frames in order. `name` is what the collection calls it, `video` its identity."""

    name: str
    video: str
    files: tuple[Path, ...]
    is_frames: bool


class Tree:
    """A data set's folder. `path` is absolute and as the user wrote it (not resolved)."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._real = _resolved(self.path)
        self._checked: dict[Path, Path] = {}

    def listed(self, entry: str, place: str, folder: Path | None = None) -> Path:
        """Absolute path of an entry of a list, relative to `folder` (the root by default); it need not exist.

        Raises ManifestError, naming `place`, for an entry that leads outside the root.
        """
        pure = PurePosixPath(entry)
        if not entry or "\0" in entry or pure.is_absolute() or ".." in pure.parts:
            raise ManifestError(f"{place}: {_shown(entry)} leads outside {self.path}", INSIDE_HINT)
        path = (folder or self.path) / pure
        self.check_inside(path, place)
        return path

    def check_inside(self, path: Path, place: str = "") -> None:
        """Raise ManifestError where links on the way to `path` leave the root."""
        parent = self._checked.get(path.parent)
        if parent is None:
            parent = self._checked[path.parent] = _resolved(path.parent)
        target = _resolved(path) if is_there(path.is_symlink) else parent / path.name
        if not target.is_relative_to(self._real):
            where = f"{place}: " if place else ""
            raise ManifestError(f"{where}{_shown(str(path))} is a link that leads outside {self.path}", INSIDE_HINT)

    def name(self, path: Path) -> str:
        """Path relative to the root with forward slashes; bytes that are not text are shown escaped."""
        return printable(path.relative_to(self.path).as_posix())

    def stem(self, path: Path) -> str:
        """The same without the extension: the identity of a video file."""
        return self.name(path.with_suffix(""))

    def folders(self, folder: Path) -> list[Path]:
        """Visible folders directly in `folder`, sorted; links that leave the root raise ManifestError."""
        found = subfolders(folder)
        for path in found:
            self.check_inside(path)
        return found

    def media(self, folder: Path, deep: bool = True) -> list[Path]:
        """Pictures and videos in `folder` (by extension), sorted; `deep` also in the folders below."""
        found: list[Path] = []
        self._collect(folder, deep, found, frozenset())
        return sorted(found)

    def _collect(self, folder: Path, deep: bool, found: list[Path], above: frozenset[Path]) -> None:
        self.check_inside(folder)
        real = _resolved(folder)
        if real in above:  # a link back to a folder that is being read
            return
        for entry in _entries(folder):
            path = Path(entry.path)
            if entry.is_symlink():
                self.check_inside(path)
            if entry.is_dir():
                if deep:
                    self._collect(path, deep, found, above | {real})
            elif path.suffix.lower() in MEDIA_SUFFIXES and entry.is_file():
                found.append(path)

    def clips(self, folder: Path, direct: bool = False) -> list[Clip]:
        """Videos of one class and method: `folder/videos/*.mp4` (with `direct` also `folder/*.mp4`), or, where there are
        none, frames as `folder/images/VIDEO/*.png` or `folder/frames/VIDEO/*.png`. Never both: they show the same.
        """
        places = [folder / "videos", *([folder] if direct else [])]
        for place in places:
            videos = [path for path in self._visible(place) if path.suffix.lower() in VIDEO_SUFFIXES]
            if videos:
                return self._video_clips(videos)
        for name in FRAME_FOLDERS:
            place = folder / name
            held = [(below, self.media(below)) for below in self.folders(place)] if is_there(place.is_dir) else []
            found = [
                Clip(printable(below.name), self.name(below), tuple(files), True) for below, files in held if files
            ]
            if found:
                return found
        return []

    def _visible(self, folder: Path) -> list[Path]:
        return self.media(folder, deep=False) if is_there(folder.is_dir) else []

    def _video_clips(self, videos: list[Path]) -> list[Clip]:
        identities = video_identities(self, videos)
        return [Clip(printable(path.stem), identities[path], (path,), False) for path in videos]


def video_identities(tree: Tree, videos: list[Path]) -> dict[Path, str]:
    """Identity of each video file: its relative path without extension, with it where two files differ in that alone."""
    stems = Counter(tree.stem(path) for path in videos)
    return {path: tree.stem(path) if stems[tree.stem(path)] == 1 else tree.name(path) for path in videos}


def is_there(check: Callable[[], bool]) -> bool:
    """The answer of `path.is_file`, `path.is_dir` and the like, for names that come from lists or the command line.

    What a disk cannot hold (a name that is too long, or no text that it can encode) and what must not be seen is not there.
    """
    try:
        return check()
    except (OSError, ValueError):
        return False


def subfolders(folder: Path) -> list[Path]:
    """Visible folders directly in `folder`, sorted, wherever links lead: for recognising a layout, not for reading it."""
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_dir())


def find_folder(folder: Path, name: str) -> Path | None:
    """The sub-folder with this name, whatever its case: archives differ (YouTube-real, Youtube-real)."""
    matches = [Path(entry.path) for entry in _entries(folder) if entry.name.lower() == name.lower() and entry.is_dir()]
    return min(matches, default=None)


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a text list that are not blank, each with its place (`FILE:LINE`). Raises ManifestError."""
    lines = _text(path).splitlines()
    return [(f"{path}:{number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def read_json(path: Path) -> tuple[object, int]:
    """Contents of a JSON file, and how many keys were there twice with equal values.

    Raises ManifestError with the line for what is not JSON, and for a key that is there twice with two values.
    """
    repeated = 0

    def merge(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated
        merged: dict[str, object] = {}
        for key, value in pairs:
            if key in merged:
                if merged[key] != value:
                    raise ManifestError(f"{path}: {_shown(key)} is there twice, and differs", "keep the right one")
                repeated += 1
            merged[key] = value
        return merged

    try:
        return json.loads(_text(path), object_pairs_hook=merge), repeated
    except json.JSONDecodeError as error:
        raise ManifestError(f"{path}:{error.lineno}: not JSON: {error.msg}", "download the list again") from error
    except (RecursionError, ValueError) as error:  # nested without end; a number of thousands of digits
        raise ManifestError(f"{path}: not a list of a data set: {error}", "download the list again") from error


def head_of(path: Path, n: int = 4096) -> str:
    """The first characters of a text file, for recognising it; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(n).decode("utf-8", "replace").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ManifestError(f"{path} is larger than any list of a data set", "check what was downloaded")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {error}", "check the file, or download it again") from error


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise ManifestError(f"cannot read the folder {folder}: {error.strerror}", "check its permissions") from error


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a link that leads to itself
        raise ManifestError(f"{_shown(str(path))} is a link that leads nowhere", "remove it") from error
    except ValueError as error:  # half of a character, as JSON can hold
        raise ManifestError(f"{_shown(str(path))} is no name that a file can have", "check the list") from error


def _shown(text: str) -> str:
    """An entry as a message may show it: one line, not endless."""
    return repr(printable(text if len(text) <= 200 else f"{text[:200]}..."))
