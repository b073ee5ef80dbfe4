"""The aligned face: a square of 256 pixels in which five landmarks lie where the template has them.

A similarity transform by least squares (`forensics.faces.similarity`). A face is warped here, unlike in scanning: a swap
replaces it anyway.
Points are (x, y) with the centre of the first pixel at (0, 0), as in OpenCV; a matrix is float64 (2, 3), source to
destination.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.similarity import similarity

ALIGNED_PX = 256
# Eyes, nose, mouth corners of an upright face from the front. Proportions: the template of ArcFace (Deng et al. 2018, arXiv
# 1801.07698, reference code: a 112 px square), enlarged so that the face from above the brows to the chin fills the
# 220 px in the middle, which is what the networks see.
ARCFACE_PX = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
EYE_DISTANCE_PX, EYES_AT = 70.0, (128.0, 101.0)
TEMPLATE = (ARCFACE_PX - ARCFACE_PX[:2].mean(0)) * (EYE_DISTANCE_PX / 35.24) + EYES_AT
# OpenCV's interpolation looks at 4 x 4 pixels at most: beyond this reduction it would skip some.
LARGEST_STEP = 2.0

Matrix = NDArray[np.float64]  # (2, 3)
Points = NDArray[np.float64]  # (N, 2)


def aligning(landmarks: NDArray[Any]) -> Matrix:
    """From a frame to the aligned square, by its five landmarks (5, 2). Raises ValueError where they coincide."""
    return similarity(np.asarray(landmarks, np.float64), TEMPLATE)


def inverse(matrix: Matrix) -> Matrix:
    """The way back. Raises ValueError for a matrix that has none."""
    linear = matrix[:, :2]
    if abs(np.linalg.det(linear)) < 1e-12:
        raise ValueError("the matrix has no inverse")
    back = np.linalg.inv(linear)
    return np.column_stack([back, -back @ matrix[:, 2]])


def transform(points: NDArray[Any], matrix: Matrix) -> Points:
    """Points (..., 2) through a matrix."""
    return np.asarray(np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2], np.float64)


def scale_of(matrix: Matrix) -> float:
    """By how much lengths grow."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def rescaled(matrix: Matrix, factor: float) -> Matrix:
    """The matrix to a destination of `factor` times the size, whose pixels cover the same ground."""
    # Centres of pixels are at whole numbers: the edge of the picture, at -0.5, is what stays where it is.
    return np.asarray(matrix * factor + [[0, 0, (factor - 1) / 2]] * 2, np.float64)


def warped(picture: NDArray[Any], matrix: Matrix, size_px: int, border: int = cv2.BORDER_REPLICATE) -> NDArray[Any]:
    """The square of `size_px` that the matrix leads to: cubic, averaged first where it shrinks, edges repeated.

    picture: (H, W) or (H, W, 3), uint8 or float32. Returns the same kind. Only the part of a large picture that is seen is
    touched.
    """
    corners = transform(np.array([[-2, -2], [size_px + 1, -2], [-2, size_px + 1], [size_px + 1] * 2]), inverse(matrix))
    height, width = picture.shape[:2]
    margin = 2 + int(np.ceil(2 / scale_of(matrix)))
    x0, y0 = (
        int(np.clip(np.floor(v) - margin, 0, n - 1)) for v, n in zip(corners.min(0), (width, height), strict=True)
    )
    x1, y1 = (int(np.clip(np.ceil(v) + margin, 1, n)) for v, n in zip(corners.max(0), (width, height), strict=True))
    part = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    matrix = np.column_stack([matrix[:, :2], matrix[:, :2] @ (x0, y0) + matrix[:, 2]])
    shrink = 1 / scale_of(matrix)
    if shrink > LARGEST_STEP:
        small = (max(1, round(part.shape[1] / shrink * 1.5)), max(1, round(part.shape[0] / shrink * 1.5)))
        fx, fy = small[0] / part.shape[1], small[1] / part.shape[0]
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        to_part = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
        matrix = matrix @ np.linalg.inv(to_part)
    out = cv2.warpAffine(part, matrix, (size_px, size_px), flags=cv2.INTER_CUBIC, borderMode=border)
    return np.asarray(out)
