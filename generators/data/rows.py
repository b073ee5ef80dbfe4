"""What was asked for -> rows: manifests by label and split, plain folders whole, each file once.

A test row must not slip into training. So a manifest in which any row has a split gives only rows of the split that is
asked for; a file that any row of the given manifests puts in another label or split is left out of all the data; and a
plain folder is refused where a manifest below it, or above the files that it holds or links to, says that they are of
another kind. Limits: the same picture in two files is two rows; the same file by two names is one. Manifests that were not
given are looked for above the pictures of plain folders only, and only by the name manifest.csv.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item, read_manifest
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.common.text import printable
from forensics.media.sniff import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from generators.data.request import DataRequest

MANIFEST_FILE = "manifest.csv"
# First elements of seeds' paths; the drawing is the same for every run, so that runs are compared on the same pictures.
LIMIT_SEED, LIMIT_STREAM = 0, 0x11A17
ANY = "any"


@dataclass(frozen=True)
class Row:
    """One picture; `origin` is which of the request's data it is from, `folder` the first folder below it ("" if none)."""

    item: Item
    origin: int
    folder: str


@dataclass(frozen=True)
class Found:
    """Rows of one of the data; counts: how many were left out for what; excluded: real files of another label or split."""

    rows: list[Row]
    counts: list[tuple[int, str]]
    excluded: frozenset[Path] = field(default_factory=frozenset)


# Files that a manifest above a folder excludes, by manifest: folders beside each other read theirs once.
Known = dict[Path, frozenset[Path]]


def choose_rows(request: DataRequest, progress: Progress) -> list[Row]:
    """Rows in the order of the data; how many of how many is said for each. Raises ManifestError or UsageError."""
    known: Known = {}
    parts = [_rows_of(data, origin, request, known) for origin, data in enumerate(request.data)]
    # Over all the data before any row is taken: what one manifest keeps for testing, another or a folder may hold too.
    excluded = frozenset[Path]().union(*(part.excluded for part in parts))
    rows: list[Row] = []
    seen: set[Path] = set()
    for data, part in zip(request.data, parts, strict=True):
        fresh: list[Row] = []
        n_excluded = 0
        for row in part.rows:
            real = _real(row.item.path)
            if real in excluded:
                n_excluded += 1
            elif real not in seen:
                seen.add(real)
                fresh.append(row)
        counts = [
            *part.counts,
            (n_excluded, "that another row gives another label or split"),
            (len(part.rows) - n_excluded - len(fresh), "that are there twice (taken once)"),
        ]
        left_out = ", ".join(f"{count} {why}" for count, why in counts if count)
        total = len(fresh) + sum(count for count, _ in counts)
        progress.say(f"{data}: {len(fresh)} of {total} taken{f'; left out: {left_out}' if left_out else ''}")
        rows += fresh
    if not rows:
        asked = f"label {request.label}, split {request.split}"
        raise ManifestError(
            f"no picture of the data was asked for ({asked})",
            "take other rows with --label any or --split any; clips are never taken, cut pictures out of them first",
        )
    if request.limit is not None and len(rows) > request.limit:
        drawn = rng_for(LIMIT_SEED, LIMIT_STREAM).permutation(len(rows))[: request.limit]
        progress.say(f"limit: {request.limit} of {len(rows)} drawn at random, the same ones on every run")
        rows = [rows[index] for index in sorted(drawn)]
    return rows


def _rows_of(data: Path, origin: int, request: DataRequest, known: Known) -> Found:
    path = data.absolute()
    if path.is_dir():
        manifest = path / MANIFEST_FILE
        if manifest.is_file():
            return _of_manifest(manifest, origin, request)
        return _of_folder(path, origin, request, known)
    if not path.exists():
        raise ManifestError(f"{data} does not exist", "give a manifest, or a folder of pictures")
    if path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        raise UsageError(f"{data} is one file", "give a manifest, or a folder of pictures")
    return _of_manifest(path, origin, request)


def _of_manifest(path: Path, origin: int, request: DataRequest) -> Found:
    items = read_manifest(path)
    labelled = [item for item in items if request.label in (ANY, str(item.label))]
    has_splits = any(item.split for item in items)
    in_split = [item for item in labelled if is_in_split(item, request.split, has_splits)]
    taken = [item for item in in_split if item.path.suffix.lower() not in VIDEO_SUFFIXES]
    rows = [Row(item, origin, _folder_of(item.path, path.parent)) for item in taken]
    counts = [
        (len(items) - len(labelled), f"without label {request.label}"),
        (len(labelled) - len(in_split), f"not in split {request.split}"),
        (len(in_split) - len(taken), "clips"),
    ]
    return Found(rows, counts, _excluded(items, request))


def _excluded(items: Sequence[Item], request: DataRequest) -> frozenset[Path]:
    """Real files of a manifest's rows that have another label or split than was asked for."""
    has_splits = any(item.split for item in items)
    return frozenset(
        _real(item.path)
        for item in items
        if request.label not in (ANY, str(item.label)) or not is_in_split(item, request.split, has_splits)
    )


def is_in_split(item: Item, asked: str, has_splits: bool) -> bool:
    """Whether a row is in the split that is asked for; in a manifest without splits every row is."""
    return asked == ANY or not has_splits or item.split == asked


def _of_folder(folder: Path, origin: int, request: DataRequest, known: Known) -> Found:
    files, manifests = list_files(folder)
    pictures = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if request.label != ANY or request.split != ANY:  # else all of it is asked for, whatever a manifest says
        if manifests:
            raise UsageError(
                f"{folder} is a folder of pictures, but {manifests[0]} lies in it",
                "give the manifests, which say what is real and what is for testing (or --label any --split any)",
            )
        _refuse_if_described(folder, pictures, request, known)
    if not pictures:
        raise ManifestError(
            f"{folder} holds no picture and no {MANIFEST_FILE}", "give a manifest, or a folder of pictures"
        )
    label = 1 if request.label == "1" else 0
    name = printable(folder.resolve().name)
    rows = [Row(Item(path=file, label=label, dataset=name), origin, _folder_of(file, folder)) for file in pictures]
    return Found(rows, [(sum(file.suffix.lower() in VIDEO_SUFFIXES for file in files), "clips")])


def list_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Visible pictures and clips below a folder, and manifests, each sorted by path; links are followed, once.

    Raises ManifestError for a folder that cannot be read.
    """
    media: list[Path] = []
    manifests: list[Path] = []
    walked: set[Path] = set()

    def fail(error: OSError) -> None:
        raise ManifestError(f"cannot read {error.filename}: {error.strerror}", "check its permissions") from error

    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = _real(Path(root))
        if real in walked:  # a link back to a folder that was read already
            folders.clear()
            continue
        walked.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = [Path(root, name) for name in names if not name.startswith(".")]
        media += [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES]
        manifests += [path for path in visible if path.name == MANIFEST_FILE]
    return sorted(media), sorted(manifests)


def _refuse_if_described(folder: Path, pictures: Sequence[Path], request: DataRequest, known: Known) -> None:
    """Raise UsageError where a manifest above the files, links followed, lists some that were not asked for."""
    held = {_real(path) for path in pictures}
    for manifest in _manifests_above(held):
        if manifest not in known:
            try:
                known[manifest] = _excluded(read_manifest(manifest), request)
            except ManifestError:  # a file of this name that was never given: it need not be a manifest
                known[manifest] = frozenset()
        others = held & known[manifest]
        if others:
            raise UsageError(
                f"{len(others)} of the pictures in {folder} are not of label {request.label} and split "
                f"{request.split}, says {manifest}",
                "give the manifest, or take all with --label any --split any",
            )


def _manifests_above(files: Iterable[Path]) -> list[Path]:
    """Manifests in the folders of the files and all that these lie in, up to the root; sorted."""
    folders = {file.parent for file in files}
    above = folders.union(*(folder.parents for folder in folders))
    return sorted(path / MANIFEST_FILE for path in above if _is_file(path / MANIFEST_FILE))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a link leads into a folder that may not be searched: decoding will say so
        return False


def _folder_of(path: Path, root: Path) -> str:
    """The first folder below the root on the way to a file; "" for a file in the root or outside it."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return printable(parts[0]) if len(parts) > 1 else ""


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL byte: decoding will say so
        return path
