"""The canonical frame: which square around a face is cut out, in training and in scanning alike.

The square is the one in which the five landmarks lie where they lie, at the median, in the face crops of the DeepFake
Detection Challenge data that the weights were trained on (a tight square from above the brows to below the mouth). It
is found by a least-squares similarity transform (Umeyama, PAMI 1991) of the landmarks and then kept upright: pixels are
copied, never rotated or interpolated, because resampling would erase the traces that detectors look for.

A picture that was synthesised as a whole carries traces beside the face too, in hair and background: `crop_surroundings`
is the same square, enlarged about its centre, for detectors that look for these.
Limits: a head tilted by more than about 45 degrees lies tilted in the crop.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.types import Frame

# Median landmarks of the training crops (224 x 224): eyes, nose, mouth corners; as shares of the side.
REFERENCE_LANDMARKS = np.array([[69, 63], [160, 64], [114, 107], [77, 165], [151, 164]], np.float64) / 224.0

# A crop below this many pixels on a side is enlarged so much that a score would describe the interpolation.
MIN_CROP_PX = 24

# A face that leaves the frame by more than this share of its square shows too little of itself.
MAX_OUTSIDE = 1 / 3

# Side of the surroundings in sides of the canonical square. In a portrait of 256 pixels, whose face square has about 154,
# they are nearly the whole picture; in a wider one they hold hair, neck and some background.
SURROUNDINGS = 1.7

# Detectors of synthesis score tiles of squares that are reduced to this side (`MAX_TILE_SOURCE_PX` of their network): what
# is larger would only fill the memory of who keeps it.
MAX_SURROUNDINGS_PX = 256


def canonical_square(landmarks: NDArray[np.float32]) -> tuple[float, float, float]:
    """Left, top and side of the canonical square, in pixels of the frame.

    landmarks: (5, 2) float (x, y). Raises ValueError for landmarks that coincide.
    """
    points = np.asarray(landmarks, np.float64)
    reference_centre, centre = REFERENCE_LANDMARKS.mean(0), points.mean(0)
    reference, observed = REFERENCE_LANDMARKS - reference_centre, points - centre
    # In two dimensions a similarity is multiplication by a complex number: its least-squares estimate is a quotient.
    r = reference[:, 0] + 1j * reference[:, 1]
    p = observed[:, 0] + 1j * observed[:, 1]
    factor = np.vdot(r, p) / np.vdot(r, r).real
    side = float(abs(factor))
    if not np.isfinite(side) or side < 1.0:
        raise ValueError("landmarks coincide")
    offset = factor * complex(*(np.array([0.5, 0.5]) - reference_centre))
    middle_x, middle_y = centre[0] + offset.real, centre[1] + offset.imag
    return float(middle_x - side / 2), float(middle_y - side / 2), side


def place_square(height: int, width: int, left: float, top: float, side: float) -> tuple[int, int, int]:
    """Left, top and side in whole pixels of the square inside a frame of this size: moved or reduced to lie in it.

    Raises ValueError for a square that is smaller than MIN_CROP_PX, or that, once reduced to fit, sticks out by more than
    MAX_OUTSIDE of its side.
    """
    x, y, size, moved = _fit_square(height, width, left, top, side)
    if size < MIN_CROP_PX:
        raise ValueError(f"face crop of {size} pixels")
    if moved > MAX_OUTSIDE * size:
        raise ValueError("face lies outside the frame")
    return x, y, size


def _fit_square(height: int, width: int, left: float, top: float, side: float) -> tuple[int, int, int, int]:
    """Left, top and side of the square inside the frame, and how many pixels it was moved by to lie there."""
    size = min(round(side), height, width)
    # A square that does not fit is reduced around its own centre first, then moved.
    margin = (side - size) / 2
    x, y = round(left + margin), round(top + margin)
    inside_x, inside_y = min(max(x, 0), width - size), min(max(y, 0), height - size)
    return inside_x, inside_y, size, max(abs(inside_x - x), abs(inside_y - y))


def crop_square(frame: Frame, left: float, top: float, side: float) -> Frame:
    """Copy the square out of the frame at native resolution, moved or reduced to lie inside: no pixel is invented.

    frame: (H, W, 3) uint8. Returns (S, S, 3) uint8 with S = min(round(side), H, W). Raises ValueError as `place_square`.
    """
    x, y, size = place_square(frame.shape[0], frame.shape[1], left, top, side)
    return np.ascontiguousarray(frame[y : y + size, x : x + size])


def crop_face(frame: Frame, landmarks: NDArray[np.float32]) -> Frame:
    """The canonical crop of a face: (S, S, 3) uint8 at native resolution. Raises ValueError where there is none."""
    return crop_square(frame, *canonical_square(landmarks))


def crop_surroundings(frame: Frame, landmarks: NDArray[np.float32]) -> Frame:
    """The face with what is around it: the canonical square enlarged by SURROUNDINGS, moved or reduced to lie in the frame.

    Returns (S, S, 3) uint8, reduced by `reduce_surroundings`. Every face that has a crop has surroundings, which hold it:
    where it lies at the frame's edge, they lie to its other side. Raises ValueError as `crop_face`.
    """
    left, top, side = canonical_square(landmarks)
    height, width = frame.shape[:2]
    place_square(height, width, left, top, side)  # whether the face can be scored is decided by its own square
    margin = (SURROUNDINGS - 1) / 2 * side
    x, y, size, _ = _fit_square(height, width, left - margin, top - margin, SURROUNDINGS * side)
    return reduce_surroundings(np.ascontiguousarray(frame[y : y + size, x : x + size]))


def reduce_surroundings(square: Frame) -> Frame:
    """A square at native resolution up to MAX_SURROUNDINGS_PX; a larger one reduced to that side by area averaging.

    The one place where surroundings are resized, in training and scanning alike.
    """
    if square.shape[0] <= MAX_SURROUNDINGS_PX:
        return square
    size = MAX_SURROUNDINGS_PX, MAX_SURROUNDINGS_PX
    return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_AREA), np.uint8)


def middle_square(picture: Frame) -> Frame:
    """The largest centred square of a picture that is a face crop already."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]
