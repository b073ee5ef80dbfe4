"""Colour and sharpness of one side of a blend, so that it differs from the other: what a seam betrays.

Self-blended images (Shiohara and Yamasaki 2022, arXiv 2204.08376, section 3.2): shifts of the channels, hue, saturation,
value, brightness and contrast; reduction or sharpening. All of the colour is one matrix (Haeberli: Matrix Operations for
Image Processing, 1993), so values are rounded once and no colour space leaves its own comb in the histogram.
Colours of a donor: mean and deviation in CIELAB, after Reinhard et al.: Color Transfer between Images (IEEE CG&A 21, 2001).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

# Grey levels, degrees, factors. Channel shift, brightness and contrast as in the reference recipe; hue and saturation as
# far as two recordings of one face differ.
CHANNEL_SHIFT = 20.0
P_CHANNEL_SHIFT = 0.4
HUE_DEGREES = 8.0
SATURATION = (0.75, 1.3)
BRIGHTNESS = 0.1 * 255
CONTRAST = (0.9, 1.1)
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601

REDUCTIONS = (2, 4)
# A reduced face of fewer pixels is no face any more.
LEAST_REDUCED_PX = 24
REDUCING = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA)
ENLARGING = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
SHARPEN = (0.3, 1.0)

# Contrast is matched by this factor at most: a flat face would be blown up into noise.
LARGEST_GAIN = 1.6
LEAST_DEVIATION = 0.5


def shift_colour(picture: Picture, rng: np.random.Generator) -> Picture:
    """Random channel shift, hue, saturation, brightness and contrast; saturated at 0 and 255."""
    angle = np.deg2rad(rng.uniform(-HUE_DEGREES, HUE_DEGREES))
    contrast = rng.uniform(*CONTRAST)
    linear = contrast * _about_luma(_turned_about_grey(angle), rng.uniform(*SATURATION))
    offset = (1 - contrast) * 127.5 + rng.uniform(-BRIGHTNESS, BRIGHTNESS) + np.zeros(3)
    if rng.random() < P_CHANNEL_SHIFT:
        offset += rng.uniform(-CHANNEL_SHIFT, CHANNEL_SHIFT, 3)
    return np.asarray(cv2.transform(picture, np.column_stack([linear, offset])), np.uint8)


def change_sharpness(picture: Picture, rng: np.random.Generator) -> Picture:
    """Reduced by 2 or 4 and enlarged again, each by a random interpolation, or sharpened."""
    if rng.random() < 0.5:
        return reduced(picture, REDUCTIONS[rng.integers(len(REDUCTIONS))], rng)
    amount = float(rng.uniform(*SHARPEN))
    # One pixel at 224, more in larger crops: the same detail of a face.
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.8, picture.shape[0] / 224))
    return np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0), np.uint8)


def reduced(picture: Picture, divisor: float, rng: np.random.Generator) -> Picture:
    """The square picture as it comes back from `1 / divisor` of its size, which is at least LEAST_REDUCED_PX."""
    side = picture.shape[0]
    small = min(side, max(LEAST_REDUCED_PX, round(side / divisor)))
    down, up = REDUCING[rng.integers(len(REDUCING))], ENLARGING[rng.integers(len(ENLARGING))]
    little = cv2.resize(picture, (small, small), interpolation=down)
    return np.asarray(cv2.resize(little, (side, side), interpolation=up), np.uint8)


def match_colour(donor: Picture, target: Picture, mask: NDArray[np.float32], strength: float = 1.0) -> Picture:
    """`donor` with the mean and deviation that `target` has inside the mask, in CIELAB; all (S, S).

    strength: 0 leaves the donor as it is, 1 matches fully. Pixels outside the mask's bounding box are not looked at and not
    changed; nothing is where the mask is nowhere above a half.
    """
    inside = (mask > 0.5).astype(np.uint8)
    if not inside.any():
        return donor
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    lab, wanted = (
        cv2.cvtColor(p[box].astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB) for p in (donor, target)
    )
    mean, deviation = (v[:, 0] for v in cv2.meanStdDev(lab, mask=inside[box]))
    wanted_mean, wanted_deviation = (v[:, 0] for v in cv2.meanStdDev(wanted, mask=inside[box]))
    full_gain = np.clip(wanted_deviation / np.maximum(deviation, LEAST_DEVIATION), 1 / LARGEST_GAIN, LARGEST_GAIN)
    gain = 1 + strength * (full_gain - 1)
    # A shift of colour that fits skin would paint a dark mouth: it fades where the donor is darker than on average.
    goal = mean + strength * (wanted_mean - mean)
    fade = np.clip(lab[:, :, 0] / np.float32(max(1.0, mean[0])), 0, 1)
    shift = (goal - gain * mean).astype(np.float32)
    matched = lab * gain.astype(np.float32)
    matched[:, :, 0] += shift[0]
    matched[:, :, 1:] += shift[1:] * fade[:, :, None]
    np.clip(matched[:, :, 0], 0, 100, out=matched[:, :, 0])
    changed = donor.copy()
    changed[box] = np.clip(np.rint(cv2.cvtColor(matched, cv2.COLOR_LAB2RGB) * 255), 0, 255)
    return changed


def _turned_about_grey(angle: float) -> NDArray[np.float64]:
    """Rotation of RGB (3, 3) about the axis of greys (Rodrigues)."""
    axis = np.full(3, 1 / np.sqrt(3.0))
    across = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across, np.float64)


def _about_luma(matrix: NDArray[np.float64], saturation: float) -> NDArray[np.float64]:
    """The colour matrix (3, 3), followed by a saturation about luma."""
    grey = np.tile(LUMA, (3, 1))
    return np.asarray((grey + saturation * (np.eye(3) - grey)) @ matrix, np.float64)
