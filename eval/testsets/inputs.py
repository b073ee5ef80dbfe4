"""DATA of a test set -> labelled rows: public layouts, manifests, and folders of files whose label the command says.

Names come from strangers: control characters are replaced here, once, so that everything behind works with one line each.
Limits: a folder without labels does not tell which of its files show one person or one recording. As in the layout
`folder`, pictures in a folder below one named frames/ are taken for frames of one video, all other files for separate ones.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from eval.datasets import LAYOUTS, load_dataset
from eval.datasets.folder import FRAMES
from eval.datasets.loading import AUTO
from eval.datasets.tree import Tree
from eval.testsets.record import CLASSES, MANIFEST_FILE, InputPart, Kind
from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_file, sha256_of_text
from forensics.common.manifest import COLUMNS, Item
from forensics.common.progress import Progress
from forensics.common.text import printable, terminal_line, uncsv_cell
from forensics.media.child import open_regular
from forensics.media.sniff import HEAD_BYTES, VIDEO_SUFFIXES, sniff

UNLABELLED = "unlabelled"
MANIFEST_LAYOUT = "manifest"
COMPRESSED_LAYOUTS = ("ffpp", "deepfakebench")
UNNAMED = "unnamed"
TEXT_COLUMNS = ("generator", "dataset", "source", "identity", "split", "view")
SHA256_DIGITS = 64
MISSING, UNREADABLE = "missing", "not a readable picture or clip"
CHANGED = "not the file whose SHA-256 its manifest states"
OTHER_SPLIT = "in a split that is not taken"
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class InputData:
    """One DATA; `gives` are the labels (1 = fake) that are taken from it."""

    path: Path
    gives: frozenset[int]
    layout: str
    sha256: str
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    @property
    def part(self) -> InputPart:
        """As testset.json says it."""
        gives = tuple(CLASSES[label] for label in sorted(self.gives))
        return InputPart(
            path=printable(str(self.path)), gives=gives, layout=self.layout, sha256=self.sha256, rows=len(self.items)
        )


@dataclass(frozen=True)
class Row:
    """One labelled file. `is_asked`: its label and split are among those that are taken; the others only say what is linked
    to what. sha256 is "" for a file that is not there, or (not asked for) has a size that no asked file has; `problem` says
    why a file of the right label cannot be used. `kind` is by the bytes of an asked file.
    """

    item: Item
    family: str
    kind: Kind
    is_asked: bool
    sha256: str = ""
    problem: str = ""

    @property
    def given_split(self) -> str:
        return self.item.split


def load_inputs(real: Sequence[str], fake: Sequence[str], layout: str, compression: str | None) -> list[InputData]:
    """Every DATA once, reals' first. Raises UsageError or ManifestError for what cannot be read or gives nothing."""
    gives: dict[Path, set[int]] = {}
    for label, names in ((0, real), (1, fake)):
        for name in names:
            gives.setdefault(Path(name).absolute(), set()).add(label)
    return [_load(path, frozenset(labels), layout, compression) for path, labels in gives.items()]


def _load(path: Path, gives: frozenset[int], layout: str, compression: str | None) -> InputData:
    found = _layout_of(path, layout)
    if found == UNLABELLED:
        items = _unlabelled(path, gives)
        if items:
            return InputData(path, gives, UNLABELLED, _hash_of_rows(items, path), items)
    asked = AUTO if found == UNLABELLED else found  # its error says what a data set looks like
    loaded = load_dataset(path, asked, compression if found in COMPRESSED_LAYOUTS else None)
    items = tuple(cleaned(item) for item in loaded.items)
    for label in sorted(gives):
        if not any(item.label == label for item in items):
            raise UsageError(
                f"--{CLASSES[label]} {path}: it has no {CLASSES[label]}s",
                "from labelled DATA, rows with the option's label are taken",
            )
    manifest = path / MANIFEST_FILE if path.is_dir() else path
    digest = sha256_of_file(manifest) if loaded.layout == MANIFEST_LAYOUT else _hash_of_rows(items, loaded.root)
    return InputData(path, gives, loaded.layout, digest, items, loaded.notes)


def _layout_of(path: Path, asked: str) -> str:
    """Name of a layout, AUTO where load_dataset has to say what is wrong, UNLABELLED for a folder that has none."""
    if asked != AUTO and asked not in LAYOUTS:
        return asked
    recognised = [name for name, layout in LAYOUTS.items() if layout.recognises(path)]
    if asked in recognised:
        return asked
    if MANIFEST_LAYOUT in recognised:  # its folder may be sorted into real/ and fake/ beside it
        return MANIFEST_LAYOUT
    if len(recognised) == 1:
        return recognised[0]
    return AUTO if recognised or not path.is_dir() else UNLABELLED


def _unlabelled(path: Path, gives: frozenset[int]) -> tuple[Item, ...]:
    """Pictures and clips of a folder; its name is the data set, and of fakes the generator."""
    tree = Tree(path)
    files = tree.media(tree.path)
    if files and len(gives) > 1:
        raise UsageError(
            f"{path} has no labels, and is given as --real and as --fake", "name a folder of reals and another of fakes"
        )
    name, label = one_line(path.resolve().name) or UNNAMED, max(gives)
    items = []
    for file in files:
        parts = file.relative_to(tree.path).parts[:-1]
        is_frame = FRAMES in [part.lower() for part in parts[:-1]]
        source = one_line(f"{name}/{'/'.join(parts)}") if is_frame else ""
        items.append(Item(path=file, label=label, generator=name if label else "", dataset=name, source=source))
    return tuple(items)


def cleaned(item: Item) -> Item:
    """The same row with texts that are one printable line each."""
    extra = {one_line(key): one_line(value) for key, value in item.extra.items()}
    return replace(
        item,
        generator=one_line(item.generator),
        dataset=one_line(item.dataset),
        source=one_line(item.source),
        identity=one_line(item.identity),
        extra={key: value for key, value in extra.items() if key and key not in COLUMNS},
    )


def one_line(text: str) -> str:
    """What a cell says, on one printable line."""
    return terminal_line(" ".join(uncsv_cell(text).split()))


def rows_of(inputs: Iterable[InputData], taken_splits: frozenset[str]) -> list[Row]:
    """Rows of all inputs, not hashed yet; a row is asked for by its label, and by its split if it has one."""
    rows = []
    for data in inputs:
        for item in data.items:
            is_given, is_taken = item.label in data.gives, item.split in ("", *taken_splits)
            kind: Kind = "clip" if item.path.suffix.lower() in VIDEO_SUFFIXES else "picture"
            problem = OTHER_SPLIT if is_given and not is_taken else ""
            rows.append(Row(item, family_of(item), kind, is_given and is_taken, problem=problem))
    return rows


def family_of(item: Item) -> str:
    """What is balanced by: a data set of reals, a generator of fakes; attacked rows are a family of their own."""
    base = item.generator or item.dataset if item.label else item.extra.get("collection", "") or item.dataset
    attack = item.extra.get("attack", "")
    return f"{base or UNNAMED}+{attack}" if attack else base or UNNAMED


def hash_rows(rows: Sequence[Row], workers: int, progress: Progress) -> list[Row]:
    """SHA-256 of all asked files, and of those others that could be the same file because they have the same size."""
    sizes = [_size(row.item.path) for row in rows]
    asked_sizes = {size for row, size in zip(rows, sizes, strict=True) if row.is_asked}

    def hashed(index: int) -> Row:
        row, size = rows[index], sizes[index]
        if size is None:
            return replace(row, problem=MISSING) if row.is_asked else row
        if size not in asked_sizes:
            return row
        try:
            row = replace(row, sha256=sha256_of_file(row.item.path))
            return _sniffed(row) if row.is_asked else row
        except OSError:
            return replace(row, problem=UNREADABLE) if row.is_asked else row

    return run_in_order(hashed, range(len(rows)), workers, progress, "hashing files")


def _sniffed(row: Row) -> Row:
    if pinned_hash(row.item) not in ("", row.sha256):
        return replace(row, problem=CHANGED)
    try:
        with open_regular(row.item.path) as file:
            found = sniff(file.read(HEAD_BYTES))
    except MediaError:
        return replace(row, problem=UNREADABLE)
    return replace(row, kind="picture" if found.kind == "image" else "clip")


def _size(path: Path) -> int | None:
    """Bytes of a regular file; None for what is missing or is none (a pipe would never end)."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):  # a loop of links, a NUL byte
        return None


def run_in_order(
    function: Callable[[T], R],
    jobs: Sequence[T],
    workers: int,
    progress: Progress,
    name: str,
    on_result: Callable[[R], None] = lambda _: None,
) -> list[R]:
    """Results in the order of the jobs, whatever the number of threads; `on_result` is called in this thread."""
    results = []
    with progress.task(name, len(jobs)) as bar, ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        try:
            for result in pool.map(function, jobs):
                on_result(result)
                results.append(result)
                bar(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else all that waits would still be done
            raise
    return results


def pinned_hash(item: Item) -> str:
    """The SHA-256 that the row's own manifest states for its file; "" where it states none."""
    stated = item.extra.get("sha256", "").lower()
    return stated if len(stated) == SHA256_DIGITS and all(c in "0123456789abcdef" for c in stated) else ""


def _hash_of_rows(items: Sequence[Item], root: Path) -> str:
    lines = []
    for item in items:
        path = item.path.relative_to(root) if item.path.is_relative_to(root) else item.path
        cells = (path.as_posix(), str(item.label), *(getattr(item, name) for name in TEXT_COLUMNS))
        lines.append("\t".join(cells).encode("utf-8", "backslashreplace").decode("utf-8"))
    return sha256_of_text("\n".join(sorted(lines)))
