"""Which rows belong together, and on which side of the split each group goes.

Two rows belong together if they share a source (an original recording or photograph), an identity, a donor (whose face was
put in), a video, or the very bytes; and so on along the chain: connected components. A group is never divided, so that no
person and no photograph is on two sides. A source `a+b` is a composite of a and b (CASIA's spliced photographs).

Names are compared across all DATA, as collections take pictures from each other and one collection comes in several
compressions; two collections that number their people alike are joined needlessly, which costs balance and never leaks.
Groups without a split are spread so that every family gets the shares asked for as nearly as groups allow, the largest
first, each to where its families lack most (in the manner of iterative stratification: Sechidis, Tsoumakas, Vlahavas 2011).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from eval.testsets.inputs import Row
from forensics.common.errors import UsageError
from forensics.common.manifest import Item
from forensics.common.seeds import rng_for

SPLIT_STREAM = 1
LINKING_EXTRAS = ("donor", "target")
# SHA-256 of the file that a perturbed or attacked copy was made from, and of what that was made from.
ORIGIN_EXTRAS = ("original", "origin_original")
EXAMPLES_SHOWN = 3


def links_of(item: Item, sha256: str = "") -> list[str]:
    """Everything that makes two rows belong together if both have it."""
    names = [item.source, item.identity, *(item.extra.get(name, "") for name in LINKING_EXTRAS)]
    links = [f"id:{part.strip()}" for name in names for part in name.split("+") if part.strip()]
    if item.extra.get("video"):
        links.append(f"video:{item.extra.get('collection') or item.dataset}:{item.extra['video']}")
    hashes = [sha256, *(item.extra.get(name, "") for name in ORIGIN_EXTRAS)]
    return links + [f"file:{digest}" for digest in hashes if digest]


def group_codes(links: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """links: per row, what it shares. Returns (N,) group numbers from 0; a row without links is a group of its own."""
    n = len(links)
    nodes: dict[str, int] = {}
    pairs = [(row, n + nodes.setdefault(name, len(nodes))) for row, names in enumerate(links) for name in names]
    if not pairs:
        return np.arange(n)
    ends = np.array(pairs)
    size = n + len(nodes)
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, components = connected_components(graph, directed=False)
    return np.unique(components[:n], return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Placement:
    """Split of each row, "" for one that cannot be taken; why not; how many are taken whose group is in two splits of DATA
    (`--crossing keep`); and the share of all rows that the largest group has.
    """

    splits: tuple[str, ...]
    reasons: Mapping[int, str]
    n_crossing: int
    largest_group_share: float


def place_rows(
    rows: Sequence[Row], shares: Mapping[str, float], taken: frozenset[str], crossing: str, seed: int
) -> Placement:
    """Keep given splits, let rows without one follow their group, spread the groups that have none.

    Raises UsageError, naming them, for groups that are in two splits already: with crossing `error` always, with `keep`
    only where two of those splits are taken.
    """
    codes = group_codes([links_of(row.item, row.sha256) for row in rows])
    members: dict[int, list[int]] = defaultdict(list)
    for index, code in enumerate(codes.tolist()):
        members[code].append(index)
    asked = {code: [i for i in group if rows[i].is_asked] for code, group in members.items()}
    given = {code: {rows[i].given_split for i in group} - {""} for code, group in members.items()}
    crossed = [code for code, names in given.items() if len(names) > 1 and asked[code]]
    wrong = crossed if crossing == "error" else []
    if crossing == "keep":
        wrong = [code for code in crossed if len({rows[i].given_split for i in asked[code]} - {""}) > 1]
    if wrong:
        raise _crossing_error(rows, [members[code] for code in wrong], is_kept=crossing == "keep")
    splits = [""] * len(rows)
    reasons: dict[int, str] = {}
    for code, group in asked.items():
        for i in group:
            splits[i], reason = _given_place(rows[i], given[code], taken, crossing)
            if reason:
                reasons[i] = reason
    free = {code: group for code, group in asked.items() if group and not given[code]}
    for code, split in _spread(rows, free, shares, seed).items():
        for i in free[code]:
            splits[i] = split
    n_asked = sum(len(group) for group in asked.values())
    largest = max((len(group) for group in asked.values()), default=0)
    n_crossing = sum(bool(splits[i]) for code in crossed for i in asked[code])
    return Placement(tuple(splits), reasons, n_crossing, largest / n_asked if n_asked else 0.0)


def _given_place(row: Row, given: set[str], taken: frozenset[str], crossing: str) -> tuple[str, str]:
    """(split, reason why not): both empty where the group has no split yet."""
    if not given:
        return "", ""
    if len(given) > 1:
        if crossing == "keep" and row.given_split:
            return row.given_split, ""
        return "", "a source or identity that it shares is in two splits of DATA"
    split = row.given_split or next(iter(given))
    return (split, "") if split in taken else ("", f"a source or identity that it shares is in the split {split}")


def _crossing_error(rows: Sequence[Row], groups: Sequence[Sequence[int]], is_kept: bool) -> UsageError:
    shown = []
    for group in groups[:EXAMPLES_SHOWN]:
        counts = Counter(link[3:] for i in group for link in links_of(rows[i].item) if link.startswith("id:"))
        name = counts.most_common(1)[0][0] if counts else "the same file"
        by_split = {rows[i].given_split: rows[i].item.path.name for i in group if rows[i].given_split}
        shown.append(f"{name} ({', '.join(f'{path} in {split}' for split, path in sorted(by_split.items()))})")
    more = f" and {len(groups) - EXAMPLES_SHOWN} more" if len(groups) > EXAMPLES_SHOWN else ""
    message = f"{len(groups)} source(s) or identities are in two splits of DATA: {'; '.join(shown)}{more}"
    if is_kept:
        return UsageError(message, "--from-split takes one of the splits; --crossing drop leaves these rows out")
    return UsageError(
        message,
        "--crossing drop leaves these rows out, --crossing keep takes them as DATA has them; names that only look alike: "
        "make them differ in the manifests",
    )


def _spread(
    rows: Sequence[Row], groups: Mapping[int, Sequence[int]], shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    """Split of each group that has none."""
    names = list(shares)
    if len(names) == 1:
        return dict.fromkeys(groups, names[0])
    contents: dict[int, Counter[tuple[int, str, str]]] = {
        code: Counter((rows[i].item.label, rows[i].family, rows[i].kind) for i in group)
        for code, group in groups.items()
    }
    totals: Counter[tuple[int, str, str]] = Counter()
    for content in contents.values():
        totals.update(content)
    lacks = {name: {family: shares[name] * n for family, n in totals.items()} for name in names}
    # A stable order to shuffle: by the files, not by how the inputs were listed.
    order = sorted(groups, key=lambda code: min(rows[i].sha256 for i in groups[code]))
    shuffled = [order[i] for i in rng_for(seed, SPLIT_STREAM).permutation(len(order))]
    placed = {}
    for code in sorted(shuffled, key=lambda code: -len(groups[code])):
        need = {
            name: sum(n * lacks[name][family] / totals[family] for family, n in contents[code].items())
            for name in names
        }
        split = max(names, key=need.__getitem__)
        placed[code] = split
        for family, n in contents[code].items():
            lacks[split][family] -= n
    return placed
