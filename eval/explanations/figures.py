"""Judgements of items -> cells: means with intervals by a bootstrap that draws clusters, per family and call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.explanations.judging import MEASURED, Judgement
from eval.explanations.measures import MEASURES
from eval.explanations.results import Calls, CellPart, MeanPart, MeasurePart
from eval.statistics import clusters_of
from forensics.common.metrics import drawn_multiplicities

ALL = "all"
PERCENTILES = (2.5, 97.5)
DIGITS = 6
# The columns of a measure in the bootstrap, in the order of MeasurePart.
KINDS = ("heatmap", "chance", "centred", "above_chance", "above_centred")


@dataclass(frozen=True)
class Judged:
    """An item's family and origin with one detector's judgement of it; `shown` is its unique path."""

    shown: str
    dataset: str
    generator: str
    source: str
    identity: str
    detector: str
    judgement: Judgement


def cells_of(rows: Sequence[Judged], threshold: float, draws: int, seed: int) -> list[CellPart]:
    """One detector's rows -> a cell per data set and generator, per data set, and pooled; each also by call.

    Only measured rows count; a family without any has no cell, and a pool of one family is that family's cell alone.
    """
    measured = [row for row in rows if row.judgement.outcome == MEASURED]
    return [
        _cell(chosen, dataset, generator, calls, draws, seed)
        for dataset, generator, family in _families(measured)
        for calls, chosen in _by_call(family, threshold)
        if chosen
    ]


def mean_parts(
    values: NDArray[np.float64], clusters: NDArray[np.int64], draws: int, seed: int
) -> list[tuple[float, float | None, float | None]]:
    """Mean and 95 % interval of each column of values (N, M); clusters (N,) codes from 0 without gaps."""
    n = int(clusters.max()) + 1
    sums, counts = np.zeros((n, values.shape[1])), np.bincount(clusters, minlength=n).astype(np.float64)
    np.add.at(sums, clusters, values)
    means = values.mean(0)
    if n < 2:
        return [(float(mean), None, None) for mean in means]
    drawn = [block @ sums / (block @ counts)[:, None] for block in drawn_multiplicities(n, draws, seed, n)]
    low, high = np.percentile(np.concatenate(drawn), PERCENTILES, axis=0)
    return [(float(a), float(b), float(c)) for a, b, c in zip(means, low, high, strict=True)]


def _families(rows: Sequence[Judged]) -> Iterator[tuple[str, str, list[Judged]]]:
    pairs = sorted({(row.dataset, row.generator) for row in rows})
    for dataset, generator in pairs:
        yield dataset, generator, [row for row in rows if (row.dataset, row.generator) == (dataset, generator)]
    datasets = sorted({dataset for dataset, _ in pairs})
    for dataset in datasets:
        if sum(pair[0] == dataset for pair in pairs) > 1:
            yield dataset, ALL, [row for row in rows if row.dataset == dataset]
    if len(datasets) > 1:
        yield ALL, ALL, list(rows)


def _by_call(rows: Sequence[Judged], threshold: float) -> Iterator[tuple[Calls, list[Judged]]]:
    def is_called(row: Judged) -> bool:
        return row.judgement.score is not None and row.judgement.score >= threshold

    yield "all", list(rows)
    yield "detected", [row for row in rows if is_called(row)]
    yield "missed", [row for row in rows if not is_called(row)]


def _cell(rows: Sequence[Judged], dataset: str, generator: str, calls: Calls, draws: int, seed: int) -> CellPart:
    def column(read: Callable[[Judgement], object]) -> NDArray[np.float64]:
        return np.array([read(row.judgement) for row in rows], np.float64)

    heat = column(lambda one: one.heatmap.values() if one.heatmap else None)
    by_chance = column(lambda one: one.chance.values() if one.chance else None)
    middle = column(lambda one: one.centred.values() if one.centred else None)
    clusters = clusters_of(
        [_within(row.dataset, row.source) for row in rows],
        [_within(row.dataset, row.identity) for row in rows],
        [row.shown for row in rows],
    )
    columns = np.concatenate([heat, by_chance, middle, heat - by_chance, heat - middle], axis=1)
    found = [_part(*one) for one in mean_parts(columns, clusters, draws, seed)]
    measures = {
        name: MeasurePart(**{kind: found[len(MEASURES) * i + place] for i, kind in enumerate(KINDS)})
        for place, name in enumerate(MEASURES)
    }
    return CellPart(
        detector=rows[0].detector,
        dataset=dataset,
        generator=generator,
        calls=calls,
        n=len(rows),
        n_clusters=int(clusters.max()) + 1,
        n_blank=sum(not row.judgement.has_heat for row in rows),
        mask_share=round(float(column(lambda one: one.area).mean()), DIGITS),
        **measures,
    )


def _part(value: float, low: float | None, high: float | None) -> MeanPart:
    rounded = [None if one is None else round(one, DIGITS) for one in (low, high)]
    return MeanPart(value=round(value, DIGITS), low=rounded[0], high=rounded[1])


def _within(dataset: str, name: str) -> str:
    """A source or identity is one within its data set."""
    return f"{dataset}\n{name}" if name else ""
