"""Which pictures an epoch shows, in which order: pairs of real and fake, families balanced, all derived from the seed.

A pair sits in one batch and goes through one augmentation, so that nothing but the forgery tells its halves apart (Shiohara
and Yamasaki 2022, arXiv 2204.08376, section 3.3). The fake is one of the data set, beside the real that it was made of
where that is known, or it is made on the spot of the real: a pseudo-fake.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forensics.common.manifest import Item
from forensics.common.seeds import rng_for

PLAN_STREAM = 1
# Of so many drawn the nearest in pose is taken: on DFDC crops that halves the distance.
DONORS = 8

# What is made of a real crop: of itself, of itself at a lower resolution, with parts or the whole face of another person.
Blending = Literal["self", "warp", "part", "face"]


@dataclass(frozen=True)
class Pair:
    """Indices of a real and a fake item; one may be missing. With `blending` the fake is made of the real, and of another
    person where the kind needs one: the donor whose pose is nearest.
    """

    real: int | None
    fake: int | None = None
    blending: Blending | None = None
    donors: tuple[int, ...] = ()


def plan_epoch(
    items: Sequence[Item],
    epoch: int,
    seed: int,
    family_floor: float,
    max_repeat: float,
    family_cap: int | None = None,
    blendings: Mapping[Blending, float] | None = None,
    left_out: Sequence[str] = (),
    reals_cap: int | None = None,
) -> list[Pair]:
    """The pairs of one epoch in the order in which they are shown; every epoch has as many.

    Each data set contributes as many pairs as its smaller class has items, repeated so that their number reaches
    `family_floor` of the largest data set's, but at most `max_repeat` times, and never more than `family_cap`. To these
    come pseudo-fakes: per kind, its share of the number of pairs of each data set, made of that data set's reals. A data
    set of one class counts as large as the largest of two, at most; its reals come with pseudo-fakes alone where there are
    any. Fakes of a data set that is `left_out` are never shown, and with them its pairs; its reals come with pseudo-fakes,
    or alone where there are none; all else stays as it was. Of reals that come alone a data set shows `reals_cap` at most.
    """
    groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: {0: [], 1: []})
    for index, item in enumerate(items):
        groups[item.dataset][item.label].append(index)
    sizes = {name: min(len(c) for c in classes.values() if c) for name, classes in groups.items()}
    complete = [size for name, size in sizes.items() if all(groups[name].values())]
    largest = max(complete or sizes.values())
    sizes = {name: min(size, largest) for name, size in sizes.items()}
    rng = rng_for(seed, PLAN_STREAM, epoch)
    order: list[Pair] = []
    for name in sorted(groups):
        wanted = round(max(sizes[name], min(max_repeat * sizes[name], family_floor * largest)))
        wanted = wanted if family_cap is None else min(wanted, family_cap)
        reals, fakes = groups[name][0], groups[name][1]
        has_blendings = bool(reals) and any((blendings or {}).values())
        if name in left_out:
            fakes = []
        if not fakes and reals_cap is not None:
            wanted = min(wanted, reals_cap)
        if fakes or not has_blendings:
            order += _pairs(items, reals, fakes, wanted, rng)
        if has_blendings:
            order += _blended(items, reals, wanted, blendings or {}, rng)
    return [order[i] for i in rng.permutation(len(order))]


def _pairs(
    items: Sequence[Item], reals: list[int], fakes: list[int], wanted: int, rng: np.random.Generator
) -> list[Pair]:
    """Pairs of a data set: first fakes beside their own reals, then what is left of both as it comes."""
    drawn_reals, drawn_fakes = _draw(reals, wanted, rng), _draw(fakes, wanted, rng)
    if not reals or not fakes:
        return [Pair(index, None) for index in drawn_reals] + [Pair(None, index) for index in drawn_fakes]
    waiting: dict[str, list[int]] = defaultdict(list)
    for index in drawn_reals:
        waiting[items[index].source].append(index)
    pairs: list[Pair] = []
    strangers: list[int] = []
    for fake in drawn_fakes:
        source = items[fake].source
        if source and waiting[source]:
            pairs.append(Pair(waiting[source].pop(), fake))
        else:
            strangers.append(fake)
    left = [index for queue in waiting.values() for index in queue]
    return pairs + [Pair(left[i], fake) for i, fake in zip(rng.permutation(len(left)), strangers, strict=True)]


def _blended(
    items: Sequence[Item],
    reals: list[int],
    wanted: int,
    blendings: Mapping[Blending, float],
    rng: np.random.Generator,
) -> list[Pair]:
    """Pseudo-fakes of a data set: each kind's share of `wanted` pairs; donors are other people, where that is known."""
    kinds: list[Blending] = [kind for kind, share in blendings.items() for _ in range(round(share * wanted))]
    pairs: list[Pair] = []
    for real, kind in zip(_draw(reals, len(kinds), rng), kinds, strict=True):
        if kind in ("self", "warp"):
            pairs.append(Pair(real, blending=kind))
        else:
            pairs.append(Pair(real, blending=kind, donors=_donors(items, reals, real, rng)))
    return pairs


def _donors(items: Sequence[Item], reals: list[int], real: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Some reals of the data set that are other people than one of them, as far as is known; at least one real."""
    own = items[real]
    drawn = [int(index) for index in rng.choice(reals, DONORS)]
    others = [
        index
        for index in drawn
        if index != real
        and not (own.identity and items[index].identity == own.identity)
        and not (own.source and items[index].source == own.source)
    ]
    return tuple(others or drawn[:1])


def _draw(indices: list[int], wanted: int, rng: np.random.Generator) -> list[int]:
    """`wanted` indices: whole shuffled rounds, then a part of one, so that none is drawn twice before all were once."""
    drawn: list[int] = []
    while indices and len(drawn) < wanted:
        drawn += [indices[i] for i in rng.permutation(len(indices))[: wanted - len(drawn)]]
    return drawn
