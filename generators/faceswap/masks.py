"""Masks of a face: what is replaced, and how softly its rim gives way.

A mask is float32 (H, W) in [0, 1]. Shrinking and feathering go by the distance to the rim (Felzenszwalb and Huttenlocher,
Theory of Computing 8, 2012, through OpenCV), not by repeated blurs: the feather lies inside the mask, so nothing outside it
is touched, and its width does not depend on the number of pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.float32]  # (H, W) in [0, 1]

# OpenCV draws polygons at whole numbers times 2 ** -SHIFT, and in 32 bits.
SHIFT = 4
FARTHEST = 2.0**24
HALF = 0.5


def hull_mask(points: NDArray[np.floating], height: int, width: int) -> Mask:
    """1 inside the convex hull of the points (N, 2), 0 outside, with a soft pixel between. Fewer than three: all 0."""
    mask = np.zeros((height, width), np.uint8)
    if len(points) >= 3 and np.isfinite(points).all():
        hull = cv2.convexHull(np.asarray(points, np.float32))[:, 0].astype(np.float64)
        fixed = np.clip(np.rint(hull * (1 << SHIFT)), -FARTHEST, FARTHEST).astype(np.int32)
        cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, SHIFT)
    return mask.astype(np.float32) / np.float32(255)


def face_size_px(mask: Mask) -> float:
    """Side of the square that is as large as the mask."""
    return float(np.sqrt(mask.sum(dtype=np.float64)))


def eroded_and_feathered(mask: Mask, erode_share: float, feather_share: float) -> Mask:
    """The mask, shrunk by a share of the face's size and softened over another share inside what is left.

    The face's size is `face_size_px`. The result is nowhere larger than the mask, and 0 on the border of its canvas, so
    that a face that leaves its square has no seam there. A mask that is shrunk away is 0 everywhere.
    """
    inside = (mask > HALF).astype(np.uint8)
    inside[[0, -1]] = 0
    inside[:, [0, -1]] = 0
    size = face_size_px(mask)
    # The first pixel inside has distance 1.
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.clip((distance - np.float32(erode_share * size)) / np.float32(max(1.0, feather_share * size)), 0, 1)
    smooth = ramp * ramp * (3 - 2 * ramp)  # no edge where the ramp begins and ends
    return np.asarray(np.minimum(smooth, mask), np.float32)


def cleaned_mask(mask: Mask, largest_hole_share: float = 0.05) -> Mask:
    """Only the largest piece of a mask that a network drew, without small holes.

    Pieces and holes are of the mask at a half. Holes up to a share of the piece are filled; larger ones may be a hand.
    """
    inside = (mask > HALF).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    piece = labels == largest
    # The soft rim belongs to the piece that it surrounds.
    near = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2).astype(bool)
    kept = np.where(piece | (near & (inside == 0)), mask, np.float32(0))
    limit = largest_hole_share * float(stats[largest, cv2.CC_STAT_AREA])
    holes, hole_labels, hole_stats, _ = cv2.connectedComponentsWithStats((~piece).astype(np.uint8), connectivity=8)
    for hole in range(1, holes):
        left, top, width, height, area = (int(v) for v in hole_stats[hole])
        is_enclosed = left > 0 and top > 0 and left + width < mask.shape[1] and top + height < mask.shape[0]
        if is_enclosed and area <= limit:
            kept[hole_labels == hole] = 1
    return np.asarray(kept, np.float32)
