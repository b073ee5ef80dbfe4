"""A new face put back into its frame: only the mask's box is touched, and outside the mask not a bit changes.

`alpha` mixes by the mask. `poisson` keeps the new face's gradients and takes the frame's colours at the rim (Pérez,
Gangnet, Blake: Poisson Image Editing, SIGGRAPH 2003, through OpenCV's `seamlessClone`), then mixes by the mask.
The mask that is returned is the one that was mixed with, rounded to 8 bits beforehand: the ground truth of the swap.
"""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from generators.faceswap.alignment import Matrix, inverse, transform, warped

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.float32]  # (H, W) in [0, 1]
Blend = Literal["alpha", "poisson"]

# seamlessClone erodes its mask and differentiates: it needs this much picture around the mask.
POISSON_BORDER_PX = 8
# ... and fails on less than this.
LEAST_POISSON_PX = 8


def paste_back(
    frame: Picture, face: Picture, mask: Mask, matrix: Matrix, how: Blend = "alpha"
) -> tuple[Picture, NDArray[np.uint8]]:
    """`frame` with `face` in it, and the mask that was used (H, W) in 0..255.

    frame: (H, W, 3), not changed. face: (S, S, 3), the aligned square. mask: (S, S), what of it to use. matrix: (2, 3),
    from the frame to the aligned square. Where the returned mask is 0 the frame is as it was, bit by bit. A face outside
    the frame changes nothing. Raises ValueError for a matrix without inverse.
    """
    used = np.zeros(frame.shape[:2], np.uint8)
    box = _box_in_frame(mask, matrix, frame.shape[0], frame.shape[1])
    if box is None:
        return frame.copy(), used
    left, top, width, height = box
    # The part is a square for `warped`; what hangs over the box is cut off.
    to_part = inverse(matrix) - np.array([[0, 0, left], [0, 0, top]], np.float64)
    side = max(width, height)
    part = warped(face, to_part, side)[:height, :width]
    part_mask = warped(mask, to_part, side, cv2.BORDER_CONSTANT)[:height, :width]
    return blended(frame, part, part_mask, (left, top), how)


def blended(
    frame: Picture, part: Picture, mask: Mask, corner: tuple[int, int], how: Blend = "alpha"
) -> tuple[Picture, NDArray[np.uint8]]:
    """`frame` with `part` (h, w, 3) mixed in by `mask` (h, w) at `corner` (left, top), and the mask that was used (H, W).

    The part must lie in the frame. Raises ValueError otherwise, and for an unknown way.
    """
    if how not in get_args(Blend):
        raise ValueError(f"no way to blend called {how!r}")
    (left, top), (height, width) = corner, mask.shape
    if left < 0 or top < 0 or left + width > frame.shape[1] or top + height > frame.shape[0]:
        raise ValueError("the part does not lie in the frame")
    out, used = frame.copy(), np.zeros(frame.shape[:2], np.uint8)
    weights = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
    place = (slice(top, top + height), slice(left, left + width))
    before = frame[place]
    if how == "poisson":
        part = _cloned(before, part, weights)
    alpha = (weights.astype(np.float32) / np.float32(255))[:, :, None]
    mixed = before + alpha * (part.astype(np.float32) - before)
    out[place] = np.where(weights[:, :, None] > 0, np.clip(np.rint(mixed), 0, 255).astype(np.uint8), before)
    used[place] = weights
    return out, used


def _box_in_frame(mask: Mask, matrix: Matrix, height: int, width: int) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of what the mask covers of the frame; None for nothing."""
    left, top, w, h = cv2.boundingRect((mask > 0).astype(np.uint8))
    if w == 0 or h == 0:
        return None
    # Interpolation reaches two pixels beyond the mask.
    corners = np.array([[x, y] for x in (left - 2, left + w + 1) for y in (top - 2, top + h + 1)], np.float64)
    in_frame = transform(corners, inverse(matrix))
    x0, y0 = np.maximum(np.floor(in_frame.min(0)), 0)
    x1, y1 = np.minimum(np.ceil(in_frame.max(0)) + 1, (width, height))
    if x1 <= x0 or y1 <= y0:
        return None
    return int(x0), int(y0), int(x1 - x0), int(y1 - y0)


def _cloned(before: Picture, part: Picture, weights: NDArray[np.uint8]) -> Picture:
    """`part` with its gradients kept and the colours of `before` at the rim of the mask. All (h, w)."""
    inside = (weights > 0).astype(np.uint8) * 255
    left, top, width, height = cv2.boundingRect(inside)
    if width < LEAST_POISSON_PX or height < LEAST_POISSON_PX:
        return part
    # A mask that touches the border would reach out of the picture: both get a border of repeated pixels.
    border = (POISSON_BORDER_PX,) * 4
    around, new = (cv2.copyMakeBorder(p, *border, cv2.BORDER_REPLICATE) for p in (before, part))
    outlined = cv2.copyMakeBorder(inside, *border, cv2.BORDER_CONSTANT, value=0)
    # OpenCV lays the middle of the mask's box on this point. Any other point, the face's say, would shift the face by a
    # little, and differently in every frame.
    middle = (POISSON_BORDER_PX + left + width // 2, POISSON_BORDER_PX + top + height // 2)
    cloned = cv2.seamlessClone(new, around, outlined, middle, cv2.NORMAL_CLONE)
    inner = slice(POISSON_BORDER_PX, -POISSON_BORDER_PX)
    return np.asarray(cloned[inner, inner], np.uint8)
