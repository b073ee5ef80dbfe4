"""KID, FID, precision and recall of feature vectors, each with an interval and what it means.

KID   Binkowski et al. 2018, arXiv 1801.01401: squared MMD with the kernel (x.y / D + 1)^3, unbiased: about 0 where both
      sets are of one distribution, also a little below.
FID   Heusel et al. 2017, arXiv 1706.08500: Frechet distance of two Gaussians. Biased upwards at small n: compare at one n.
precision, recall   Kynkaanniemi et al. 2019, arXiv 1904.06991: share of fakes inside the reals' nearest-neighbour balls
      (k = 3), and of reals inside the fakes'.

The numbers are torch-fidelity's. Intervals of KID and FID are a delete-half jackknife (Wu 1986; Shao and Wu 1989): the
spread over random subsets of half of each set, drawn without replacement, is the standard error of the whole, and
value +- 1.96 of it covers 95 %. Where subsets of m are smaller than half of n, the spread is scaled by sqrt(m / (n - m)),
by the larger of the two sets' factors where they differ (too wide, if at all). It is not the spread of a subset's KID that
some tools print, which does not shrink with n. Of sets of one distribution it is too wide, never too narrow.
FID's interval is about the expectation at this n, not about the FID of infinitely many pictures, and wide (conservative):
covariances of half as many pictures scatter more than by sqrt(2), most of all with fewer pictures than features.
Precision and recall have Wilson's interval of a share, for the other set as it is.
Limits: pictures count as independent; several of one person or clip make every interval too narrow.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_poly
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from forensics.common.errors import UsageError
from forensics.common.seeds import rng_for
from generators.quality.extractors import Features

Rows = NDArray[np.int64]
# Of fakes, of reals.
Pair = tuple[int, int]

# As in Binkowski et al. and torch-fidelity: the cost of a subset grows with the square of its size.
KID_SUBSETS, MAX_SUBSET = 100, 1000
# A subset's FID takes seconds; a standard deviation of 20 is within 16 % of the true one.
FID_SUBSETS = 20
# Up to here the kernel of all pairs is held at once (three times 8 n^2 bytes), and a subset is a choice of its rows.
MAX_KERNEL_ROWS = 4000
MIN_PICTURES = 8
NEIGHBOURS = 3
# A covariance of D = 2048 features has full rank only from here on.
FID_PICTURES = 2048
Z95 = 1.959964
KID_STREAM, FID_STREAM = 0x51D, 0xF1D


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; see the module's text for what it is of."""

    value: float
    low: float
    high: float


def kid(
    fake: Features, real: Features, seed: int = 0, subsets: int = KID_SUBSETS, subset_size: int | None = None
) -> Estimate:
    """Kernel distance of features (N, D) and (M, D): the mean over subsets, and the interval of the whole.

    subset_size: of both sets; half of each, at most 1000, if not given. It must be smaller than both.
    Raises UsageError for fewer than 8 of either or a subset that is too large.
    """
    _check(fake, real)
    totals = len(fake), len(real)
    sizes = _subset_sizes(totals, subset_size)
    mmd = _mmd_of_rows(fake, real)
    values = [mmd(*rows) for rows in _draws(totals, sizes, subsets, seed, KID_STREAM)]
    return _jackknife(float(np.mean(values)), values, sizes, totals)


def fid(fake: Features, real: Features, seed: int = 0, subsets: int = FID_SUBSETS) -> Estimate:
    """Frechet distance of features (N, D) and (M, D), with the interval of its expectation at this N and M.

    The interval is wide (conservative): see the module's text. Raises UsageError for fewer than 8 of either.
    """
    _check(fake, real)
    if min(len(fake), len(real)) <= fake.shape[1]:
        value = frechet_distance(
            fake, real
        )  # torch-fidelity takes minutes over a product of D x D that has no full rank
    else:
        statistics = [fid_features_to_statistics(torch.from_numpy(np.ascontiguousarray(part))) for part in (fake, real)]
        value = float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])
    totals = len(fake), len(real)
    sizes = _subset_sizes(totals, None)
    draws = _draws(totals, sizes, subsets, seed, FID_STREAM)
    values = [frechet_distance(fake[rows_f], real[rows_r]) for rows_f, rows_r in draws]
    return _jackknife(value, values, sizes, totals)


def precision_recall(fake: Features, real: Features, neighbours: int = NEIGHBOURS) -> tuple[Estimate, Estimate]:
    """(precision, recall) of features (N, D) and (M, D). Sets of one size make the two comparable.

    Raises UsageError for fewer than 8 of either.
    """
    _check(fake, real)
    found = prc_features_to_metric(
        torch.from_numpy(np.ascontiguousarray(fake)), torch.from_numpy(np.ascontiguousarray(real)),
        prc_neighborhood=neighbours, prc_batch_size=1000, save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    return wilson(found[KEY_METRIC_PRECISION], len(fake)), wilson(found[KEY_METRIC_RECALL], len(real))


def frechet_distance(a: Features, b: Features) -> float:
    """FID of (N, D) and (M, D) without a D x D product: tr sqrt(S_a S_b) is the sum of singular values of A B^T.

    A and B are the centred rows over sqrt(n - 1), S = A^T A. The same number as torch-fidelity's, seventy times faster
    for fewer rows than features; subsets are of this kind.
    """
    left, right = _scatter_root(a), _scatter_root(b)
    product = left @ right.T
    gram = product @ product.T if product.shape[0] <= product.shape[1] else product.T @ product
    nuclear = float(np.sqrt(np.linalg.eigvalsh(gram).clip(min=0.0)).sum())
    difference = a.mean(axis=0) - b.mean(axis=0)
    return float(difference @ difference) + float((left**2).sum()) + float((right**2).sum()) - 2.0 * nuclear


def wilson(share: float, n: int) -> Estimate:
    """A share of n with Wilson's score interval (1927), which stays inside [0, 1] and has a width at 0 and 1."""
    z2 = Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def _mmd_of_rows(fake: Features, real: Features) -> Callable[[Rows, Rows], float]:
    """A function of chosen rows of both sets -> unbiased squared MMD."""
    if max(len(fake), len(real)) > MAX_KERNEL_ROWS:
        return lambda f, r: _mmd(
            kernel_poly(fake[f], fake[f]), kernel_poly(fake[f], real[r]), kernel_poly(real[r], real[r])
        )
    k_ff, k_fr, k_rr = kernel_poly(fake, fake), kernel_poly(fake, real), kernel_poly(real, real)
    return lambda f, r: _mmd(k_ff[np.ix_(f, f)], k_fr[np.ix_(f, r)], k_rr[np.ix_(r, r)])


def _mmd(k_ff: Features, k_fr: Features, k_rr: Features) -> float:
    """Unbiased squared MMD of kernels (a, a), (a, b), (b, b); torch-fidelity's, which is of a = b only, for any a and b."""
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (k_ff, k_rr)]
    return float(within[0] + within[1] - 2.0 * k_fr.mean())


def _draws(totals: Pair, sizes: Pair, subsets: int, seed: int, stream: int) -> Iterator[tuple[Rows, Rows]]:
    """Rows of either set for each subset, without replacement."""
    for index in range(subsets):
        rng = rng_for(seed, stream, index)
        yield rng.permutation(totals[0])[: sizes[0]], rng.permutation(totals[1])[: sizes[1]]


def _jackknife(value: float, values: list[float], sizes: Pair, totals: Pair) -> Estimate:
    scale = max(size / (n - size) for size, n in zip(sizes, totals, strict=True))
    half = Z95 * float(np.std(values, ddof=1)) * math.sqrt(scale)
    return Estimate(value, value - half, value + half)


def _subset_sizes(totals: Pair, asked: int | None) -> Pair:
    """Of fakes and of reals: each set gives its own half, as one size for both would count the larger set's chance
    as if it were the smaller one."""
    if asked is None:
        return min(totals[0] // 2, MAX_SUBSET), min(totals[1] // 2, MAX_SUBSET)
    if not 2 <= asked < min(totals):
        raise UsageError(f"subsets of {asked} of {min(totals)} pictures", "at least 2, and fewer than there are")
    return asked, asked


def _scatter_root(rows: Features) -> Features:
    centred: Features = (rows - rows.mean(axis=0)) / math.sqrt(len(rows) - 1)
    return centred if len(rows) <= rows.shape[1] else np.linalg.qr(centred, mode="r")  # type: ignore[return-value]


def _check(fake: Features, real: Features) -> None:
    if fake.ndim != 2 or real.ndim != 2 or fake.shape[1] != real.shape[1]:
        raise ValueError(f"features of shapes {fake.shape} and {real.shape}: of one extractor?")
    if min(len(fake), len(real)) < MIN_PICTURES:
        raise UsageError(
            f"{len(fake)} fakes and {len(real)} reals are too few to measure", f"at least {MIN_PICTURES} of each"
        )
