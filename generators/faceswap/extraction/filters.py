"""Which faces are worth learning from: size, pose, sharpness, and no crowd of nearly equal ones.

Sharpness is the variance of the Laplacian: LAPV in Pertuz, Puig, Garcia: Analysis of focus measure operators (Pattern
Recognition 46, 2013), after Pech-Pacheco et al. (2000). It depends on camera, light and codec, so a face is compared with
the median of its own clip: a soft clip keeps its faces, and a sharp one loses those that moved.
Limits: beards, glasses and noise are sharp too. Pose from five points is a ranking, good to some ten degrees.
"""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.types import Face
from forensics.features.perceptual_hash import SIDE_PX, correlations, luma_of, perceptual_hashes
from forensics.features.sharpness import sharpness
from generators.faceswap.alignment import ALIGNED_PX, Matrix, inverse, transform

LeftOut = Literal[
    "other_track", "too_small", "low_confidence", "profile", "cut_off", "blurred", "near_duplicate", "surplus"
]
# In the words of a report, in the order of the filters.
IN_WORDS: dict[LeftOut, str] = {
    "other_track": "of other tracks",
    "too_small": "too small",
    "low_confidence": "not surely a face",
    "profile": "turned too far aside",
    "cut_off": "partly outside the frame",
    "blurred": "blurred",
    "near_duplicate": "nearly the same as the one before",
    "surplus": "beyond the largest number",
}
# The nose's tip lies about this far before the plane of pupils and mouth corners, in distances of the pupils: some 36 mm
# (20 mm from its base, after Farkas: Anthropometry of the Head and Face, 1994, and as much of the base) of 63 mm.
NOSE_DEPTH = 0.57
# Detectors of upright faces give false ones beyond this, and an upside-down face is no training picture.
MAX_ROLL_DEG = 60.0
# Brows to chin and cheek to cheek of the aligned square: what a swap replaces, and what is looked at here.
INNER_PX = 160
INNER = slice((ALIGNED_PX - INNER_PX) // 2, (ALIGNED_PX + INNER_PX) // 2)
# Beyond this share of the face outside the frame, repeated edge pixels would be learned as skin.
MIN_INSIDE = 0.9
# Two faces count as nearly equal above this correlation of 32 x 32 luma, and within this Hamming distance of their hashes:
# much stricter than for copies of one photograph, which all frames of a person at rest would be.
DUPLICATE_CORRELATION = 0.998
DUPLICATE_DISTANCE = 4


def yaw_deg(landmarks: NDArray[Any]) -> float:
    """How far the head is turned, in degrees: 0 from the front, positive towards the picture's right.

    landmarks (5, 2). From how far the nose lies off the line between the eyes' and the mouth's middle, under an
    orthographic view. 90 where the eyes coincide.
    """
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    distance = float(np.linalg.norm(across))
    if distance < 1e-6 or float(down @ down) < 1e-12:
        return 90.0
    on_line = eyes + down * float((points[2] - eyes) @ down) / float(down @ down)
    offset = float((points[2] - on_line) @ across) / distance
    return float(np.degrees(np.arctan2(offset, NOSE_DEPTH * distance)))


def roll_deg(landmarks: NDArray[Any]) -> float:
    """How far the line of the eyes is tilted, in degrees, positive clockwise in the picture: (-180, 180]."""
    across = np.asarray(landmarks, np.float64)[1] - np.asarray(landmarks, np.float64)[0]
    return float(np.degrees(np.arctan2(across[1], across[0])))


def inside_share(matrix: Matrix, width: int, height: int) -> float:
    """Share of the aligned face's inner square that lies inside a frame of this size: [0, 1], on a grid of 17 x 17."""
    steps = np.linspace(INNER.start, INNER.stop - 1, 17)
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    x, y = transform(grid, inverse(matrix)).T
    return float(((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)).mean())


def reason_against(
    face: Face, matrix: Matrix, frame_size: tuple[int, int], min_face_px: float, min_confidence: float, max_yaw: float
) -> LeftOut | None:
    """What a single face can be left out for, without its neighbours. frame_size: (width, height)."""
    if face.size_px < min_face_px:
        return "too_small"
    if face.confidence < min_confidence:
        return "low_confidence"
    if abs(yaw_deg(face.landmarks)) > max_yaw or abs(roll_deg(face.landmarks)) > MAX_ROLL_DEG:
        return "profile"
    return None if inside_share(matrix, *frame_size) >= MIN_INSIDE else "cut_off"


def aligned_sharpness(aligned: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the face in an aligned (256, 256, 3) picture, background left out."""
    return sharpness(np.ascontiguousarray(aligned[INNER, INNER]))


def luma_thumbnail(aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(32, 32) float32 luma of the face in an aligned picture: what nearly equal faces are told by."""
    small = cv2.resize(aligned[INNER, INNER], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return luma_of(np.asarray(small, np.uint8))


def are_nearly_equal(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two thumbnails (32, 32) show one face without a movement worth learning."""
    first, second = perceptual_hashes(np.stack([a, b]))
    if int(np.bitwise_count(first ^ second)) > DUPLICATE_DISTANCE:
        return False
    return float(correlations(a[None], b[None])[0]) >= DUPLICATE_CORRELATION
