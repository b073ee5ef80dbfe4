"""Leakage: the same file, nearly the same picture, the same recording or the same person on two sides of a split.

What was fitted on one side then helps on the other, and figures measured there say less than they seem to. Within one
side a fake and its source are alike by nature, and that is no leakage. Items without a split, where others have one, are
a side of their own: whoever takes them for test data has to know what of them is in train.

Sources and identities are names: they are compared within a data set. A source `a+b` is a composite of the recordings a
and b. Files and pictures are compared across all data sets. Near-duplicates: `forensics.features.perceptual_hash`, whose
limits hold here (no mirrored pictures, no crops beyond 2 %); of a clip, the middle frame.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.audit.reading import AuditRow
from eval.audit.schema import MAX_EXAMPLES, Example, ItemRef, LeakageFinding
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.features.perceptual_hash import (
    MIN_CORRELATION,
    correlations,
    is_flat,
    luma_of,
    near_hashes,
    perceptual_hashes,
)

COMPOSITE = "+"
DONOR, VIDEO = "donor", "video"  # keys of `extra`, see eval.datasets.layout
# Items that one example shows.
ITEMS_SHOWN = 4
# Hashes, and pairs whose thumbnails are compared, at a time: some 32 MB.
HASH_BATCH = 4096
PAIR_BATCH = 4096

NO_SIDES = "the items are of one split, or name none"
Groups = dict[str, list[AuditRow]]


class Pairs(NamedTuple):
    """Pairs of rows by index, (n,) each: the differing bits of their hashes, the correlation of their thumbnails."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    bits: NDArray[np.int64]
    correlation: NDArray[np.float32]


NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def find_leakage(rows: Sequence[AuditRow], progress: Progress) -> list[LeakageFinding]:
    """All checks, in the order in which they are reported."""
    files = _grouped(rows, lambda row: [row.traits.sha256] if row.traits else [])
    has_sides = len({row.side for row in rows}) > 1
    unread = "" if any(row.traits for row in rows) else "no file could be read"
    return [
        _across_sides(
            "same_file_across_splits", "same file in two splits", files, _no_sides(has_sides) or unread
        ),
        _finding(
            "same_file_with_both_labels",
            "same file labelled real and fake",
            {key: group for key, group in files.items() if len({row.item.label for row in group}) > 1},
            lambda row: "fake" if row.is_fake else "real",
            unread,
        ),
        _finding(
            "same_file_in_two_data_sets",
            "same file in two data sets",
            {key: group for key, group in files.items() if len({_collection(row) for row in group}) > 1},
            _collection,
            unread or ("" if len({_collection(row) for row in rows}) > 1 else "one data set is audited"),
        ),
        _near_duplicates(rows, has_sides, progress),
        _across_sides(
            "same_source_across_splits",
            "same source in two splits",
            _grouped(rows, lambda row: _within(row, sources_of(row.item))),
            _no_sides(has_sides) or _no_names(rows, lambda row: sources_of(row.item), "source"),
        ),
        _across_sides(
            "same_identity_across_splits",
            "same identity in two splits",
            _grouped(rows, lambda row: _within(row, [row.item.identity])),
            _no_sides(has_sides) or _no_names(rows, lambda row: row.item.identity, "identity"),
        ),
        _donors(rows, has_sides),
        _repeats(files, unread),
    ]  # fmt: skip


def sources_of(item: Item) -> list[str]:
    """The recordings that an item is made of: of `a+b` both a and b; where no source is named, the video it is part of."""
    source = item.source or item.extra.get(VIDEO, "")
    return [part for part in source.split(COMPOSITE) if part]


def _near_duplicates(rows: Sequence[AuditRow], has_sides: bool, progress: Progress) -> LeakageFinding:
    check, title = "near_duplicates_across_splits", "nearly the same picture in two splits"
    if not has_sides:
        return _not_tested(check, title, NO_SIDES)
    readable = [row for row in rows if row.traits is not None]
    if not readable:
        return _not_tested(check, title, "no file could be read")
    thumbnails = np.stack([row.traits.thumbnail for row in readable if row.traits is not None])
    hashes, flat = _hashes(thumbnails)
    names = np.array([row.traits.sha256 if row.traits else "" for row in readable])
    _, files = np.unique(names, return_inverse=True)
    sides = np.array([row.side for row in readable])
    of_side = {side: np.flatnonzero((sides == side) & ~flat) for side in sorted(set(sides.tolist()))}
    between: Counter[str] = Counter()
    concerned = np.zeros(len(readable), bool)
    by_name = np.unique([row.shown for row in readable], return_inverse=True)[1]
    best = NO_PAIRS
    pairs_of_sides = list(combinations(of_side, 2))
    with progress.task("near-duplicates", len(pairs_of_sides)) as bar:
        for first, second in pairs_of_sides:
            left, right = of_side[first], of_side[second]
            for i, j, distance in near_hashes(hashes[left], hashes[right]):
                for kept in _confirmed(left[i], right[j], distance, thumbnails, files):
                    concerned[kept.left] = concerned[kept.right] = True
                    between[f"{first} | {second}"] += len(kept.left)
                    best = _most_alike(best, kept, by_name)
            bar(1)
    examples = [
        Example(
            what="",
            n_items=2,
            items=[_ref(readable[a]), _ref(readable[b])],
            hash_distance=int(bits),
            correlation=round(float(correlation), 4),
        )
        for a, b, bits, correlation in zip(*best, strict=True)
    ]
    n = sum(between.values())
    return LeakageFinding(
        check=check,
        title=title,
        is_leakage=True,
        outcome="found" if n else "none found",
        reason=f"{int(flat.sum())} pictures without contrast were not compared" if flat.any() else "",
        n=n,
        n_items=int(concerned.sum()),
        between=dict(sorted((+between).items())),
        examples=examples,
    )


def _hashes(thumbnails: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """(N, 32, 32, 3) uint8 -> hashes (N,), and which pictures are too flat to have one (N,)."""
    hashes = np.empty(len(thumbnails), np.uint64)
    flat = np.empty(len(thumbnails), bool)
    for start in range(0, len(thumbnails), HASH_BATCH):
        part = slice(start, start + HASH_BATCH)
        luma = luma_of(thumbnails[part])
        hashes[part], flat[part] = perceptual_hashes(luma), is_flat(luma)
    return hashes, flat


def _confirmed(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    distances: NDArray[np.int64],
    thumbnails: NDArray[np.uint8],
    files: NDArray[np.int64],
) -> Iterable[Pairs]:
    """Of the candidate pairs, those whose thumbnails correlate and which are not the same file, some at a time."""
    for start in range(0, len(left), PAIR_BATCH):
        part = slice(start, start + PAIR_BATCH)
        a, b = left[part], right[part]
        found = correlations(luma_of(thumbnails[a]), luma_of(thumbnails[b]))
        kept = (found >= MIN_CORRELATION) & (files[a] != files[b])
        yield Pairs(a[kept], b[kept], distances[part][kept], found[kept])


def _most_alike(first: Pairs, more: Pairs, by_name: NDArray[np.int64]) -> Pairs:
    """The examples among both: by falling correlation, equal ones by their rows' places in `by_name`."""
    left, right = np.concatenate([first.left, more.left]), np.concatenate([first.right, more.right])
    bits = np.concatenate([first.bits, more.bits])
    correlation = np.concatenate([first.correlation, more.correlation])
    order = np.lexsort((by_name[right], by_name[left], -correlation))[:MAX_EXAMPLES]
    return Pairs(left[order], right[order], bits[order], correlation[order])


def _donors(rows: Sequence[AuditRow], has_sides: bool) -> LeakageFinding:
    """People (or recordings of them) that are swapped into a fake on one side and seen, or swapped in, on another."""

    def names(row: AuditRow) -> list[str]:
        return _within(row, [row.item.identity, *sources_of(row.item), row.item.extra.get(DONOR, "")])

    groups = _grouped(rows, names)
    with_donor = {
        key: group
        for key, group in groups.items()
        if any(row.item.extra.get(DONOR) and key in _within(row, [row.item.extra[DONOR]]) for row in group)
    }
    reason = "" if any(row.item.extra.get(DONOR) for row in rows) else "no item names whose face was swapped in"
    return _across_sides(
        "swapped_in_person_across_splits",
        "person swapped in, and in another split",
        with_donor,
        _no_sides(has_sides) or reason,
        is_leakage=False,
        note="splits by the person who is seen do not part the people who are swapped in",
    )


def _repeats(files: Groups, unread: str) -> LeakageFinding:
    """Copies within a split: they weigh double, which is not leakage."""
    repeated: Groups = {}
    for key, group in files.items():
        places = Counter((row.side, row.item.label, _collection(row)) for row in group)
        copies = [row for row in group if places[row.side, row.item.label, _collection(row)] > 1]
        if copies:
            repeated[key] = copies
    return _finding(
        "same_file_repeated",
        "same file twice in a split",
        repeated,
        lambda row: row.side,
        unread,
        is_leakage=False,
        note="copies with the same label weigh double",
    )


def _across_sides(
    check: str, title: str, groups: Groups, reason: str, is_leakage: bool = True, note: str = ""
) -> LeakageFinding:
    spanning = {key: group for key, group in groups.items() if len({row.side for row in group}) > 1}
    return _finding(check, title, spanning, lambda row: row.side, reason, is_leakage, note)


def _finding(
    check: str,
    title: str,
    groups: Groups,
    part_of: Callable[[AuditRow], str],
    reason: str,
    is_leakage: bool = True,
    note: str = "",
) -> LeakageFinding:
    """A finding over groups that each are one; `reason` says why it cannot be tested."""
    if reason:
        return _not_tested(check, title, reason, is_leakage)
    between: Counter[str] = Counter()
    for group in groups.values():
        parts = sorted({part_of(row) for row in group})
        between.update(f"{a} | {b}" for a, b in combinations(parts, 2))
    return LeakageFinding(
        check=check,
        title=title,
        is_leakage=is_leakage,
        outcome="found" if groups else "none found",
        reason=note if groups else "",
        n=len(groups),
        n_items=len({id(row) for group in groups.values() for row in group}),
        between=dict(sorted(between.items())),
        examples=[_example(key, groups[key], part_of) for key in sorted(groups)[:MAX_EXAMPLES]],
    )


def _not_tested(check: str, title: str, reason: str, is_leakage: bool = True) -> LeakageFinding:
    return LeakageFinding(
        check=check, title=title, is_leakage=is_leakage, outcome="not tested", reason=reason, n=0, n_items=0, between={},
        examples=[],
    )  # fmt: skip


def _example(key: str, group: Sequence[AuditRow], part_of: Callable[[AuditRow], str]) -> Example:
    """One item of every part first, so that an example shows what it is an example of."""
    of_part: dict[str, list[AuditRow]] = defaultdict(list)
    for row in group:
        of_part[part_of(row)].append(row)
    firsts = [of_part[part][0] for part in sorted(of_part)]
    others = [row for row in group if all(row is not first for first in firsts)]
    shown = (firsts + others)[:ITEMS_SHOWN]
    return Example(what=key.rpartition("\n")[2], n_items=len(group), items=[_ref(row) for row in shown])


def _ref(row: AuditRow) -> ItemRef:
    return ItemRef(path=row.shown, label=row.item.label, split=row.item.split, data_set=row.data_set)


def _grouped(rows: Sequence[AuditRow], keys_of: Callable[[AuditRow], Iterable[str]]) -> Groups:
    """Rows that share a key, for every key of two rows or more."""
    groups: Groups = defaultdict(list)
    for row in rows:
        for key in dict.fromkeys(keys_of(row)):
            groups[key].append(row)
    return {key: group for key, group in groups.items() if len(group) > 1}


def _within(row: AuditRow, names: Iterable[str]) -> list[str]:
    """Names made different from equal ones of other data sets."""
    return [f"{row.data_set}\n{name}" for name in names if name]


def _collection(row: AuditRow) -> str:
    """The data set, and the DATA that it was given in: a file in two of either is there twice."""
    return row.data if row.data_set == row.data else f"{row.data_set} in {row.data}"


def _no_sides(has_sides: bool) -> str:
    return "" if has_sides else NO_SIDES


def _no_names(rows: Sequence[AuditRow], name_of: Callable[[AuditRow], object], what: str) -> str:
    return "" if any(name_of(row) for row in rows) else f"no item names its {what}"
