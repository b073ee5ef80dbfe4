"""Comparing detectors on the same items: DeLong's test, a clustered bootstrap of the difference, Holm's correction.

DeLong, DeLong, Clarke-Pearson: Comparing the areas under two or more correlated ROC curves (Biometrics 1988), by the
midranks of Sun and Xu: Fast implementation of DeLong's algorithm (IEEE Signal Processing Letters 2014). Logit interval:
Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2. Clusters: Obuchowski, Nonparametric analysis of
clustered ROC curve data (Biometrics 1997). Holm: A simple sequentially rejective multiple test procedure (Scandinavian
Journal of Statistics 1979).

Limits: DeLong takes rows as independent. Frames, fakes and originals of one recording are not, so its interval is too
narrow and its p too small on them. With `clusters` the variance is Obuchowski's, which sums a cluster's rows first and is
DeLong's where each row is its own cluster; that and the clustered bootstrap are to be believed, plain DeLong is what others
quote. All three are rough with fewer than about 30 clusters of a class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from eval.statistics.bootstrap import DRAWS, PERCENTILES
from eval.statistics.metrics import checked, has_both_classes
from forensics.common.metrics import ClusteredAuc, Estimate, auc, cluster_codes, drawn_multiplicities

Clusters = Sequence[str] | NDArray[Any]
Z_95 = float(norm.ppf(0.975))
# A variance that rounding leaves of equal components: (1e-16)^2 per row; one real pair of a million rows gives more.
ROUNDING_VARIANCE = 1e-28


@dataclass(frozen=True)
class DeLongTest:
    """Two-sided paired test of equal AUCs; `difference` is a - b; z and p are NaN where no variance can be had."""

    auc_a: float
    auc_b: float
    difference: float
    z: float
    p: float


@dataclass(frozen=True)
class PairedDifference:
    """AUC of a less AUC of b on the same rows, with a clustered 95 % interval and a two-sided p of no difference."""

    auc_a: float
    auc_b: float
    difference: Estimate
    p: float


def delong_variance(labels: NDArray[np.int64], scores: NDArray[np.float64], clusters: Clusters | None = None) -> float:
    """Variance of the AUC, of clustered rows where clusters (N,) are given; NaN with fewer than two of a class."""
    labels, scores = checked(labels, scores)
    return _variance(labels, _components(labels, scores), _codes(labels, clusters))


def delong_interval(
    labels: NDArray[np.int64], scores: NDArray[np.float64], clusters: Clusters | None = None
) -> Estimate:
    """AUC with its 95 % interval, symmetric on the logit scale and thus inside (0, 1).

    The bounds are NaN for an AUC of exactly 0 or 1, whose estimated variance is 0 however few the rows are.
    """
    labels, scores = checked(labels, scores)
    value, variance = auc(labels, scores), delong_variance(labels, scores, clusters)
    if math.isnan(variance) or not 0 < value < 1:
        return Estimate(value, math.nan, math.nan)
    centre, half = math.log(value / (1 - value)), Z_95 * math.sqrt(variance) / (value * (1 - value))
    return Estimate(value, *(1 / (1 + math.exp(-bound)) for bound in (centre - half, centre + half)))


def delong_test(
    labels: NDArray[np.int64],
    scores_a: NDArray[np.float64],
    scores_b: NDArray[np.float64],
    clusters: Clusters | None = None,
) -> DeLongTest:
    """Paired two-sided test that two detectors have the same AUC; scores (N,) of the same rows.

    Equal rankings give z = 0, p = 1. Where the AUCs differ but no variance can be estimated, z and p are NaN.
    """
    labels, scores_a = checked(labels, scores_a)
    _, scores_b = checked(labels, scores_b)
    auc_a, auc_b = auc(labels, scores_a), auc(labels, scores_b)
    difference = auc_a - auc_b
    # The variance of the components' differences is that of DeLong's contrast, without its cancellation.
    contrast = _components(labels, scores_a) - _components(labels, scores_b)
    variance = _variance(labels, contrast, _codes(labels, clusters))
    if math.isnan(variance) or (variance < ROUNDING_VARIANCE and difference != 0):
        return DeLongTest(auc_a, auc_b, difference, math.nan, math.nan)
    z = 0.0 if difference == 0 else difference / math.sqrt(variance)
    return DeLongTest(auc_a, auc_b, difference, z, float(2 * norm.sf(abs(z))))


def paired_bootstrap_difference(
    labels: NDArray[np.int64],
    scores_a: NDArray[np.float64],
    scores_b: NDArray[np.float64],
    clusters: Clusters,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedDifference:
    """Difference of two AUCs on the same rows, both measured on the same draws of clusters.

    The p is twice the smaller share of draws on either side of 0, the observed sample counting as one draw (Davison and
    Hinkley, Bootstrap Methods and their Application, 1997, section 4.2): never 0, at least 2 / (draws + 1). NaN with one
    class. Raises ValueError for NaN scores or unequal lengths.
    """
    labels, scores_a = checked(labels, scores_a)
    _, scores_b = checked(labels, scores_b)
    codes = _codes(labels, clusters)
    auc_a, auc_b = auc(labels, scores_a), auc(labels, scores_b)
    if not has_both_classes(labels):
        return PairedDifference(auc_a, auc_b, Estimate(math.nan, math.nan, math.nan), math.nan)
    a, b = ClusteredAuc.of(labels, scores_a, codes), ClusteredAuc.of(labels, scores_b, codes)
    blocks = drawn_multiplicities(int(codes.max()) + 1, draws, seed, len(labels))
    drawn = np.concatenate([a.of_draws(block) - b.of_draws(block) for block in blocks])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        return PairedDifference(auc_a, auc_b, Estimate(auc_a - auc_b, math.nan, math.nan), math.nan)
    low, high = np.percentile(drawn, PERCENTILES)
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(drawn) + 1))
    return PairedDifference(auc_a, auc_b, Estimate(auc_a - auc_b, float(low), float(high)), p)


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """p values adjusted for their number, (M,), in the given order; NaN stays NaN and is not counted.

    Raises ValueError for a value outside [0, 1].
    """
    given = np.asarray(p_values, np.float64)
    if ((given < 0) | (given > 1)).any():
        raise ValueError("p values are from 0 to 1")
    adjusted = np.full(len(given), math.nan)
    order = np.argsort(given, kind="stable")[: int((~np.isnan(given)).sum())]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * given[order]))
    return adjusted


def _components(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) structural components: of a fake the share of reals below it, of a real the share of fakes above it."""
    is_fake = labels == 1
    n_fake = int(is_fake.sum())
    n_real = len(labels) - n_fake
    ranks = rankdata(scores)  # midranks: ties share their mean rank
    parts = np.zeros(len(labels))
    if n_fake and n_real:
        parts[is_fake] = (ranks[is_fake] - rankdata(scores[is_fake])) / n_real
        parts[~is_fake] = 1 - (ranks[~is_fake] - rankdata(scores[~is_fake])) / n_fake
    return parts


def _variance(labels: NDArray[np.int64], components: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Obuchowski 1997, section 3; DeLong's variance where the codes are all different."""
    of_class = [labels == 1, labels == 0]
    present = [np.unique(codes[rows]) for rows in of_class]
    if min(len(clusters) for clusters in present) < 2:
        return math.nan
    n_clusters = int(codes.max()) + 1
    sums = []
    for rows in of_class:
        deviations = components[rows] - components[rows].mean()
        sums.append(np.bincount(codes[rows], deviations, minlength=n_clusters) / rows.sum())
    own = [len(clusters) / (len(clusters) - 1) * (part**2).sum() for clusters, part in zip(present, sums, strict=True)]
    shared = 2 * n_clusters / (n_clusters - 1) * (sums[0] * sums[1]).sum()
    return float(own[0] + own[1] + shared)


def _codes(labels: NDArray[np.int64], clusters: Clusters | None) -> NDArray[np.int64]:
    """Codes from 0; every row its own where no clusters are given."""
    codes = np.arange(len(labels)) if clusters is None else cluster_codes(clusters)
    if len(codes) != len(labels):
        raise ValueError(f"{len(codes)} clusters for {len(labels)} rows")
    return codes
