"""Items of data sets -> rows to audit: traits of every file, which data set it is of, on which side of a split it is."""

import os
import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from forensics.common.errors import MediaError
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.media.reader import MediaReader
from forensics.media.traits import FileTraits, read_traits
from forensics.media.types import MediaLimits

# Sides that no split names, before the name of their DATA.
ALL_OF, NO_SPLIT_IN = "all of", "no split in"


@dataclass(frozen=True)
class AuditData:
    """One DATA of the command; `name` is unique among them and stands before the paths of its items."""

    name: str
    root: Path
    layout: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AuditRow:
    """One item. `traits` is None where the file cannot be read, and `message` says why.

    data_set names the collection: sources and identities are compared within it only. `side` is the item's split; where a
    DATA names no splits at all, DATA itself is one side; its items without a split among others that have one are another.
    """

    item: Item
    data: str
    shown: str
    data_set: str
    side: str
    traits: FileTraits | None
    message: str = ""

    @property
    def is_fake(self) -> bool:
        return self.item.label == 1


def read_rows(data: Sequence[AuditData], workers: int, timeout_s: float, progress: Progress) -> list[AuditRow]:
    """One row per item, in the order of the items. An unreadable file is a row without traits, never an error."""
    paths = [item.path for one in data for item in one.items]
    traits = _read_all(paths, workers, MediaLimits(max_wall_s=timeout_s), progress)
    rows: list[AuditRow] = []
    for one in data:
        names_splits = any(item.split for item in one.items)
        for item in one.items:
            found = traits[len(rows)]
            rows.append(
                AuditRow(
                    item=item,
                    data=one.name,
                    shown=_shown(item.path, one),
                    data_set=item.dataset or one.name,
                    side=item.split or f"{NO_SPLIT_IN if names_splits else ALL_OF} {one.name}",
                    traits=found if isinstance(found, FileTraits) else None,
                    message=found if isinstance(found, str) else "",
                )
            )
    return rows


def unique_names(roots: Sequence[Path]) -> list[str]:
    """A short name for each DATA: its own, with a number behind it where two are equal."""
    names: list[str] = []
    for root in roots:
        resolved = root.resolve()
        base = printable((resolved.parent if resolved.name == "manifest.csv" else resolved).stem) or "data"
        name, number = base, 2
        while name in names:
            name, number = f"{base} ({number})", number + 1
        names.append(name)
    return names


def _read_all(paths: Sequence[Path], workers: int, limits: MediaLimits, progress: Progress) -> list[FileTraits | str]:
    """Traits of each path, or the message that says why there are none."""
    with ExitStack() as stack, progress.task("reading files", len(paths)) as bar:
        idle: queue.SimpleQueue[MediaReader] = queue.SimpleQueue()
        for _ in range(workers):
            idle.put(stack.enter_context(MediaReader(limits, threads=1)))

        def work(path: Path) -> FileTraits | str:
            reader = idle.get()
            try:
                return _read_one(path, reader, limits)
            finally:
                idle.put(reader)

        found: list[FileTraits | str] = []
        pool = ThreadPoolExecutor(workers)
        try:
            for one in pool.map(work, paths):
                found.append(one)
                bar(1)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return found


def _read_one(path: Path, reader: MediaReader, limits: MediaLimits) -> FileTraits | str:
    try:
        return read_traits(path, reader, limits)
    except MediaError as error:
        return printable(error.message)


def _shown(path: Path, data: AuditData) -> str:
    """The item's path below its DATA, or the whole path of one that lies elsewhere."""
    absolute, root = Path(os.path.normpath(path.absolute())), Path(os.path.normpath(data.root.absolute()))
    shown = f"{data.name}/{absolute.relative_to(root).as_posix()}" if absolute.is_relative_to(root) else str(absolute)
    return printable(shown)
