"""The colours of a new face, matched to those of the face that it replaces.

`lab`: mean and standard deviation of each channel, after Reinhard, Ashikhmin, Gooch, Shirley: Color Transfer between Images
(IEEE CG&A 21, 2001), in CIELAB instead of their l-alpha-beta. `histogram`: the distribution of each RGB channel (Gonzalez
and Woods, Digital Image Processing, section 3.3). Both look at the pixels inside the mask only, weighted by it, and change
the whole picture, so that a soft rim fits too.
Limits: one change for the whole face: light from one side stays the new face's.
"""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
ColourMatch = Literal["lab", "histogram", "none"]

# Below this much mask (in pixels) there is nothing to measure.
LEAST_PIXELS = 16.0
# Contrast is changed by this factor at most: a flat face would be blown up into noise.
LARGEST_GAIN = 2.0
LEAST_DEVIATION = 1e-3
LEVELS = 256


def match_colour(face: Picture, reference: Picture, mask: NDArray[np.float32], how: ColourMatch) -> Picture:
    """`face` with the colours that `reference` has inside the mask; both (H, W, 3), the mask (H, W) in [0, 1].

    Unchanged where the mask is empty. Raises ValueError for pictures of different sizes or an unknown way.
    """
    if how not in get_args(ColourMatch):
        raise ValueError(f"no way to match colours called {how!r}")
    if face.shape != reference.shape or face.shape[:2] != mask.shape:
        raise ValueError(f"face {face.shape}, reference {reference.shape} and mask {mask.shape} differ in size")
    if how == "none" or float(mask.sum(dtype=np.float64)) < LEAST_PIXELS:
        return face.copy()
    return _by_lab(face, reference, mask) if how == "lab" else _by_histogram(face, reference, mask)


def _by_lab(face: Picture, reference: Picture, mask: NDArray[np.float32]) -> Picture:
    source, target = to_lab(face), to_lab(reference)
    (mean, deviation), (wanted_mean, wanted_deviation) = _moments(source, mask), _moments(target, mask)
    gain = np.clip(wanted_deviation / np.maximum(deviation, LEAST_DEVIATION), 1 / LARGEST_GAIN, LARGEST_GAIN)
    matched = (source - mean) * gain + wanted_mean
    return from_lab(matched.astype(np.float32))


def _moments(lab: NDArray[np.float32], mask: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (3,) of each channel, weighted by the mask."""
    inside = mask > 0
    pixels, weights = lab[inside].astype(np.float64), mask[inside].astype(np.float64)
    mean = weights @ pixels / weights.sum()
    variance = weights @ np.square(pixels - mean) / weights.sum()
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def to_lab(picture: Picture) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB -> (H, W, 3) float32: L in [0, 100], a and b within about 128 of 0."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def from_lab(lab: NDArray[np.float32]) -> Picture:
    """The inverse, rounded, what lies outside RGB clipped; clips L in place."""
    lab[:, :, 0] = np.clip(lab[:, :, 0], 0, 100)
    rgb = np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def _by_histogram(face: Picture, reference: Picture, mask: NDArray[np.float32]) -> Picture:
    inside = mask > 0
    weights = mask[inside]
    matched = np.empty_like(face)
    for channel in range(3):
        have, _ = _shares_below(face[:, :, channel][inside], weights)
        want, occurs = _shares_below(reference[:, :, channel][inside], weights)
        # The level below which the same share of the reference lies; a straight line between levels that occur there.
        table = np.interp(have, want[occurs], np.flatnonzero(occurs))
        matched[:, :, channel] = np.rint(table).astype(np.uint8)[face[:, :, channel]]
    return matched


def _shares_below(
    levels: NDArray[np.uint8], weights: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Share of the weight below each level, half of the level itself included (256,), and which levels occur (256,)."""
    counts = np.bincount(levels, weights, LEVELS)
    return np.asarray((np.cumsum(counts) - counts / 2) / counts.sum(), np.float64), np.asarray(counts > 0, np.bool_)
