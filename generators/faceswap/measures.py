"""Figures of a swap, as pure functions: likeness of pictures, landmark error, flicker, and intervals over time.

SSIM       Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment (IEEE TIP 13, 2004): Gaussian window of 11 x 11 with
           sigma 1.5, K1 = .01, K2 = .03, population covariances; per channel R, G, B, averaged over pixels whose window
           lies inside the picture, then over channels.
flicker    Mean absolute difference of successive frames inside the aligned face, swapped clip over driving clip: 1 is as
           still as the original. Both are aligned by the driving clip's landmarks, whose jitter is in both and draws
           the ratio towards 1.
intervals  Frames of a clip are not independent. Kuensch: The jackknife and the bootstrap for general stationary
           observations (Ann. Stat. 17, 1989): blocks of one second are drawn with replacement from every place where a
           block can begin. Few blocks scatter too little: the distances of both ends from the figure are multiplied by
           t(k - 1) / 1.96 * sqrt(k / (k - 1)), k the seconds covered, t the 97.5 % quantile of Student's distribution;
           below 5 s there is no interval. A share's is the union of that with the interval of Wilson (Probable
           inference, JASA 22, 1927) for as many trials as seconds, which alone is given below 5 s. Limits: people and
           clips other than those measured are not in it at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from forensics.common.seeds import rng_for

WINDOW_PX, SIGMA_PX = 11, 1.5
K1, K2 = 0.01, 0.03
LEVELS = 255.0
# Of equal pictures; a byte of rounding everywhere is 48 dB.
PSNR_CEILING_DB = 100.0
BLOCK_S = 1.0
# With fewer blocks the spread of their means is not known well enough for any factor to mend it.
MIN_SECONDS = 5.0
RESAMPLES = 1000
Z95 = 1.959964
BOOTSTRAP_STREAM = 0xB10C

Batch = NDArray[np.uint8]  # (N, H, W, 3) RGB
Values = NDArray[np.float64]  # (N,)
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; low and high are None where the rows are of less than MIN_SECONDS (but shares')."""

    value: float
    low: float | None
    high: float | None
    n: int


# -- likeness of pictures


def ssim(a: Batch, b: Batch, mask: NDArray[np.float32] | None = None) -> Values:
    """Structural similarity of pictures in pairs, in [-1, 1]; 1 = equal.

    a, b: (N, H, W, 3) uint8, H and W at least 11. mask: (N, H, W) in [0, 1], the weight of each pixel's window; without
    it all weigh the same. Returns (N,); NaN where a mask weighs nothing. Raises ValueError for other shapes.
    """
    _check(a, b, mask)
    if min(a.shape[1:3]) < WINDOW_PX:
        raise ValueError(f"pictures of {a.shape[2]} x {a.shape[1]} px; SSIM's window needs {WINDOW_PX}")
    weights = [None] * len(a) if mask is None else list(mask)
    return np.array([_ssim(x, y, weight) for x, y, weight in zip(a, b, weights, strict=True)])


def _ssim(a: NDArray[np.uint8], b: NDArray[np.uint8], weight: NDArray[np.float32] | None) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    # All of it in float64: variances are differences of large numbers.
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (K1 * LEVELS) ** 2, (K2 * LEVELS) ** 2
    found = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    found /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    edge = WINDOW_PX // 2
    inside = (slice(edge, -edge or None), slice(edge, -edge or None))
    per_pixel = found[inside].mean(2)
    return float(per_pixel.mean()) if weight is None else _weighted_mean(per_pixel, weight[inside])


def _blurred(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(picture, (WINDOW_PX, WINDOW_PX), SIGMA_PX), np.float64)


def psnr(a: Batch, b: Batch, mask: NDArray[np.float32] | None = None) -> Values:
    """Peak signal-to-noise ratio of pictures in pairs, in dB over all channels, at most 100 (equal pictures).

    Arguments as of `ssim`, of any size.
    """
    _check(a, b, mask)
    squared = np.array([np.square(x.astype(np.float64) - y).mean(2) for x, y in zip(a, b, strict=True)])
    if mask is None:
        errors = squared.mean((1, 2))
    else:
        errors = np.array([_weighted_mean(error, weight) for error, weight in zip(squared, mask, strict=True)])
    floor = LEVELS**2 / 10 ** (PSNR_CEILING_DB / 10)
    return np.asarray(10 * np.log10(LEVELS**2 / np.maximum(errors, floor)))


def _weighted_mean(values: NDArray[np.float64], weight: NDArray[np.float32]) -> float:
    total = float(weight.sum(dtype=np.float64))
    return float((values * weight).sum() / total) if total > 0 else float("nan")


def _check(a: Batch, b: Batch, mask: NDArray[np.float32] | None) -> None:
    if a.shape != b.shape or a.ndim != 4 or a.shape[3] != 3 or not len(a) or {a.dtype, b.dtype} != {np.dtype(np.uint8)}:
        raise ValueError(f"two batches (N, H, W, 3) of uint8 are needed, not {a.shape} and {b.shape}")
    if mask is not None and mask.shape != a.shape[:3]:
        raise ValueError(f"the mask is {mask.shape}, the pictures are {a.shape[:3]}")


# -- landmarks and flicker


def landmark_errors(found: NDArray[np.float64], expected: NDArray[np.float64]) -> Values:
    """Mean distance of landmarks as a share of the distance between the expected eyes.

    found, expected: (N, 5, 2), eyes first; NaN where no face was found gives NaN. Returns (N,).
    """
    eyes = np.linalg.norm(expected[:, 0] - expected[:, 1], axis=1)
    return np.asarray(np.linalg.norm(found - expected, axis=2).mean(1) / eyes)


def frame_difference(earlier: NDArray[np.uint8], later: NDArray[np.uint8], weight: NDArray[np.float32]) -> float:
    """Mean absolute difference of two aligned faces (H, W, 3), in levels of 255, weighted by (H, W) in [0, 1]."""
    return _weighted_mean(cv2.absdiff(earlier, later).astype(np.float64).mean(2), weight)


def flicker_ratio(swapped: Values, driving: Values) -> float:
    """Sum of the swapped clip's frame differences over the driving clip's; NaN where the driving face never changes."""
    total = float(driving.sum())
    return float(swapped.sum()) / total if total > 0 else float("nan")


# -- intervals


def time_blocks(times_s: Values, clips: Sequence[int] | NDArray[np.int64] | None = None) -> list[Rows]:
    """Every block of about a second of rows that lie in one clip, as row numbers in time order.

    times_s: (N,) presentation times; clips: (N,) the clip that each row is of. A block holds as many rows as the clip has
    in a second by its median step; a clip of less is one block. A pause of more than a second ends a block's stretch.
    """
    which = np.zeros(len(times_s), np.int64) if clips is None else np.asarray(clips)
    blocks: list[Rows] = []
    for clip in np.unique(which):
        rows = np.flatnonzero(which == clip)
        rows = rows[np.argsort(times_s[rows], kind="stable")]
        steps = np.diff(times_s[rows])
        usual_s = float(np.median(steps)) if len(steps) else BLOCK_S
        length = max(1, round(BLOCK_S / usual_s)) if usual_s > 0 else len(rows)
        for stretch in np.split(rows, np.flatnonzero(steps > BLOCK_S) + 1):
            size = min(length, len(stretch))
            blocks.extend(stretch[start : start + size] for start in range(len(stretch) - size + 1))
    return blocks


def seconds_covered(blocks: Sequence[Rows], n: int) -> float:
    """How many blocks of a second n rows are worth."""
    return n / max(len(block) for block in blocks) if blocks else 0.0


def block_interval(statistic: Callable[[Rows], float], blocks: Sequence[Rows], n: int, seed: int) -> Interval:
    """A statistic of n rows with the 95 % interval of a moving-block bootstrap (percentiles of RESAMPLES), widened.

    statistic: of row numbers, which may repeat. blocks: as from `time_blocks`. The same seed gives the same interval.
    """
    value = statistic(np.arange(n))
    seconds = seconds_covered(blocks, n)
    if not np.isfinite(value) or seconds < MIN_SECONDS:
        return Interval(value, None, None, n)
    rng = rng_for(seed, BOOTSTRAP_STREAM)
    mean_size = float(np.mean([len(block) for block in blocks]))
    drawn = []
    for _ in range(RESAMPLES):
        picked = rng.integers(len(blocks), size=int(np.ceil(n / mean_size)))
        drawn.append(statistic(np.concatenate([blocks[i] for i in picked])[: max(n, 1)]))
    finite = [one for one in drawn if np.isfinite(one)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite else (value, value)
    factor = few_blocks_factor(seconds)
    return Interval(value, value - factor * max(0.0, value - low), value + factor * max(0.0, high - value), n)


def few_blocks_factor(k: float) -> float:
    """What an interval of k > 1 independent blocks is widened by: t(k - 1) / 1.96 * sqrt(k / (k - 1))."""
    return float(stdtrit(k - 1, 0.975)) / Z95 * float(np.sqrt(k / (k - 1)))


def mean_interval(values: Values, blocks: Sequence[Rows], seed: int) -> Interval:
    """The mean of (N,) values. NaN is left out, here and below, and not counted in n."""
    return _interval_of_finite(np.mean, values, blocks, seed)


def percentile_interval(values: Values, share: float, blocks: Sequence[Rows], seed: int) -> Interval:
    """A percentile (share in [0, 100]) of (N,) values."""
    return _interval_of_finite(lambda kept: np.percentile(kept, share), values, blocks, seed)


def share_interval(is_so: Values, blocks: Sequence[Rows], seed: int) -> Interval:
    """The share of ones among (N,) ones and zeros; its interval, in [0, 1], is never narrower than Wilson's of as many
    trials as seconds: where all rows are equal nothing scatters.
    """
    found = mean_interval(is_so, blocks, seed)
    if not np.isfinite(found.value):
        return found
    low, high = wilson(found.value, max(1.0, seconds_covered(blocks, found.n)))
    if found.low is not None and found.high is not None:
        low, high = min(low, found.low), max(high, found.high)
    return replace(found, low=max(0.0, low), high=min(1.0, high))


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n trials."""
    middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * float(np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)))
    return middle - half, middle + half


def _interval_of_finite(
    statistic: Callable[[Values], Any], values: Values, blocks: Sequence[Rows], seed: int
) -> Interval:
    is_there = np.isfinite(values)

    def of_rows(rows: Rows) -> float:
        kept = values[rows][is_there[rows]]
        return float(statistic(kept)) if len(kept) else float("nan")

    return replace(block_interval(of_rows, blocks, len(values), seed), n=int(is_there.sum()))
