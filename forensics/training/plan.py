"""Which crops an epoch shows, in which order: pairs of real and fake, families balanced, all derived from the seed."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from forensics.common.manifest import Item
from forensics.common.seeds import rng_for

PLAN_STREAM = 1


def plan_epoch(
    items: Sequence[Item],
    epoch: int,
    seed: int,
    family_floor: float,
    max_repeat: float,
    family_cap: int | None = None,
) -> list[int]:
    """Indices of items in the order in which one epoch shows them.

    Each data set contributes as many reals as fakes: n = its smaller class, repeated so that n reaches `family_floor`
    of the largest data set's n, but at most `max_repeat` times, and never more than `family_cap`. A data set with one
    class contributes that alone.
    """
    groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: {0: [], 1: []})
    for index, item in enumerate(items):
        groups[item.dataset][item.label].append(index)
    sizes = {name: min(len(c) for c in classes.values() if c) for name, classes in groups.items()}
    largest = max(sizes.values())
    rng = rng_for(seed, PLAN_STREAM, epoch)
    order: list[int] = []
    for name in sorted(groups):
        wanted = round(max(sizes[name], min(max_repeat * sizes[name], family_floor * largest)))
        wanted = wanted if family_cap is None else min(wanted, family_cap)
        for label in (0, 1):
            order += _draw(groups[name][label], wanted, rng)
    return [order[i] for i in rng.permutation(len(order))]


def _draw(indices: list[int], wanted: int, rng: np.random.Generator) -> list[int]:
    """`wanted` indices: whole shuffled rounds, then a part of one, so that none is drawn twice before all were once."""
    drawn: list[int] = []
    while indices and len(drawn) < wanted:
        drawn += [indices[i] for i in rng.permutation(len(indices))[: wanted - len(drawn)]]
    return drawn
