"""Laying one picture over another through a mask, and judging whether the result is worth showing to a network.

Values through opacities, or gradients (Perez, Gangnet, Blake: Poisson Image Editing, 2003) solved for in a reduced crop.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.training.blending.masks import LEAST_OPACITY, Mask

Crop = NDArray[np.uint8]  # (S, S, 3)

# A fake of which no more than this share of the replaced area differs by more than a grey level is a real picture.
VISIBLE_LEVELS, VISIBLE_SHARE = 1, 0.1
# Of the crop: a smaller area is not seen, a larger one leaves no rim.
LEAST_AREA, LARGEST_AREA = 0.01, 0.9
# Gradients are solved for in a crop of this side at most, as the time grows with the area; not at its border.
POISSON_PX, POISSON_MARGIN_PX = 96, 2
# Where a donor ends, the mask fades over this share of the crop's side.
FADE_SHARE = 1 / 24


def composite(target: Crop, source: Crop, mask: Mask) -> Crop:
    """`source` over `target` with this opacity; where that is 0, the target bit by bit."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    result = target.copy()
    if width and height:
        difference = cv2.subtract(source[box], target[box], dtype=cv2.CV_32F) * mask[box][:, :, None]
        result[box] = cv2.add(target[box], difference, dtype=cv2.CV_8U)
    return result


def cloned(source: Crop, target: Crop, mask: Mask) -> Crop:
    """`source` with the gradients of its own and, on the mask's rim, the values of `target`; unchanged without an inside.

    The difference that brings this about is smooth: it is solved for in a reduced crop.
    """
    side = source.shape[0]
    small = min(side, POISSON_PX)
    little, below = (cv2.resize(p, (small, small), interpolation=cv2.INTER_AREA) for p in (source, target))
    inside = np.where(cv2.resize(mask, (small, small), interpolation=cv2.INTER_AREA) > 0, 255, 0).astype(np.uint8)
    # OpenCV solves inside the box of the mask, and needs a border of the target around it.
    margin = POISSON_MARGIN_PX
    inside[:margin] = inside[-margin:] = 0
    inside[:, :margin] = inside[:, -margin:] = 0
    left, top, width, height = cv2.boundingRect(inside)
    if min(width, height) < 4:
        return source
    centre = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(little, below, inside, centre, cv2.NORMAL_CLONE)
    shift = cv2.resize(cv2.subtract(cloned, little, dtype=cv2.CV_32F), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(source, shift, dtype=cv2.CV_8U), np.uint8)


def limited_to(mask: Mask, seen: Mask) -> Mask:
    """The mask, softly brought to 0 where the donor has no pixels of its own; the crop's own border is no rim."""
    if seen.all():
        return mask
    reach = max(2.0, seen.shape[0] * FADE_SHARE)
    distance = cv2.distanceTransform((seen > 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    # A tilted edge has steps of a pixel: blurred, and begun as far inside as the blur reaches.
    ramp = cv2.blur(np.clip((distance - 3) / np.float32(reach), 0, 1), (5, 5))
    limited = mask * ramp * (seen > 0)
    limited[limited < LEAST_OPACITY] = 0
    return np.asarray(limited, np.float32)


def is_worthwhile(real: Crop, fake: Crop, mask: Mask) -> bool:
    """Whether the replaced area is neither a speck nor everything, and its change is seen."""
    inside = mask > 0
    area = np.count_nonzero(inside) / inside.size
    if area < LEAST_AREA or np.count_nonzero(mask > 0.5 * mask.max()) > LARGEST_AREA * inside.size:
        return False
    red, green, blue = cv2.split(cv2.absdiff(real, fake))
    differs = cv2.max(cv2.max(red, green), blue) > VISIBLE_LEVELS
    return bool(np.count_nonzero(differs & inside) > VISIBLE_SHARE * np.count_nonzero(inside))
