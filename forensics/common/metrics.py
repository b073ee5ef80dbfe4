"""Metrics of scores, the few that training and calibration need; label 1 = fake, greater score = more likely fake."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from forensics.common.seeds import rng_for

BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve by ranks (ties count half); NaN with one class only."""
    n_fake = int(labels.sum())
    n_real = len(labels) - n_fake
    if n_fake == 0 or n_real == 0:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[labels == 1].sum() - n_fake * (n_fake + 1) / 2) / (n_fake * n_real))


def auc_with_interval(
    labels: Sequence[int], scores: Sequence[float], clusters: Sequence[str], seed: int = 0, draws: int = BOOTSTRAP_DRAWS
) -> Estimate:
    """AUC with a percentile bootstrap over clusters (what statistics must not take for independent: source videos)."""
    label_array, score_array = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    value = auc(label_array, score_array)
    if np.isnan(value):
        return Estimate(value, value, value)
    _, inverse = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    members = [np.flatnonzero(inverse == c) for c in range(int(inverse.max()) + 1)]
    rng = rng_for(seed, draws)
    values = []
    for _ in range(draws):
        drawn = np.concatenate([members[c] for c in rng.integers(0, len(members), len(members))])
        values.append(auc(label_array[drawn], score_array[drawn]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def share_with_interval(hits: int, n: int) -> Estimate:
    """A share hits / n with its Wilson 95 % interval (Wilson 1927); NaN for n = 0."""
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    z = 1.959964
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))
