"""As many reals as fakes in every split, families as even as they go, drawn by the seed.

Pictures and clips are balanced apart: else a clip would mean a fake. A family gives its rows in one fixed random order, so
that a smaller sample is the beginning of a larger one, and neither the order of the inputs nor other families change it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from eval.testsets.inputs import Row
from eval.testsets.record import CLASSES
from forensics.common.files import sha256_of_text
from forensics.common.seeds import rng_for

SAMPLE_STREAM = 2
HASH_DIGITS = 15  # of a SHA-256, as a number for a random stream
TOO_MANY = "more than --per-family"
OTHER_CLASS_SHORT = "the other class has fewer in this split"
Family = tuple[str, str, int, str]  # split, kind, label, name


@dataclass(frozen=True)
class Choice:
    """Indices of the chosen rows, sorted; why others were left out; what is uneven."""

    chosen: tuple[int, ...]
    reasons: Mapping[int, str]
    notes: tuple[str, ...]


def choose_rows(
    rows: Sequence[Row], splits: Sequence[str], unusable: Collection[int], per_family: int | None, seed: int
) -> Choice:
    """rows, splits: aligned; rows without a split and those in `unusable` are not considered."""
    families: dict[Family, list[int]] = defaultdict(list)
    for index, (row, split) in enumerate(zip(rows, splits, strict=True)):
        if split and index not in unusable:
            families[split, row.kind, row.item.label, row.family].append(index)
    ranked = {family: _in_random_order(rows, family, indices, seed) for family, indices in sorted(families.items())}
    chosen: list[int] = []
    reasons: dict[int, str] = {}
    notes: list[str] = []
    for split, kind in sorted({family[:2] for family in ranked}):
        of_class = [
            {family[3]: own for family, own in ranked.items() if family[:3] == (split, kind, label)} for label in (0, 1)
        ]
        capped = [{name: min(len(own), per_family or len(own)) for name, own in part.items()} for part in of_class]
        n = min(sum(part.values()) for part in capped)
        for label in (0, 1):
            quotas = even_quotas(capped[label], n)
            notes += _remarks(split, kind, label, of_class[label], capped[label], quotas, per_family)
            for name, own in of_class[label].items():
                chosen += own[: quotas[name]]
                reasons |= dict.fromkeys(own[quotas[name] : capped[label][name]], OTHER_CLASS_SHORT)
                reasons |= dict.fromkeys(own[capped[label][name] :], TOO_MANY)
    return Choice(tuple(sorted(chosen)), reasons, tuple(notes))


def even_quotas(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """Take n (at most the sum) out of families of these sizes as evenly as they allow; what is left over goes by name."""
    quotas = dict.fromkeys(sorted(sizes), 0)
    left = min(n, sum(sizes.values()))
    while left:
        open_families = [name for name in quotas if quotas[name] < sizes[name]]
        step = min(left // len(open_families), *(sizes[name] - quotas[name] for name in open_families))
        for name in open_families if step else open_families[:left]:
            quotas[name] += max(1, step)
            left -= max(1, step)
    return quotas


def stream_number(text: str) -> int:
    """A text as part of a random stream's address."""
    return int(sha256_of_text(text)[:HASH_DIGITS], 16)


def _in_random_order(rows: Sequence[Row], family: Family, indices: Sequence[int], seed: int) -> list[int]:
    stable = sorted(indices, key=lambda i: rows[i].sha256)
    order = rng_for(seed, SAMPLE_STREAM, stream_number("\n".join(map(str, family)))).permutation(len(stable))
    return [stable[i] for i in order]


def _remarks(
    split: str,
    kind: str,
    label: int,
    own: Mapping[str, Sequence[int]],
    capped: Mapping[str, int],
    quotas: Mapping[str, int],
    per_family: int | None,
) -> list[str]:
    place = f"{split}, {CLASSES[label]} {kind}s"
    if own and not sum(quotas.values()):
        other = CLASSES[1 - label]
        return [f"{place}: {sum(map(len, own.values()))} left out, for there is no {other} {kind} to balance them with"]
    short = [f"{name} has {n}" for name, n in capped.items() if per_family and n < per_family]
    cut = [f"{name} {quotas[name]} of {len(own[name])}" for name in quotas if quotas[name] < capped[name]]
    lines = [f"{place}: fewer than the {per_family} asked for: {', '.join(short)}"] if short else []
    return [*lines, f"{place}: cut to what the other class has: {', '.join(cut)}"] if cut else lines
