"""What testset.json says of a finished set: counts, what was left out, sizes, and what a person should know."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from scipy.stats import ks_2samp

from eval.testsets.inputs import Row
from eval.testsets.options import BuildOptions
from eval.testsets.pictures import ALIKE_DISTANCE, Checked, Encoding
from eval.testsets.record import CLASSES, CountPart, LeftOutPart, SizePart
from eval.testsets.writing import Output

# Sizes of the two classes are called different only where chance would rarely make them so.
SIZE_P_VALUE = 0.01


def counts_of(outputs: Iterable[Output]) -> list[CountPart]:
    """Files per split, class, family and kind."""
    plain: Counter[tuple[str, int, str, str]] = Counter()
    copies: Counter[tuple[str, int, str, str]] = Counter()
    for output in outputs:
        key = (output.split, output.row.item.label, output.row.family, output.row.kind)
        (copies if output.condition else plain)[key] += 1
    return [
        CountPart(
            split=split,
            label=CLASSES[label],
            family=family,
            kind=kind,
            n=n,
            n_perturbed=copies[split, label, family, kind],
        )
        for (split, label, family, kind), n in sorted(plain.items())
    ]


def left_out_of(rows: Sequence[Row], reasons: Mapping[int, str]) -> list[LeftOutPart]:
    """Rows of the right label that are not in the set, per reason, the most frequent first."""
    counts = Counter((reason, rows[i].item.label) for i, reason in reasons.items())
    totals = Counter(reasons.values())
    return [
        LeftOutPart(reason=reason, real=counts[reason, 0], fake=counts[reason, 1])
        for reason in sorted(totals, key=lambda reason: (-totals[reason], reason))
    ]


def longest_sides(pictures: Sequence[tuple[int, Checked]], size: int | None) -> tuple[list[int], list[int]]:
    """Of reals and of fakes, in pixels as they are in the set. pictures: label (1 = fake) and check of each."""
    sides: tuple[list[int], list[int]] = ([], [])
    for label, checked in pictures:
        longest = max(checked.width, checked.height)
        sides[label].append(min(longest, size or longest))
    return sides


def sizes_of(sides: tuple[Sequence[int], Sequence[int]]) -> list[SizePart]:
    """sides: `longest_sides`."""
    return [
        SizePart(label=name, n=len(own), min_px=min(own), median_px=statistics.median(own), max_px=max(own))
        for name, own in zip(CLASSES, sides, strict=True)
        if own
    ]


def is_pooled(options: BuildOptions, outputs: Sequence[Output]) -> bool:
    """Whether all rows get the set's name as their data set: else a generator without reals of its own has no figures."""
    if options.pool != "auto":
        return options.pool == "yes"
    sets = {
        label: {(output.split, output.row.item.dataset) for output in outputs if output.row.item.label == label}
        for label in (0, 1)
    }
    return not sets[1] <= sets[0]


def notes_of(
    options: BuildOptions,
    outputs: Sequence[Output],
    encoding: Encoding,
    pooled: bool,
    sides: tuple[Sequence[int], Sequence[int]],
) -> list[str]:
    """One sentence each."""
    originals = [output for output in outputs if output.condition is None]
    clips = sum(output.row.kind == "clip" for output in originals)
    attacked = sum(bool(output.row.item.extra.get("attack")) and not output.is_copy for output in originals)
    masks = sum(bool(output.row.item.mask) for output in originals)
    notes = []
    if pooled:
        notes.append(f"all rows have the data set '{options.name}'; the column collection says where each comes from")
    if clips and options.perturb:
        notes.append(f"{clips} clips have no perturbed copies")
    if attacked and encoding.name == "jpeg":
        notes.append(
            f"{attacked} attacked pictures were compressed after their success was measured: "
            "--encode png keeps their pixels"
        )
    elif attacked and options.size is not None:
        notes.append(f"{attacked} attacked pictures were reduced after their success was measured")
    if masks:
        notes.append(f"masks of {masks} rows are not carried over")
    if all(sides) and differ_in_size(sides):
        middle = [statistics.median(own) for own in sides]
        notes.append(
            f"reals and fakes differ in size (longest side, median: {middle[0]:g} against {middle[1]:g} px): "
            f"--size {min(map(min, sides))} makes them alike"
        )
    return notes


def differ_in_size(sides: tuple[Sequence[int], Sequence[int]]) -> bool:
    """By the distance of their distributions (Kolmogorov and Smirnov), if it is more than chance."""
    result = ks_2samp(*sides)
    return bool(result.statistic > ALIKE_DISTANCE and result.pvalue < SIZE_P_VALUE)
