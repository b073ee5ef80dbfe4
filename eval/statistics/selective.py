"""Error against coverage: how often a detector is wrong on what it decides, if it may leave out what it is least sure of.

Risk-coverage curve: El-Yaniv and Wiener (JMLR 2010); Geifman and El-Yaniv (2017), arXiv 1705.08500; the area under it
(AURC): Geifman, Uziel, El-Yaniv (2019), arXiv 1805.08206. An item is called fake at a score of 0.5 or more, and the
distance of its score from 0.5 is how sure the call is, so scores must be probabilities at even prior. Items without a score
are the first to be left out: coverage is a share of all inputs. Both classes weigh one half, in coverage and in error.

Limits: it says what an ideal choice of thresholds on these very items would give at each coverage, not what shipped ones
do. Where one class is missing, the other weighs everything, and the error is that of one kind.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.statistics.bootstrap import DRAWS, PERCENTILES
from eval.statistics.metrics import checked_probabilities
from forensics.common.metrics import Estimate, drawn_multiplicities, running_sum

Floats = NDArray[np.float64]
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
# Sums of weights that are equal in exact arithmetic differ by less than this.
ROUNDING = 1e-9


@dataclass(frozen=True)
class RiskCoverage:
    """coverages (K,), falling; errors: one estimate each, with its 95 % interval, NaN where too few items have a score.

    scored: weighted share of inputs with a score, the greatest coverage there is. error_scored: error there. aurc: mean
    error over all coverages up to it. Both are NaN without a score.
    """

    coverages: tuple[float, ...]
    errors: tuple[Estimate, ...]
    scored: float
    error_scored: float
    aurc: float


@dataclass(frozen=True)
class _Ordered:
    """Items by falling sureness, those without a score last; equal ones are taken together."""

    labels: NDArray[np.int64]
    wrong: Floats  # (N,) 1 where the call at 0.5 is wrong; 0 where there is none
    codes: NDArray[np.int64]
    group_ends: NDArray[np.int64]  # (G,) how many items precede the end of each group of equally sure ones

    def errors_of(self, multiplicities: Floats, coverages: Floats) -> Floats:
        """(K, clusters) -> (K, C): errors at each coverage; NaN where it is not reached, or a class was lost."""
        covered, wrong = self.sums_of(multiplicities)
        errors = np.full((len(multiplicities), len(coverages)), np.nan)
        for row, (reached, mistakes) in enumerate(zip(covered, wrong, strict=True)):
            if np.isnan(reached).any():
                continue
            errors[row] = np.interp(coverages, reached, mistakes) / coverages
            errors[row, coverages > reached[-1] + ROUNDING] = np.nan
        return errors

    def sums_of(self, multiplicities: Floats) -> tuple[Floats, Floats]:
        """(K, clusters) -> coverage and weighted mistakes up to each group, (K, G + 1) each, from 0."""
        weights = np.take(multiplicities, self.codes, axis=1)
        classes = [self.labels == label for label in (0, 1) if (self.labels == label).any()]
        with np.errstate(invalid="ignore", divide="ignore"):
            for rows in classes:
                weights[:, rows] /= len(classes) * weights[:, rows].sum(axis=1, keepdims=True)
        ends = np.concatenate([[0], self.group_ends])
        return running_sum(weights)[:, ends], running_sum(weights * self.wrong)[:, ends]


def risk_coverage(
    labels: NDArray[np.int64],
    scores: Floats,
    clusters: NDArray[np.int64],
    draws: int = DRAWS,
    seed: int = 0,
    coverages: tuple[float, ...] = COVERAGES,
) -> RiskCoverage:
    """labels (N,) 1 = fake; scores (N,) in [0, 1], NaN for an item without one; clusters (N,) codes from 0.

    Between two groups of equally sure items the error is that of a random part of the group. Raises ValueError for labels
    that are not 0 or 1, scores outside [0, 1], or other lengths.
    """
    has_score = ~np.isnan(np.asarray(scores, np.float64))
    labels, filled = checked_probabilities(labels, np.where(has_score, scores, 0.0))
    if len(clusters) != len(labels):
        raise ValueError(f"{len(clusters)} clusters for {len(labels)} rows")
    if not has_score.any():
        undefined = Estimate(np.nan, np.nan, np.nan)
        return RiskCoverage(coverages, (undefined,) * len(coverages), 0.0, np.nan, np.nan)
    _, codes = np.unique(clusters, return_inverse=True)
    ordered = _ordered(labels, filled, has_score, codes.astype(np.int64))
    wanted = np.array(coverages)
    n_clusters = int(ordered.codes.max()) + 1
    once = np.ones((1, n_clusters))
    values = ordered.errors_of(once, wanted)[0]
    drawn = np.concatenate(
        [ordered.errors_of(block, wanted) for block in drawn_multiplicities(n_clusters, draws, seed, len(labels))]
    )
    covered, wrong = ordered.sums_of(once)
    errors = tuple(_estimate(float(value), own) for value, own in zip(values, drawn.T, strict=True))
    scored, mistakes = float(covered[0, -1]), float(wrong[0, -1])
    return RiskCoverage(tuple(coverages), errors, scored, mistakes / scored, _area(covered[0], wrong[0]))


def _ordered(
    labels: NDArray[np.int64], scores: Floats, has_score: NDArray[np.bool_], codes: NDArray[np.int64]
) -> _Ordered:
    sureness = np.where(has_score, np.abs(scores - 0.5), -1.0)
    order = np.argsort(-sureness, kind="stable")
    n_scored = int(has_score.sum())
    sure = sureness[order][:n_scored]
    ends = np.append(np.flatnonzero(np.diff(sure)) + 1, n_scored)
    wrong = ((scores >= 0.5) != (labels == 1)) & has_score
    return _Ordered(labels[order], wrong[order].astype(np.float64), codes[order], ends.astype(np.int64))


def _area(covered: Floats, wrong: Floats) -> float:
    """Mean of the error after each group, by the coverage that the group adds."""
    return float(np.sum(np.diff(covered) * wrong[1:] / covered[1:]) / covered[-1])


def _estimate(value: float, drawn: Floats) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or len(defined) == 0:
        return Estimate(value, np.nan, np.nan)
    low, high = np.percentile(defined, PERCENTILES)
    return Estimate(value, float(low), float(high))
