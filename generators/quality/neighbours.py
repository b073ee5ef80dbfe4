"""Does a generator copy? Distances of its samples to the nearest training pictures, against those of reals it never saw.

A generator that copies draws samples that are nearer to the training pictures than other pictures of the same kind are.
Two figures say it: the share of samples nearer than the nearest hundredth of held-out reals are, beside the range that it
has where nothing is copied, and the chance that a sample is nearer than a held-out real (0.5; Meehan, Chaudhuri, Dasgupta
2020, arXiv 2004.05675, the Mann-Whitney statistic of their test over the whole space).
The range: if samples and held-out reals are draws of one distribution, the number of n samples below the r-th smallest of m
reals' distances is beta-binomial (n, r, m - r + 1), whatever that distribution is. Both sides' chance is in it.
Limits: a blurred or collapsed generator is near to everything and raises both figures without copying, so the nearest
pairs are to be looked at. Held-out reals that repeat training pictures hide copies. Mirrored copies are searched for in
pixels alone: features of a network may tell a picture from its mirror image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, rankdata

from generators.quality.extractors import Features
from generators.quality.metrics import Estimate

NEAR_SHARE = 0.01
NEIGHBOURS = 3
QUERY_ROWS = 256


@dataclass(frozen=True)
class Nearest:
    """The k nearest of a base for each query, nearest first: indices (N, k) int64, distances (N, k) float64."""

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Memorisation:
    """How near samples come to training pictures.

    near_share: of samples at most `threshold` away, the distance within which about NEAR_SHARE of the held-out reals lie;
    expected and its 95 % range (low, high): the same share where nothing is copied.
    nearer: chance that a sample is nearer than a held-out real, ties counting half. The medians are of the distances.
    """

    threshold: float
    near_share: float
    expected: Estimate
    nearer: float
    median_fake: float
    median_real: float


def mirrored(pictures: Features, px: int) -> Features:
    """Rows (M, 3 px^2) of small RGB pictures -> the same rows of their left-right mirror images."""
    return pictures.reshape(-1, px, px, 3)[:, :, ::-1].reshape(pictures.shape)


def nearest(queries: Features, base: Features, k: int = NEIGHBOURS, mirror: Features | None = None) -> Nearest:
    """Euclidean neighbours of (N, D) among (M, D), exact; k is cut to M. Ties go to the lower index.

    mirror: (M, D), the base's mirror images: a distance is then the smaller of those to a row and to its mirror image.
    """
    bases = [base] if mirror is None else [base, mirror]
    k = min(k, len(base))
    squares = [(rows**2).sum(axis=1) for rows in bases]
    indices, distances = [], []
    for start in range(0, len(queries), QUERY_ROWS):
        part = queries[start : start + QUERY_ROWS]
        # + |part|^2, which does not change the order
        each = [norms[None, :] - 2.0 * part @ rows.T for norms, rows in zip(squares, bases, strict=True)]
        d2 = np.minimum.reduce(each)
        order = np.argsort(d2, axis=1, kind="stable")[:, :k]
        # Anew for the few: the expansion above cancels where a copy is at distance 0.
        exact = np.sqrt(np.minimum.reduce([((rows[order] - part[:, None, :]) ** 2).sum(axis=2) for rows in bases]))
        again = np.argsort(exact, axis=1, kind="stable")
        indices.append(np.take_along_axis(order, again, axis=1))
        distances.append(np.take_along_axis(exact, again, axis=1))
    if not indices:
        return Nearest(np.zeros((0, k), np.int64), np.zeros((0, k)))
    return Nearest(np.concatenate(indices), np.concatenate(distances))


def memorisation(fake: Nearest, real: Nearest) -> Memorisation:
    """Samples' distances to the training pictures, against held-out reals' to the same ones."""
    fakes, reals = fake.distances[:, 0], real.distances[:, 0]
    # "lower": the distance of one of the reals, so that a handful of reals gives no threshold that none of them has.
    threshold = float(np.quantile(reals, NEAR_SHARE, method="lower"))
    n, m, r = len(fakes), len(reals), int((reals <= threshold).sum())
    expected = betabinom(n, r, m - r + 1)
    return Memorisation(
        threshold=threshold,
        near_share=float((fakes <= threshold).mean()),
        expected=Estimate(r / (m + 1), float(expected.ppf(0.025)) / n, float(expected.ppf(0.975)) / n),
        nearer=1.0 - _chance_of_greater(fakes, reals),
        median_fake=float(np.median(fakes)),
        median_real=float(np.median(reals)),
    )


def most_suspicious(found: Nearest, n: int) -> NDArray[np.int64]:
    """Indices of the n samples that lie nearest to a training picture, nearest first."""
    return np.argsort(found.distances[:, 0], kind="stable")[:n]


def _chance_of_greater(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """P(a > b) + P(a = b) / 2: Mann and Whitney's U over the number of pairs."""
    ranks = rankdata(np.concatenate([a, b]))[: len(a)]
    return float((ranks.sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))
