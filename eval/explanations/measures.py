"""How well a heatmap agrees with a mask: pure functions of a map (h, w) and a mask (S, S).

pointing    the hottest place lies in the mask (the pointing game: Zhang et al. 2016, arXiv 1608.00507, section 4.1)
tolerant    the same with that paper's tolerance of 15 pixels, which is scaled from its 224 pixel pictures to the crop
energy      share of the map's sum that lies in the mask (energy-based pointing game: Wang et al. 2020, arXiv 1910.01279)
iou         intersection over union of the mask and as many of the hottest pixels as the mask has

What chance gives has a closed form, and equals the measures of a constant map: ties count with their share. A map without
any heat says that no place speaks for fake; it is taken as a constant map, so it scores as chance and never fails.
Limits: all four ask where, none asks how surely. A mask that covers most of the crop lets anything score high: read each
figure against its controls. A map of few cells cannot follow a thin mask.
"""

from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Heat = NDArray[np.float32]  # (h, w) in [0, 1]
Mask = NDArray[np.bool_]  # (H, W), True = altered

# Zhang et al. 2016: 15 pixels in pictures of 224.
TOLERANCE = 15 / 224
# Standard deviation of the control that always looks at the middle, as a share of the side: the face's inner parts lie
# within one, eyes to mouth being 0.46 of the canonical square.
CENTRE_SIGMA = 0.25
# The centre's map is drawn at this many cells a side, about what the last feature maps of a network have.
CENTRE_CELLS = 7
MEASURES = ("pointing", "tolerant", "energy", "iou")


@dataclass(frozen=True)
class Agreement:
    """The four measures of one map on one mask, each in [0, 1]."""

    pointing: float
    tolerant: float
    energy: float
    iou: float

    def values(self) -> tuple[float, ...]:
        """In the order of MEASURES."""
        return astuple(self)


def agreement(heat: Heat, mask: Mask) -> Agreement:
    """All measures of a map over the mask's own area.

    heat: (h, w) finite, not negative, of any resolution. mask: (H, W) with at least one pixel. Raises ValueError.
    """
    _check(heat, mask)
    if not heat.any():
        return chance(mask)
    near = within_tolerance(mask)
    pixels = enlarged(heat, mask.shape[0], mask.shape[1])
    places = hottest_places(heat, mask.shape[0], mask.shape[1])
    return Agreement(
        pointing=float(np.mean([mask[place] for place in places])),
        tolerant=float(np.mean([near[place] for place in places])),
        energy=float(pixels[mask].sum(dtype=np.float64) / pixels.sum(dtype=np.float64)),
        iou=iou_at_area(pixels, mask),
    )


def chance(mask: Mask) -> Agreement:
    """What a point anywhere and a constant map get: the mask's share of the area, and what follows from it."""
    share = float(mask.mean())
    return Agreement(share, float(within_tolerance(mask).mean()), share, share / (2 - share))


def centred(mask: Mask) -> Agreement:
    """What a map gets that always shows the middle of the crop, whatever the picture."""
    return agreement(_centre(), mask)


def hottest_places(heat: Heat, height: int, width: int) -> list[tuple[int, int]]:
    """(y, x) pixels in a picture of this size below the middles of the hottest cells; several where cells tie.

    The middle of a cell, and not the maximum of an enlarged map: at the rim that is a whole edge of equal pixels.
    """
    rows, columns = np.nonzero(heat == heat.max())
    cell_y, cell_x = height / heat.shape[0], width / heat.shape[1]
    return [
        (int((row + 0.5) * cell_y), int((column + 0.5) * cell_x)) for row, column in zip(rows, columns, strict=True)
    ]


def within_tolerance(mask: Mask) -> Mask:
    """Pixels at most TOLERANCE of the longer side away from the mask, itself included; (H, W)."""
    if mask.all():
        return mask
    near: Mask = distance_transform_edt(~mask) <= TOLERANCE * max(mask.shape)
    return near


def iou_at_area(pixels: NDArray[np.float32], mask: Mask) -> float:
    """Intersection over union of the mask (k pixels) and the k hottest pixels; of those that tie at the edge, a share."""
    k = int(mask.sum())
    level = np.partition(pixels, pixels.size - k, axis=None)[pixels.size - k]
    above, level_with = pixels > level, pixels == level
    share = (k - int(above.sum())) / int(level_with.sum())
    common = int((above & mask).sum()) + share * int((level_with & mask).sum())
    return float(common / (2 * k - common))


def enlarged(heat: Heat, height: int, width: int) -> NDArray[np.float32]:
    """The map at a picture's size, bilinearly, as reports show it; (height, width)."""
    pixels = cv2.resize(np.ascontiguousarray(heat, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels, np.float32)


def _centre() -> Heat:
    offsets = (np.arange(CENTRE_CELLS) + 0.5) / CENTRE_CELLS - 0.5
    falloff = np.exp(-(offsets**2) / (2 * CENTRE_SIGMA**2))
    return np.outer(falloff, falloff).astype(np.float32)


def _check(heat: Heat, mask: Mask) -> None:
    if heat.ndim != 2 or heat.size == 0 or not np.isfinite(heat).all() or heat.min() < 0:
        raise ValueError("a heatmap is two-dimensional, finite and not negative")
    if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.any():
        raise ValueError("a mask is two-dimensional, boolean and not empty")
