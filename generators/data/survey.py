"""Every picture decoded once: which can be used, where its square lies, what its pixels are; and these kept, if they fit.

Three files in the cache folder, named by a key over all that the pixels depend on (so that several sets of pictures can
lie side by side): NAME.json, the index, which is written last and is the only one that is believed; NAME.bin, the pixels
(N, px, px, 3) uint8; while they are made NAME.part and NAME.journal. The journal gets a line for every CHUNK files, with
a digest of each picture: after a kill, what agrees with its digests is kept, and the rest is decoded again.
NAME.lock lets one of several processes work while the others wait. Nothing is removed when data change: the folder is
the run's, and goes with it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_text, write_atomic
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.faces.types import FaceDetector
from generators.data.squares import Cut, Miss, Square, cut_all

# Of the files and of the pixels in them: raise it when decoding, cropping or resizing changes.
VERSION = 1
CHUNK = 128
DIGEST_BYTES = 16
# Left free on a disk for everything else that a run writes.
SPARE_BYTES = 1 << 30
GB = 1_000_000_000
NAME_DIGITS = 24


@dataclass
class Index:
    """What the survey found, by position in the list of files; `kept` is in rising order, squares and digests beside it."""

    kept: list[int] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    missed: dict[int, Miss] = field(default_factory=dict)
    done: int = 0

    def add(self, cuts: Sequence[Cut | Miss]) -> None:
        """The next files."""
        for position, cut in enumerate(cuts, start=self.done):
            if isinstance(cut, Miss):
                self.missed[position] = cut
            else:
                self.kept.append(position)
                self.squares.append(cut.square)
                self.digests.append(digest(cut.pixels))
        self.done += len(cuts)

    def extend(self, later: "Index") -> None:
        """What a later part found; its positions count from the first file of all."""
        self.kept += later.kept
        self.squares += later.squares
        self.digests += later.digests
        self.missed |= later.missed
        self.done = later.done


_INDEX = TypeAdapter(Index)


@dataclass(frozen=True, eq=False)
class Survey:
    """The index, and the kept pictures' pixels (N, px, px, 3) uint8 in the order of `index.kept`; None if not kept."""

    index: Index
    pixels: NDArray[np.uint8] | None


def digest(pixels: NDArray[np.uint8]) -> str:
    """Of one picture's pixels, to see that they are what they were."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=DIGEST_BYTES).hexdigest()


def survey(
    items: Sequence[Item],
    px: int,
    folder: Path,
    cache_gb: float,
    detector: FaceDetector | None,
    workers: int,
    progress: Progress,
) -> Survey:
    """The survey of these files: the one that lies in the folder, else a new one.

    Raises UsageError where it cannot be kept.
    """
    stamps = [f"{item.path}|{item.view}|{_stamp(item.path)}" for item in items]
    lines = [str(VERSION), str(px), detector.name if detector else "no detector", *stamps]
    key = sha256_of_text(printable("\n".join(lines)))
    return _Maker(items, px, folder, cache_gb, detector, workers, progress, key).run()


@dataclass(frozen=True)
class _Maker:
    """One survey's files, and how they come to be."""

    items: Sequence[Item]
    px: int
    folder: Path
    cache_gb: float
    detector: FaceDetector | None
    workers: int
    progress: Progress
    key: str

    def _file(self, suffix: str) -> Path:
        return self.folder / f"pictures-{self.px}-{self.key[:NAME_DIGITS]}.{suffix}"

    def run(self) -> Survey:
        found = self._find(needs_pixels=True)
        if found is not None:
            self.progress.say(f"pictures: {len(found.index.kept)} decoded ones found in {self.folder}")
            return found
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(
                self._file("lock"), lambda: self.progress.say("pictures: another process decodes them; waiting")
            ):
                return self._found_or_made()
        except OSError as error:
            raise UsageError(
                f"decoded pictures cannot be kept in {self.folder}: {error.strerror or error}",
                "make room, or write to another folder",
            ) from error

    def _found_or_made(self) -> Survey:
        keeps = self._fits()
        found = self._find(needs_pixels=keeps)
        if found is None:
            self._make(keeps)
            found = self._find(needs_pixels=keeps)
        if found is None:  # another program removes what was just written
            raise OSError("what was written is not there any more")
        return found

    def _fits(self) -> bool:
        need = len(self.items) * self.px * self.px * 3
        held = self._file("part").stat().st_size if self._file("part").exists() else 0
        free = shutil.disk_usage(self.folder).free + held - SPARE_BYTES
        if need <= min(self.cache_gb * GB, free):
            return True
        is_asked_for = need > self.cache_gb * GB
        limit = f"--cache-gb {self.cache_gb:g}" if is_asked_for else f"the {max(free, 0) / GB:.3g} GB that are free"
        self.progress.say(
            f"pictures: {need / GB:.3g} GB decoded are more than {limit}: they are decoded in every step, which is slower"
        )
        return False

    def _find(self, needs_pixels: bool) -> Survey | None:
        """What lies in the folder, if it is whole and of these files."""
        try:
            stored = json.loads(self._file("json").read_text(encoding="utf-8"))
            if stored["key"] != self.key:
                return None
            index = _INDEX.validate_python(stored["index"])
        except (OSError, ValueError, KeyError, TypeError):  # ValidationError is a ValueError
            return None
        shape = (len(index.kept), self.px, self.px, 3)
        if index.done != len(self.items) or len(index.kept) + len(index.missed) != index.done:
            return None
        with contextlib.suppress(OSError):
            if index.kept and self._file("bin").stat().st_size == int(np.prod(shape)):
                return Survey(index, np.memmap(self._file("bin"), np.uint8, "r", shape=shape))
        return None if needs_pixels and index.kept else Survey(index, None)

    def _make(self, keeps: bool) -> None:
        index = self._resumable(keeps)
        if index.done:
            self.progress.say(f"pictures: {index.done} of {len(self.items)} were read before; going on")
        name = "reading pictures" if self.detector is None else "finding faces"
        with (
            self._file("part").open("ab") as part,
            self._file("journal").open("ab") as journal,
            self.progress.task(name, len(self.items)) as bar,
            ThreadPoolExecutor(self.workers) as pool,
        ):
            bar(index.done)
            try:
                while index.done < len(self.items):
                    cuts = cut_all(self.items[index.done : index.done + CHUNK], self.px, self.detector, pool)
                    index.extend(_written(cuts, index.done, part if keeps else None, journal))
                    bar(len(cuts))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # else all that waits would still be decoded
                raise
            part.flush()
            os.fsync(part.fileno())  # the index must not outlive a power cut that its pixels do not
        if keeps:
            self._file("part").replace(self._file("bin"))
        write_atomic(self._file("json"), json.dumps({"key": self.key, "index": asdict(index)}))
        self._file("part").unlink(missing_ok=True)
        self._file("journal").unlink(missing_ok=True)

    def _resumable(self, keeps: bool) -> Index:
        """What a killed process left, as far as it agrees with itself; both files are cut off behind it."""
        index, size_px = Index(), self.px * self.px * 3
        self._file("part").touch()
        self._file("journal").touch()
        n_journal = 0
        with self._file("part").open("r+b") as part, self._file("journal").open("r+b") as journal:
            for line in journal:
                chunk = _parsed(line)
                is_next = chunk is not None and index.done < chunk.done <= len(self.items)
                if chunk is None or not is_next or (keeps and not _agrees(chunk, part, size_px)):
                    break
                index.extend(chunk)
                n_journal += len(line)
            journal.truncate(n_journal)
            part.truncate(len(index.kept) * size_px if keeps else 0)
        return index


def _written(cuts: Sequence[Cut | Miss], start: int, part: BinaryIO | None, journal: BinaryIO) -> Index:
    """One chunk, written to both files: its pixels first, so that no line tells of pixels that are not there."""
    chunk = Index(done=start)
    chunk.add(cuts)
    if part is not None:
        part.write(b"".join(cut.pixels.tobytes() for cut in cuts if isinstance(cut, Cut)))
        part.flush()
    journal.write(json.dumps(asdict(chunk)).encode() + b"\n")
    journal.flush()
    return chunk


def _parsed(line: bytes) -> Index | None:
    """A line of the journal; None for one that was cut off."""
    try:
        return _INDEX.validate_json(line) if line.endswith(b"\n") else None
    except ValidationError:
        return None


def _agrees(chunk: Index, part: BinaryIO, size_px: int) -> bool:
    """Whether the next pixels of the file are those of the chunk."""
    for expected in chunk.digests:
        data = part.read(size_px)
        if len(data) < size_px or hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest() != expected:
            return False
    return True


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock between processes of one machine (and of others, where the file system has such locks).

    It ends with the process, however that ends; the file stays.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
