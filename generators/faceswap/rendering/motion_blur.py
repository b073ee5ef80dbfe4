"""Motion blur: a new face, which was drawn sharp, blurred as far as the old one moved while the shutter was open.

A straight line at constant speed over the exposure, the first-order model of Potmesil and Chakravarty (SIGGRAPH 1983).
Limits: one line for the whole face: a head that only turns gets none.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

# Half of the time between frames: a film camera's shutter of 180 degrees.
SHUTTER = 0.5
# A jump of the landmarks is no motion: no line is longer than this share of the face's square.
LONGEST_SHARE = 0.1
# Shorter lines are within the interpolation's own blur.
SHORTEST_PX = 1.0


def motion_px(
    times_s: NDArray[np.float64], landmarks: NDArray[np.floating], shutter: float = SHUTTER
) -> NDArray[np.float64]:
    """How far the face moves while the shutter is open, for each frame: (T, 2) pixels.

    times_s: (T,) rising. landmarks: (T, 5, 2), NaN where there is no face. shutter: exposure as a share of the time between
    frames. 0 where a neighbour is missing on both sides.
    """
    centres = np.asarray(landmarks, np.float64).mean(1)
    steps = np.diff(times_s)
    usual = float(np.median(steps)) if len(steps) else 0.0
    speed = np.diff(centres, axis=0) / np.maximum(steps, 1e-9)[:, None]
    none = np.full((1, 2), np.nan)
    either = np.stack([np.concatenate([none, speed]), np.concatenate([speed, none])])
    known = np.isfinite(either)
    total = np.where(known, either, 0).sum(0)
    return np.asarray(total / np.maximum(known.sum(0), 1) * usual * shutter, np.float64)


def motion_blurred(face: NDArray[np.uint8], motion: NDArray[np.float64]) -> NDArray[np.uint8]:
    """`face` (S, S, 3) blurred along `motion` (2,), in its own pixels; unchanged below one pixel."""
    length = float(np.hypot(*motion))
    if not np.isfinite(length) or length < SHORTEST_PX:
        return face.copy()
    dx, dy = np.asarray(motion, np.float64) * min(1.0, LONGEST_SHARE * face.shape[0] / length)
    reach = int(np.ceil(max(abs(dx), abs(dy)) / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    # Points along the line, each shared among the four pixels around it.
    for t in np.linspace(-0.5, 0.5, 8 * reach + 1):
        x, y = reach + t * dx, reach + t * dy
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - x0, y - y0
        kernel[y0 : y0 + 2, x0 : x0 + 2] += np.outer([1 - fy, fy], [1 - fx, fx])
    return np.asarray(cv2.filter2D(face, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)
