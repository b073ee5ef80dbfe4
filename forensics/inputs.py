"""What a user means by PATH: a file, a folder, a pattern, or `-` for a list on standard input."""

import glob
import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from forensics.common.text import printable
from forensics.media.sniff import MEDIA_SUFFIXES


@dataclass(frozen=True)
class Input:
    """A file to analyse; `shown` is what the user called it."""

    path: Path
    shown: str


@dataclass(frozen=True)
class Unusable:
    """Something the user named that gives no file, and why."""

    shown: str
    message: str
    hint: str


def expand_inputs(names: Iterable[str]) -> list[Input | Unusable]:
    """Files in a stable order, each once; what gives none stays in its place as an Unusable."""
    expanded: list[Input | Unusable] = []
    seen: set[Path] = set()
    for name in _with_standard_input(names):
        for entry in _expand(name):
            if isinstance(entry, Input):
                key = entry.path.absolute()
                if key in seen:
                    continue
                seen.add(key)
            expanded.append(entry)
    return expanded


def _with_standard_input(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name == "-":
            if isinstance(sys.stdin, io.TextIOWrapper):
                sys.stdin.reconfigure(errors="surrogateescape")  # as names on the command line are read
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        else:
            yield name


def _expand(name: str) -> list[Input | Unusable]:
    path = Path(name)
    try:
        if path.is_dir():
            return _folder(path, name)
        exists = path.exists()
    except (OSError, ValueError):  # a name too long, or with a NUL byte in it
        return [Unusable(printable(name), "not a usable path", "check the name")]
    if not exists and glob.has_magic(name):
        files = sorted(match for match in glob.glob(name, recursive=True) if Path(match).is_file())  # noqa: PTH207
        if not files:
            return [Unusable(printable(name), "no file matches this pattern", "quote the pattern or check the folder")]
        return [Input(Path(match), printable(match)) for match in files]
    if not exists:
        return [Unusable(printable(name), "no such file", "check the path")]
    return [Input(path, printable(name))]


def _folder(path: Path, name: str) -> list[Input | Unusable]:
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in MEDIA_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.is_file()
    )
    if not files:
        hint = "files are chosen by extension in a folder: name a file itself to scan it whatever it is called"
        return [Unusable(printable(name), "the folder holds no picture or video", hint)]
    return [Input(file, printable(str(file))) for file in files]
