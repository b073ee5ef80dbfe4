"""What must not be taken for independent: rows that share a recording or a person.

A fake made of a recording and the recording itself rise and fall together, and so do all clips of one person. Rows are
joined where they share a source or an identity, and what is joined to the same row is one cluster (connected components).

Limits: one person in every recording joins everything to a single cluster; no bootstrap over clusters can then say more.
Sources and identities are compared as they are: names that two data sets use for different things must be told apart first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def clusters_of(sources: Sequence[str], identities: Sequence[str], fallbacks: Sequence[str]) -> NDArray[np.int64]:
    """Cluster of each row, (N,), numbered from 0 in the order of first appearance.

    A row joins the rows that share its non-empty source or its non-empty identity; one with neither joins those of the
    same fallback (its path). Raises ValueError for unequal lengths.
    """
    n = len(sources)
    if not n == len(identities) == len(fallbacks):
        raise ValueError(f"{n} sources, {len(identities)} identities, {len(fallbacks)} fallbacks: one of each per row")
    if n == 0:
        return np.empty(0, np.int64)
    nodes: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for row, (source, identity, fallback) in enumerate(zip(sources, identities, fallbacks, strict=True)):
        keys = [key for key in (("source", source), ("identity", identity)) if key[1]] or [("fallback", fallback)]
        for key in keys:
            rows.append(row)
            columns.append(n + nodes.setdefault(key, len(nodes)))
    size = n + len(nodes)
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(size, size))
    _, components = connected_components(graph, directed=False)
    _, first, codes = np.unique(components[:n], return_index=True, return_inverse=True)
    by_appearance = np.empty(len(first), np.int64)
    by_appearance[np.argsort(first)] = np.arange(len(first))
    return by_appearance[codes]
