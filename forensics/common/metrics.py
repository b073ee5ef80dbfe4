"""Metrics of scores, the few that training and calibration need; label 1 = fake, greater score = more likely fake."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from forensics.common.seeds import rng_for

BOOTSTRAP_DRAWS = 1000
# Values in one array of a bootstrap's block (1 MiB as float64): long enough to amortise calls, short enough for a cache.
BLOCK_VALUES = 1 << 17


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


@dataclass(frozen=True)
class ClusteredAuc:
    """Scores sorted once, so that the AUC of a bootstrap draw costs one pass and no sorting.

    A draw is how often each cluster was drawn; a row then counts that often, which gives the same AUC, ties counting
    half, as a sample in which the rows are repeated. Rows of a class lie in ascending order of their score.
    """

    real_clusters: NDArray[np.int64]  # (n_real,) cluster of each real
    fake_clusters: NDArray[np.int64]  # (n_fake,)
    reals_below: NDArray[np.int64]  # (n_fake,) how many reals score less than this fake
    reals_up_to: NDArray[np.int64]  # (n_fake,) how many score as much or less

    @classmethod
    def of(cls, labels: NDArray[np.int64], scores: NDArray[np.float64], codes: NDArray[np.int64]) -> "ClusteredAuc":
        """labels (N,) 1 = fake; scores (N,) without NaN; codes (N,) cluster of each row, from 0."""
        order = np.argsort(scores, kind="stable")
        reals, fakes = order[labels[order] == 0], order[labels[order] == 1]
        return cls(
            codes[reals],
            codes[fakes],
            np.searchsorted(scores[reals], scores[fakes], "left"),
            np.searchsorted(scores[reals], scores[fakes], "right"),
        )

    def of_draws(self, multiplicities: NDArray[np.float64]) -> NDArray[np.float64]:
        """AUC of each draw, (K,), from (K, clusters) of `drawn_multiplicities`; NaN where a draw has one class only."""
        reals = running_sum(np.take(multiplicities, self.real_clusters, axis=1))
        fakes = np.take(multiplicities, self.fake_clusters, axis=1)
        beaten = np.take(reals, self.reals_below, axis=1)
        if not np.array_equal(self.reals_below, self.reals_up_to):
            beaten = (beaten + np.take(reals, self.reals_up_to, axis=1)) / 2
        with np.errstate(invalid="ignore"):
            aucs: NDArray[np.float64] = np.einsum("kn,kn->k", fakes, beaten) / (reals[:, -1] * fakes.sum(axis=1))
        return aucs


def running_sum(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, n) -> (K, n + 1): entry i is the sum of the first i weights of its row."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def drawn_multiplicities(n_clusters: int, draws: int, seed: int, n_rows: int) -> Iterator[NDArray[np.float64]]:
    """How often each cluster is drawn, for all draws of a bootstrap, in blocks (K, n_clusters) of K draws.

    Each draw takes n_clusters clusters with replacement from one stream of (seed, draws): any two statistics of the
    same clusters see the same draws. K keeps a block of n_rows columns at about BLOCK_VALUES.
    """
    rng = rng_for(seed, draws)
    at_once = max(1, BLOCK_VALUES // max(n_rows, n_clusters, 1))
    for start in range(0, draws, at_once):
        n = min(at_once, draws - start)
        drawn = rng.integers(0, n_clusters, (n, n_clusters))
        drawn += n_clusters * np.arange(n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n * n_clusters)
        yield counts.reshape(n, n_clusters).astype(np.float64)


def cluster_codes(clusters: Sequence[str] | NDArray[Any]) -> NDArray[np.int64]:
    """Clusters, named by texts or numbers, as codes from 0 in sorted order; (N,)."""
    names = np.asarray(clusters)
    _, codes = np.unique(names.astype(str) if names.dtype == object else names, return_inverse=True)
    return codes.astype(np.int64)


def auc_with_interval(
    labels: Sequence[int], scores: Sequence[float], clusters: Sequence[str], seed: int = 0, draws: int = BOOTSTRAP_DRAWS
) -> Estimate:
    """AUC with a percentile bootstrap over clusters (what statistics must not take for independent: source videos)."""
    label_array, score_array = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    value = auc(label_array, score_array)
    if np.isnan(value):
        return Estimate(value, value, value)
    codes = cluster_codes(clusters)
    ranked = ClusteredAuc.of(label_array, score_array, codes)
    blocks = drawn_multiplicities(int(codes.max()) + 1, draws, seed, len(codes))
    low, high = np.nanpercentile(np.concatenate([ranked.of_draws(block) for block in blocks]), [2.5, 97.5])
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


def clustered_share(
    hits: NDArray[np.bool_] | NDArray[np.float64], clusters: NDArray[np.int64], draws: int, seed: int
) -> Estimate:
    """A share of rows with a percentile bootstrap over clusters; NaN without rows.

    A share that every draw gives alike, as 0 and 1 are, has Wilson's interval, on as many trials as there are clusters.
    """
    if len(hits) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    _, codes = np.unique(clusters, return_inverse=True)
    n = int(codes.max()) + 1
    hit, size = np.bincount(codes, hits.astype(np.float64), n), np.bincount(codes, minlength=n).astype(np.float64)
    values = [block @ hit / (block @ size) for block in drawn_multiplicities(n, draws, seed, len(hits))]
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    value = float(hit.sum() / size.sum())
    if low < high and n > 1:
        return Estimate(value, float(low), float(high))
    wilson = share_with_interval(round(value * n), n)
    return Estimate(value, min(wilson.low, value), max(wilson.high, value))
