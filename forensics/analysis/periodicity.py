"""Peaks of a spectrum against their own neighbourhood, with a number of false alarms.

A periodogram of noise is exponentially distributed around a smooth curve. The curve is taken from the mean logarithm of a
neighbourhood, which one peak hardly moves; a value many times above it is a period (Brockwell, Davis: Time Series, 1991,
section 10.1).
Limits: pictures are no noise: fences, fabric and edges have periods, too.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

# Mean of the logarithm of a unit exponential is minus this (Euler's constant).
EULER = 0.5772156649
JPEG_PERIOD = 8
# Below this frequency, in cycles per pixel, a spectrum is content.
LOWEST_FREQUENCY = 0.06
NEIGHBOURHOOD = 17  # bins: an odd number


def excess(log_power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean log power over that of the neighbourhood, of the same row's, and of the same column's, whichever is greatest.

    Lines along the axes are content of upright things: hence row and column.

    The neighbourhoods leave out the bin itself and the two beside it.
    """
    background = np.full(log_power.shape, -np.inf, np.float32)
    for wide, high in ((NEIGHBOURHOOD, NEIGHBOURHOOD), (NEIGHBOURHOOD, 1), (1, NEIGHBOURHOOD)):
        kernel = np.ones((high, wide), np.float32)
        middle_row, middle_column = high // 2, wide // 2
        kernel[max(0, middle_row - 1) : middle_row + 2, max(0, middle_column - 1) : middle_column + 2] = 0
        # A spectrum is periodic: beyond Nyquist's frequency it goes on at the other side.
        wrapped = np.pad(log_power, NEIGHBOURHOOD, mode="wrap")
        around = cv2.filter2D(wrapped, cv2.CV_32F, kernel / kernel.sum())
        background = np.maximum(background, around[NEIGHBOURHOOD:-NEIGHBOURHOOD, NEIGHBOURHOOD:-NEIGHBOURHOOD])
    return np.asarray(log_power - background, np.float32)


def frequencies(side: int) -> NDArray[np.float64]:
    """Cycles per pixel of each row or column of a centred spectrum, -0.5 .. 0.5."""
    return np.fft.fftshift(np.fft.fftfreq(side))


def is_searched(side: int, without_jpeg: bool, margin_bins: float = 1.5) -> NDArray[np.bool_]:
    """Places of a (side, side) spectrum where a peak may be looked for: one half of it, not the lowest frequencies.

    without_jpeg: leave out where both frequencies are within margin_bins of multiples of 1/8, as JPEG's blocks are.
    """
    f = frequencies(side)
    down, across = np.meshgrid(f, f, indexing="ij")
    half = (down > 0) | ((down == 0) & (across > 0))
    searched = half & (np.hypot(down, across) >= LOWEST_FREQUENCY)
    if without_jpeg:
        off = np.abs(f * JPEG_PERIOD - np.rint(f * JPEG_PERIOD)) / JPEG_PERIOD * side
        near = off <= margin_bins
        searched &= ~(near[:, None] & near[None, :])
    return np.asarray(searched)


def log10_tail(ratio: NDArray[np.float32] | float, averaged: float = 1.0) -> NDArray[np.float64]:
    """log10 of the chance that a mean of `averaged` unit exponentials reaches `ratio` (bounded above: Chernoff 1952)."""
    x = np.maximum(np.asarray(ratio, np.float64), 1.0)
    exact = -averaged * (x - 1 - np.log(x))
    return np.asarray((exact if averaged > 1 else -x) / np.log(10))
