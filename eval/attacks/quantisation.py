"""From a picture in [0, 1] to the 8-bit picture that is saved, without ever leaving the ball around the original."""

import math

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

# Keeps sums of squares below their bound in spite of double precision's own rounding.
ROUNDING_GUARD = 1 - 1e-9
TINY = 1e-300


def quantise(adversarial: NDArray[np.floating], original: Picture, epsilon: float, norm: str = "linf") -> Picture:
    """The 8-bit picture nearest to `adversarial` whose distance from `original` is at most epsilon.

    adversarial: (..., H, W, 3) float in [0, 1]; original: the same shape in uint8; epsilon in grey levels: the largest
    change (`linf`; bounds are rounded inwards, so that 2.5 allows changes of 2), or the root mean square one (`l2`, per
    picture). Raises ValueError for shapes that differ or values that are not numbers.
    """
    if adversarial.shape != original.shape:
        raise ValueError(f"shapes differ: {adversarial.shape} and {original.shape}")
    if not np.all(np.isfinite(adversarial)):
        raise ValueError("the adversarial picture holds values that are not numbers")
    levels = np.asarray(adversarial, np.float64) * 255.0
    if norm == "l2":
        return _inside_rms(levels, original, epsilon)
    before, most = original.astype(np.float64), math.floor(epsilon)  # levels are whole: so is the largest change
    return np.asarray(np.clip(np.clip(np.rint(levels), before - most, before + most), 0, 255), np.uint8)


def _inside_rms(levels: NDArray[np.float64], original: Picture, epsilon: float) -> Picture:
    """Shrink the change onto the ball, round it, and take back the roundings that went furthest beyond what was asked."""
    if levels.ndim == 4:
        pairs = zip(levels, original, strict=True)
        return np.stack([_inside_rms(one, before, epsilon) for one, before in pairs])
    before = original.astype(np.int64)
    wanted = np.clip(levels, 0, 255) - before
    budget = epsilon**2 * wanted.size * ROUNDING_GUARD  # of the sum of squares
    wanted *= min(1.0, math.sqrt(budget / max(float((wanted**2).sum()), TINY)))
    change = np.rint(wanted).astype(np.int64).ravel()
    excess = int((change**2).sum()) - math.floor(budget)
    if excess > 0:
        beyond = np.abs(change) - np.abs(wanted).ravel()
        grown = np.flatnonzero(beyond > 0)
        order = grown[np.argsort(-beyond[grown], kind="stable")]
        saved = np.cumsum(2 * np.abs(change[order]) - 1)  # n^2 - (n - 1)^2
        taken_back = order[: int(np.searchsorted(saved, excess)) + 1]
        change[taken_back] -= np.sign(change[taken_back])
    return np.asarray(before + change.reshape(before.shape), np.uint8)


def largest_change(a: Picture, b: Picture) -> int:
    """The largest difference of any value, in grey levels."""
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max(initial=0))


def rms_change(a: Picture, b: Picture) -> float:
    """The root mean square difference over all values, in grey levels."""
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0
