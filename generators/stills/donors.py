"""Whose face is put on whose: for each picture another person of its data set and split, seen from about the same side.

Some are drawn, and the one that is nearest in pose is taken (as Li et al. 2019, arXiv 1912.13458, section 3.2, choose by
landmarks among all): the nearest of all would give few faces to many.
Limits: identities are what the manifest says; without them, another source is taken for another person.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

import numpy as np

from forensics.common.manifest import Item
from forensics.common.seeds import rng_for
from generators.stills.located import Still

DONOR_STREAM = 0x0D0A
# Sines of yaw and pitch that a donor may be off by: a face warped from farther round is smeared to nothing like one.
FARTHEST_TURN = 0.35
Group = tuple[str, str, str]


class Donors:
    """The stills of all groups, to choose from."""

    def __init__(self, stills: Sequence[Still], seed: int, drawn: int) -> None:
        self._seed, self._drawn = seed, drawn
        self._groups: dict[Group, list[Still]] = defaultdict(list)
        for still in stills:
            self._groups[_group(still.item)].append(still)

    def choose(self, target: Still, number: int) -> Still | None:
        """The donor of a picture's `number`-th fake; None where nobody else, or nobody in a like pose, is drawn."""
        group = self._groups[_group(target.item)]
        order = rng_for(self._seed, DONOR_STREAM, target.index, number).permutation(len(group)).tolist()
        # Only as many are looked at as are drawn: asking everybody for each picture would be quadratic.
        others = (group[k] for k in order if are_two(group[k].item, target.item))
        drawn = list(islice(others, self._drawn))
        if not drawn:
            return None
        distances = [float(np.square(other.turn - target.turn).sum()) for other in drawn]
        nearest = int(np.argmin(distances))
        return drawn[nearest] if distances[nearest] <= FARTHEST_TURN**2 else None


def are_two(a: Item, b: Item) -> bool:
    """Whether two pictures show two people, as far as the manifest says: another identity, another source, another file."""
    if a.path == b.path or (a.source and a.source == b.source):
        return False
    return not (a.identity and a.identity == b.identity)


def _group(item: Item) -> Group:
    return item.dataset, item.split, item.view
