"""Which items of a data set are judged: one split, and not more than a limit.

A limited run should say what the whole would have said, so the sample is stratified: data sets, labels and generators keep
their shares (largest remainder), and each has at least one item as long as the limit allows.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_text
from forensics.common.manifest import SPLITS, Item
from forensics.common.seeds import rng_for
from forensics.common.text import printable

ALL = "all"
SAMPLE_STREAM = 41  # apart from the streams of other modules that take the same seed
Stratum = tuple[int, str, str]
K = TypeVar("K", bound=Hashable)


def filter_items(items: Sequence[Item], split: str, limit: int | None = None, seed: int = 0) -> list[Item]:
    """Items of a split (train, dev, test, or all), at most `limit` of them, sorted by path.

    The sample depends on the items and the seed alone, not on their order. Of the frames of videos it takes single frames.
    Raises UsageError for an unknown split, a limit below 1, and a split that is empty, naming those that are not.
    """
    if split not in (*SPLITS, ALL):
        raise UsageError(f"unknown split '{split}'", f"one of {', '.join((*SPLITS, ALL))}")
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} leaves nothing", "give at least 1, or leave it out")
    chosen = sorted((item for item in items if split in (ALL, item.split)), key=_key)
    if not chosen:
        raise UsageError(f"no item is in the split '{split}'", _present(items))
    if limit is None or limit >= len(chosen):
        return chosen
    strata: dict[Stratum, list[Item]] = defaultdict(list)
    for item in chosen:
        strata[(item.label, item.dataset, item.generator)].append(item)
    kept: list[Item] = []
    for stratum, n in _shares(strata, limit).items():
        held = strata[stratum]
        name = "\n".join(printable(str(part)) for part in stratum)
        rng = rng_for(seed, SAMPLE_STREAM, int(sha256_of_text(name)[:16], 16))
        kept += [held[i] for i in rng.permutation(len(held))[:n]]
    return sorted(kept, key=_key)


def _key(item: Item) -> tuple[str, int]:
    return item.path.as_posix(), item.label


def _shares(strata: Mapping[Stratum, Sequence[Item]], limit: int) -> dict[Stratum, int]:
    """How many of each: first the labels, so that a small limit does not lose one, then what is inside them."""
    sizes = {stratum: len(held) for stratum, held in strata.items()}
    by_label: Counter[int] = Counter()
    for (label, _, _), size in sizes.items():
        by_label[label] += size
    shares: dict[Stratum, int] = {}
    for label, n in apportion(by_label, limit).items():
        shares |= apportion({stratum: size for stratum, size in sizes.items() if stratum[0] == label}, n)
    return shares


def apportion(sizes: Mapping[K, int], total: int) -> dict[K, int]:
    """Share `total` out in proportion to `sizes` by largest remainder: at least 1 each where total allows, none above its
    size. Ties go to the smaller key. `total` must not exceed the sum of the sizes, which are at least 1.
    """
    room = sum(sizes.values())
    shares, remainders = {}, {}
    for key, size in sizes.items():  # in whole numbers: a fraction that rounds the wrong way would lose an item
        shares[key], remainders[key] = divmod(total * size, room)
    left = total - sum(shares.values())
    for key in sorted(sizes, key=lambda key: (-remainders[key], repr(key)))[:left]:
        shares[key] += 1
    if total >= len(sizes):
        for key in sorted((key for key in sizes if not shares[key]), key=repr):
            shares[min(sizes, key=lambda other: (-shares[other], repr(other)))] -= 1
            shares[key] = 1
    return shares


def _present(items: Sequence[Item]) -> str:
    counts = Counter(item.split or "no split" for item in items)
    if not counts:
        return "the data set is empty"
    shown = ", ".join(f"{name} ({n})" for name, n in sorted(counts.items()))
    return f"there are: {shown}; `{ALL}` takes everything"
