"""Intervals of all metrics by a bootstrap that draws whole clusters.

Percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) of a resampling of clusters
with replacement (Field and Welsh, JRSS B 2007). Scores are sorted once; a draw only changes how often each row counts, so
every metric of a draw follows from two running sums of counts: no draw sorts, and none repeats a row. The values are those
of the metrics on the repeated rows. Blocks of draws run in threads, and their number changes no bit of the result.

Limits: percentile intervals are too narrow with fewer than about 30 clusters, and undefined for a metric at its bound in
every draw; 1,000 draws or more. A draw that lost a class which the data have is left out.
"""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.statistics.metrics import (
    ECE_BINS,
    FPR_LEVELS,
    METRICS,
    bin_numbers,
    checked_probabilities,
    has_both_classes,
    metric_values,
)
from forensics.common.metrics import ClusteredAuc, Estimate, cluster_codes, drawn_multiplicities, running_sum

DRAWS = 2000
PERCENTILES = (2.5, 97.5)
# More threads only contend: the running sums are bound by memory.
MAX_THREADS = 8
# Draws times rows below which starting threads takes longer than the work.
WORTH_THREADS = 4_000_000

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def bootstrap_metrics(
    labels: NDArray[np.int64],
    scores: Floats,
    clusters: Sequence[str] | NDArray[Any],
    threshold: float,
    draws: int = DRAWS,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Estimate]:
    """Every one of METRICS with its 95 % interval; rates at the threshold (called fake when score >= it).

    labels (N,) 1 = fake; scores (N,) in [0, 1]; clusters (N,) names or codes. What one class leaves undefined is NaN.
    Raises ValueError as `metric_values` does, and for clusters of another length.
    """
    labels, scores = checked_probabilities(labels, scores)
    values = metric_values(labels, scores, threshold)
    drawn = bootstrap_values(labels, scores, clusters, threshold, draws, seed, threads)
    return {name: Estimate(values[name], *_interval(drawn[name])) for name in METRICS}


def bootstrap_values(
    labels: NDArray[np.int64],
    scores: Floats,
    clusters: Sequence[str] | NDArray[Any],
    threshold: float,
    draws: int = DRAWS,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Floats]:
    """Every one of METRICS in each draw, (draws,); NaN where a draw lacks a class that the data have."""
    labels, scores = checked_probabilities(labels, scores)
    codes = cluster_codes(clusters)
    if len(codes) != len(labels):
        raise ValueError(f"{len(codes)} clusters for {len(labels)} rows")
    if len(labels) == 0:
        return {name: np.full(draws, np.nan) for name in METRICS}
    sample = _Sample.of(labels, scores, codes, threshold)
    blocks = drawn_multiplicities(int(codes.max()) + 1, draws, seed, len(labels))
    if threads is None:
        threads = min(os.cpu_count() or 1, MAX_THREADS) if draws * len(labels) > WORTH_THREADS else 1
    parts = list(_in_order(sample.metrics_of_draws, blocks, threads))
    return {name: np.concatenate([part[name] for part in parts]) for name in METRICS}


@dataclass(frozen=True)
class _Class:
    """The rows of one class in ascending order of their score."""

    clusters: Positions  # (n,)
    scores: Floats  # (n,)
    gaps: Floats  # (n,) label - score, what the calibration error sums in a bin
    squares: Floats  # (n,) its square
    bins: Positions  # numbers of the bins that hold rows
    bin_starts: Positions  # where each of these starts
    n_below_threshold: int

    @classmethod
    def of(cls, label: int, scores: Floats, codes: Positions, threshold: float) -> "_Class":
        order = np.argsort(scores, kind="stable")
        ordered = scores[order]
        bins, starts = np.unique(bin_numbers(ordered, ECE_BINS), return_index=True)
        gaps = label - ordered
        below = int(np.searchsorted(ordered, threshold, "left"))
        return cls(codes[order], ordered, gaps, gaps**2, bins, starts.astype(np.int64), below)

    def gaps_of_draws(self, weights: Floats) -> Floats:
        """(K, n) -> (K, ECE_BINS): sum of label - score per bin."""
        sums = np.zeros((len(weights), ECE_BINS))
        if len(self.bins):
            sums[:, self.bins] = np.add.reduceat(weights * self.gaps, self.bin_starts, axis=1)
        return sums

    def squares_of_draws(self, weights: Floats) -> Floats:
        """(K, n) -> (K,): sum of the squares."""
        sums: Floats = np.einsum("kn,n->k", weights, self.squares)
        return sums


@dataclass(frozen=True)
class _Sample:
    """What stays the same in every draw: the order of the scores, and where each class has its rows in it."""

    reals: _Class
    fakes: _Class
    both: bool
    reals_below: Positions  # (n_fake,) how many reals score less than this fake
    reals_up_to: Positions | None  # (n_fake,) how many score as much or less; None where no real ties with a fake
    fakes_below: Positions | None  # (n_fake,) how many fakes score less; None where no two fakes tie
    fakes_up_to: Positions  # (n_real + 1,) how many fakes score as much as real i - 1 or less; 0 for i = 0
    steps: tuple[list[int], list[int]]  # (U + 1,) reals and fakes below each distinct score; last, all of them

    @classmethod
    def of(cls, labels: NDArray[np.int64], scores: Floats, codes: Positions, threshold: float) -> "_Sample":
        reals = _Class.of(0, scores[labels == 0], codes[labels == 0], threshold)
        fakes = _Class.of(1, scores[labels == 1], codes[labels == 1], threshold)
        ranked = ClusteredAuc.of(labels, scores, codes)
        distinct = np.unique(scores)
        fakes_below = np.searchsorted(fakes.scores, fakes.scores, "left")
        return cls(
            reals=reals,
            fakes=fakes,
            both=has_both_classes(labels),
            reals_below=ranked.reals_below,
            reals_up_to=None if np.array_equal(ranked.reals_below, ranked.reals_up_to) else ranked.reals_up_to,
            fakes_below=None if np.array_equal(fakes_below, np.arange(len(fakes_below))) else fakes_below,
            fakes_up_to=np.concatenate([[0], np.searchsorted(fakes.scores, reals.scores, "right")]),
            steps=(_steps(reals.scores, distinct), _steps(fakes.scores, distinct)),
        )

    def metrics_of_draws(self, multiplicities: Floats) -> dict[str, Floats]:
        """(K, clusters) how often each cluster was drawn -> METRICS, (K,) each."""
        real_weights = np.take(multiplicities, self.reals.clusters, axis=1)
        fake_weights = np.take(multiplicities, self.fakes.clusters, axis=1)
        real_sums, fake_sums = running_sum(real_weights), running_sum(fake_weights)
        n_real, n_fake = real_sums[:, -1], fake_sums[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self._ranking(fake_weights, real_sums, fake_sums)
            found |= self._rates(real_sums, fake_sums)
            found |= self._calibration(real_weights, fake_weights, n_real, n_fake)
        if self.both:
            for values in found.values():
                values[(n_real == 0) | (n_fake == 0)] = np.nan
        return found

    def _ranking(self, fake_weights: Floats, real_sums: Floats, fake_sums: Floats) -> dict[str, Floats]:
        n_real, n_fake = real_sums[:, -1], fake_sums[:, -1]
        if not self.both:
            undefined = np.full(len(n_real), np.nan)
            return {name: undefined.copy() for name in ("auc", "ap", "eer", *FPR_LEVELS)}
        below = np.take(real_sums, self.reals_below, axis=1)
        # Of a fake's own score as the threshold: fakes and reals at or above it.
        true = n_fake[:, None] - (
            fake_sums[:, :-1] if self.fakes_below is None else np.take(fake_sums, self.fakes_below, axis=1)
        )
        called = (n_real[:, None] - below) + true
        # Counts are whole numbers: a threshold that calls nothing in this draw has weight 0 as well.
        precision = np.divide(true, np.maximum(called, 1, out=called), out=called)
        beaten = below
        if self.reals_up_to is not None:
            beaten = (below + np.take(real_sums, self.reals_up_to, axis=1)) / 2
        found = {
            "auc": np.einsum("kn,kn->k", fake_weights, beaten) / (n_real * n_fake),
            "ap": np.einsum("kn,kn->k", fake_weights, precision) / n_fake,
            "eer": np.array([self._eer(*sums) for sums in zip(real_sums, fake_sums, strict=True)]),
        }
        for name, level in FPR_LEVELS.items():
            found[name] = np.array([self._tpr_at_fpr(*sums, level) for sums in zip(real_sums, fake_sums, strict=True)])
        return found

    def _eer(self, real_sums: Floats, fake_sums: Floats) -> float:
        """Bisection for the step where FPR - FNR changes its sign: it falls with the threshold."""
        n_real, n_fake = float(real_sums[-1]), float(fake_sums[-1])
        if n_real == 0 or n_fake == 0:
            return np.nan
        reals_below, fakes_below = self.steps

        def excess(step: int) -> float:
            """(FPR - FNR) * n_real * n_fake: a whole number, thus exact."""
            reals, fakes = float(real_sums[reals_below[step]]), float(fake_sums[fakes_below[step]])
            return (n_real - reals) * n_fake - fakes * n_real

        last = bisect_right(range(len(reals_below)), 0.0, key=lambda step: -excess(step)) - 1
        low, high = excess(last + 1), excess(last)
        fpr_low, fpr_high = (1 - float(real_sums[reals_below[step]]) / n_real for step in (last + 1, last))
        return fpr_low - low / (high - low) * (fpr_high - fpr_low)

    def _tpr_at_fpr(self, real_sums: Floats, fake_sums: Floats, level: float) -> float:
        """The threshold lies just above the real that may not be called fake any more."""
        n_real, n_fake = float(real_sums[-1]), float(fake_sums[-1])
        if n_real == 0 or n_fake == 0:
            return np.nan
        # Exact: n / 100 and n / 20 are at least 0.01 from a whole number or, as floats, that number itself.
        allowed = np.floor(level * n_real)
        spared = int(np.searchsorted(real_sums, n_real - allowed, "left"))
        return (n_fake - float(fake_sums[self.fakes_up_to[spared]])) / n_fake

    def _rates(self, real_sums: Floats, fake_sums: Floats) -> dict[str, Floats]:
        n_real, n_fake = real_sums[:, -1], fake_sums[:, -1]
        spared, missed = real_sums[:, self.reals.n_below_threshold], fake_sums[:, self.fakes.n_below_threshold]
        return {
            "accuracy": (spared + n_fake - missed) / (n_real + n_fake),
            "fpr": (n_real - spared) / n_real,
            "fnr": missed / n_fake,
        }

    def _calibration(
        self, real_weights: Floats, fake_weights: Floats, n_real: Floats, n_fake: Floats
    ) -> dict[str, Floats]:
        real_gaps, fake_gaps = self.reals.gaps_of_draws(real_weights), self.fakes.gaps_of_draws(fake_weights)
        real_squares, fake_squares = (
            self.reals.squares_of_draws(real_weights),
            self.fakes.squares_of_draws(fake_weights),
        )
        n = n_real + n_fake
        even_gaps = real_gaps / (2 * n_real[:, None]) + fake_gaps / (2 * n_fake[:, None])
        return {
            "ece": np.abs(real_gaps + fake_gaps).sum(axis=1) / n,
            "brier": (real_squares + fake_squares) / n,
            "ece_even_prior": np.abs(even_gaps).sum(axis=1),
            "brier_even_prior": real_squares / (2 * n_real) + fake_squares / (2 * n_fake),
        }


def _steps(ordered: Floats, distinct: Floats) -> list[int]:
    """How many of the ordered scores lie below each distinct one; last, how many there are."""
    below: list[int] = np.searchsorted(ordered, distinct, "left").tolist()
    return [*below, len(ordered)]


def _interval(values: Floats) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if len(defined) == 0:
        return np.nan, np.nan
    low, high = np.percentile(defined, PERCENTILES)
    return float(low), float(high)


def _in_order(
    function: Callable[[Floats], dict[str, Floats]], blocks: Iterable[Floats], threads: int
) -> Iterator[dict[str, Floats]]:
    """function of each block, in order, with few blocks alive at a time."""
    if threads <= 1:
        yield from map(function, blocks)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[dict[str, Floats]]] = deque()
        for block in blocks:
            running.append(pool.submit(function, block))
            if len(running) > 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
