"""What the plots draw, as arrays: curves thinned to what an eye can see, histograms, normal deviates.

DET axes: Martin et al., The DET curve in assessment of detection task performance (Eurospeech 1997): both error rates on
a normal-deviate scale, where two normal score distributions of equal variance give a straight line of slope -1.
Thinning: Ramer 1972, Douglas and Peucker 1973.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from eval.score_table import ScoreRow

Floats = NDArray[np.float64]

# Of the plot's side: less than half a pixel at 400 px.
TOLERANCE = 0.001
MAX_POINTS = 500
HISTOGRAM_BINS = 30
# Tick marks of a DET plot, as rates.
DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
# Rates of 0 and 1 lie at infinity: curves go there along a straight line that leaves the axes.
DET_EDGE = 1e-5


@dataclass(frozen=True, eq=False)
class Scored:
    """The scored items of one detector: labels (N,) 1 = fake, scores (N,) in [0, 1]."""

    labels: NDArray[np.int64]
    scores: Floats

    @property
    def n_fake(self) -> int:
        return int(self.labels.sum())

    @property
    def n_real(self) -> int:
        return len(self.labels) - self.n_fake

    @property
    def has_both(self) -> bool:
        return self.n_fake > 0 and self.n_real > 0

    def rates(self, threshold: float) -> tuple[float, float]:
        """FPR and FNR where called fake at score >= threshold; NaN for a class that is not there."""
        called = self.scores >= threshold
        fpr = float(called[self.labels == 0].mean()) if self.n_real else float("nan")
        return fpr, float((~called[self.labels == 1]).mean()) if self.n_fake else float("nan")


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of each class per bin, split at the threshold: wrong ones are reals at or above and fakes below it.

    edges (B + 1,) from 0 to 1; the others (B,), each class summing to 1 over both of its arrays (0 for an absent class).
    """

    edges: Floats
    real_right: Floats
    real_wrong: Floats
    fake_right: Floats
    fake_wrong: Floats


def scored_of(rows: Sequence[ScoreRow]) -> Scored:
    """The rows that have a score, as arrays."""
    pairs = [(row.label, row.score) for row in rows if row.score is not None]
    return Scored(
        np.array([label for label, _ in pairs], np.int64), np.array([score for _, score in pairs], np.float64)
    )


def thin_curve(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Fewer points of a polyline in the unit square: at most MAX_POINTS, none left out further than TOLERANCE away.

    x, y: (P,) in units of the plot's sides. A curve of more than MAX_POINTS features larger than the tolerance, which no
    monotone curve that was met had, is thinned further with a growing tolerance.
    """
    tolerance = TOLERANCE
    kept = _simplify(x, y, tolerance)
    while kept.sum() > MAX_POINTS:
        tolerance *= 1.5
        kept = _simplify(x, y, tolerance)
    return x[kept], y[kept]


def deviates(rates: Floats) -> Floats:
    """Normal deviates of rates; 0 and 1 become large finite numbers outside every axis."""
    return np.asarray(ndtri(np.clip(rates, DET_EDGE, 1 - DET_EDGE)), np.float64)


def det_limits(curves: Sequence[tuple[Floats, Floats]], n_smallest: int) -> tuple[float, float]:
    """Lower and upper rate that the axes of a DET plot show.

    curves: (fpr, fnr) of each detector. n_smallest: items of the rarer class; the axes begin at the tick that one item in
    twice as many would reach, and end at 60 % unless a curve crosses FPR = FNR above 40 %.
    """
    floor = 1 / (2 * max(n_smallest, 1))
    low = max((tick for tick in DET_TICKS[:6] if tick <= floor), default=DET_TICKS[0])
    crossings = [float(np.maximum(fpr, fnr).min()) for fpr, fnr in curves if len(fpr)]
    return low, 0.6 if max(crossings, default=0.0) < 0.4 else 0.99


def histogram_of(scored: Scored, threshold: float) -> Histogram:
    """Shares per bin and class; a score of exactly 1 lies in the last bin."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)

    def shares(label: int, is_above: bool) -> Floats:
        own = scored.labels == label
        chosen = own & ((scored.scores >= threshold) == is_above)
        return np.histogram(scored.scores[chosen], edges)[0] / max(int(own.sum()), 1)

    return Histogram(edges, shares(0, False), shares(0, True), shares(1, True), shares(1, False))


def probit_grid(low: float, high: float) -> list[float]:
    """Deviates between two rates in even steps: where a diagonal of the DET plot is drawn."""
    return [float(v) for v in np.linspace(deviates(np.array([low]))[0], deviates(np.array([high]))[0], 50)]


def rate_of(deviate: float) -> float:
    """The rate of a normal deviate."""
    return float(ndtr(deviate))


def _simplify(x: Floats, y: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Which points Ramer-Douglas-Peucker keeps: the ends, and those further than the tolerance from their chord."""
    kept = np.zeros(len(x), bool)
    if not len(x):
        return kept
    kept[[0, -1]] = True
    spans = [(0, len(x) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distances = _distances(x[first : last + 1], y[first : last + 1])
        worst = int(np.argmax(distances))
        if distances[worst] > tolerance:
            middle = first + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return kept


def _distances(x: Floats, y: Floats) -> Floats:
    """Distances of points to the straight line between the first and the last."""
    across, up = x[-1] - x[0], y[-1] - y[0]
    length = float(np.hypot(across, up))
    if length == 0:
        return np.asarray(np.hypot(x - x[0], y - y[0]), np.float64)
    distances: Floats = np.abs(across * (y - y[0]) - up * (x - x[0])) / length
    return distances
