"""What every layout of a data set gives: its rows, and how it is recognised.

A layout is one way in which a public collection lies on a disk. Reading one opens no picture or video: labels, methods
and original recordings come from the names and lists that the collection ships. Label 1 = fake, 0 = real, whatever the
collection itself writes.

Every item that a layout gives carries, beside the columns of the manifest, these keys of `extra`:

`video`         identity of the video that the item is, or is a frame of: its path relative to the data set's folder,
                without extension, for frames the path of their folder; "" for a picture that stands alone. Equal file
                names under two methods (`000_003` of FaceForensics++) are two videos.
`donor`         where the name tells it: the recording or person whose face or expression was put into `source`.
`compression`   where the layout has it: raw, c23 or c40 (FaceForensics++).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forensics.common.manifest import Item

# What collections call their splits -> what they are called here.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "dev": "dev",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Reading:
    """Rows of a data set in a stable order, and one sentence for everything that was left out or is unusual."""

    items: tuple[Item, ...]
    root: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One layout. `description` is a line for --help; `looks` says by what a folder is recognised.

    `recognises(path)` looks at names and first bytes only. `read(path, compression)` raises ManifestError for a list that
    is malformed, contradicts the folders or leads outside, and UsageError for a compression that is not there.
    """

    name: str
    description: str
    looks: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, str | None], Reading]


@dataclass(frozen=True)
class LoadedDataset:
    """A data set as the benchmark uses it; `root` is the folder that `extra["video"]` is relative to."""

    items: tuple[Item, ...]
    layout: str
    root: Path
    notes: tuple[str, ...]


def canonical_compression(name: str) -> str:
    """FaceForensics++ calls its lossless videos `raw` in folders and `c0` in its paper's terms: here both are raw."""
    lowered = name.lower()
    return "raw" if lowered == "c0" else lowered


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 video`, `2 videos`."""
    return f"{n} {noun}" if n == 1 else f"{n} {plural or noun + 's'}"
