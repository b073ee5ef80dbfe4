"""Where a face lies in a crop, and another face laid on it.

A donor is moved by a similarity, by an affine map, or by a thin-plate spline through its landmarks and the mean face's
outline (Bookstein, PAMI 11, 1989), drawn on a coarse grid: a spline is smooth. Points are (x, y) with the centre of the
first pixel at (0, 0), matrices (2, 3).
Limits: donors keep their pose and light; a profile on a frontal face is smeared.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.mean_shape import NOSE_TIP, place_mean_shape
from forensics.faces.similarity import similarity
from forensics.training.blending.masks import Mask, Points

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Matrix = NDArray[np.float64]  # (2, 3)

# A face of a smaller distance from eyes to mouth, in pixels, has no parts.
LEAST_FACE_PX = 4.0
# Translation (shares of the side, across and down) and scale of the moved face, of the reference recipe of SBI.
TRANSLATE, SCALE = (0.03, 0.015), (0.95, 1.05)
# Cubic interpolation looks at 4 x 4 pixels: beyond this reduction it would skip some.
LARGEST_STEP = 1.5
# Every fourth point of the jaw, and the outer ends and the middles of the brows.
SPLINE_POINTS = np.array([0, 4, 8, 12, 16, 17, 19, 24, 26, NOSE_TIP])
# Nodes of the spline's grid, its stiffness as a share of the crop's squared side, and how much it may stretch.
SPLINE_NODES = 25
STIFFNESS = 1e-4
STRETCH = (0.4, 2.5)
INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)


@dataclass(frozen=True, eq=False)
class Warped:
    """A donor in the pixels of a crop: (S, S, 3), and where it has any of its own (S, S), 1 or 0."""

    picture: Picture
    seen: Mask


def checked_crop(crop: NDArray[Any]) -> None:
    """Raises ValueError for anything but (S, S, 3) uint8."""
    if crop.ndim != 3 or crop.shape[0] != crop.shape[1] or crop.shape[2] != 3 or crop.dtype != np.uint8:
        raise ValueError(f"a crop is (S, S, 3) uint8, not {crop.shape} {crop.dtype}")


def face_points(landmarks: NDArray[Any]) -> Points:
    """The 68 points (68, 2) of the mean face on five landmarks (5, 2).

    Raises ValueError for another shape, for numbers that are not finite, and for landmarks that (nearly) coincide.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"landmarks are (5, 2) finite numbers, not {points.shape}")
    eyes, mouth = points[:2], points[3:]
    height = np.linalg.norm(eyes.mean(0) - mouth.mean(0))
    width = max(np.linalg.norm(eyes[0] - eyes[1]), np.linalg.norm(mouth[0] - mouth[1]))
    if max(height, width) < LEAST_FACE_PX or min(height, width) < LEAST_FACE_PX / 4:
        raise ValueError("landmarks coincide")
    return place_mean_shape(points)


def small_move(side: int, rng: np.random.Generator) -> Matrix:
    """A random translation and a scale about the middle of a crop of `side` pixels."""
    shift = rng.uniform(-1, 1, 2) * TRANSLATE * side
    scale = rng.uniform(*SCALE)
    middle = (side - 1) / 2
    return np.array([[scale, 0, middle * (1 - scale) + shift[0]], [0, scale, middle * (1 - scale) + shift[1]]])


def moved(points: Points, matrix: Matrix) -> Points:
    """Points (N, 2) through a matrix."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


def chained(first: Matrix, then: Matrix) -> Matrix:
    """The matrix of one map after another."""
    linear = then[:, :2] @ first[:, :2]
    return np.column_stack([linear, then[:, :2] @ first[:, 2] + then[:, 2]])


def affine(source: Points, target: Points) -> Matrix:
    """The affine map (2, 3) that takes `source` (N, 2) nearest to `target`, by least squares."""
    ones = np.column_stack([source, np.ones(len(source))])
    return np.asarray(np.linalg.lstsq(ones, target, rcond=None)[0].T, np.float64)


def warp_by_matrix(donor: Picture, matrix: Matrix, side: int, rng: np.random.Generator) -> Warped:
    """The donor through a matrix from its pixels to those of a crop of `side`; its edges are mirrored outwards."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    donor, factor = _presized(donor, scale)
    matrix = chained(_to_full(factor), matrix)
    how = INTERPOLATIONS[rng.integers(len(INTERPOLATIONS))]
    picture = cv2.warpAffine(donor, matrix, (side, side), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    own = np.full(donor.shape[:2], 255, np.uint8)
    seen = cv2.warpAffine(own, matrix, (side, side), flags=cv2.INTER_NEAREST)
    return Warped(np.asarray(picture, np.uint8), (seen > 0).astype(np.float32))


def warp_by_spline(
    donor: Picture, landmarks: Points, target: Points, side: int, rng: np.random.Generator
) -> Warped | None:
    """The donor under the thin-plate spline that takes its points (N, 2) to `target` (N, 2) in a crop of `side`.

    None where the spline would fold or stretch the donor by more than STRETCH.
    """
    where = _spline_grid(target, landmarks, side)  # (n, n, 2): where each node of the crop lies in the donor
    step = (side - 1) / (SPLINE_NODES - 1)
    across, down = np.diff(where, axis=1)[:-1] / step, np.diff(where, axis=0)[:, :-1] / step
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]  # donor's pixels per pixel of the crop
    typical = 1 / max(1e-9, float(np.linalg.det(similarity(landmarks, target)[:, :2])))
    if area.min() < STRETCH[0] ** 2 * typical or area.max() > STRETCH[1] ** 2 * typical:
        return None
    donor, factor = _presized(donor, 1 / np.sqrt(typical))
    # Nodes lie on the centres of the first and last pixels: laid out by a matrix, as `resize` would shift them by a half.
    layout = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    dense = cv2.warpAffine(where.astype(np.float32), layout, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    dense = (dense + np.float32(0.5)) * np.float32(factor) - np.float32(0.5)
    how = INTERPOLATIONS[rng.integers(len(INTERPOLATIONS))]
    x, y = dense[..., 0], dense[..., 1]
    picture = cv2.remap(donor, x, y, how, borderMode=cv2.BORDER_REFLECT_101)
    height, width = donor.shape[:2]
    seen = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return Warped(np.asarray(picture, np.uint8), seen.astype(np.float32))


def _presized(donor: Picture, scale: float) -> tuple[Picture, float]:
    """A donor that is not reduced by more than LARGEST_STEP afterwards, and by which factor it is smaller now."""
    if scale * LARGEST_STEP >= 1:
        return donor, 1.0
    small = max(2, round(donor.shape[0] * scale * LARGEST_STEP))
    return np.asarray(cv2.resize(donor, (small, small), interpolation=cv2.INTER_AREA)), small / donor.shape[0]


def _to_full(factor: float) -> Matrix:
    """From the pixels of a picture of `factor` times the size to those of the full one."""
    return np.array([[1 / factor, 0, (1 / factor - 1) / 2], [0, 1 / factor, (1 / factor - 1) / 2]])


def _spline_grid(source: Points, target: Points, side: int) -> NDArray[np.float64]:
    """The smoothing thin-plate spline that takes `source` to `target` (N, 2), at the nodes of a crop of `side` pixels."""
    unit = float(side)  # the kernel r^2 log r^2 is well conditioned for distances about 1
    a = source / unit
    n = len(a)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = _kernel(a, a) + STIFFNESS * np.eye(n)
    plane = np.column_stack([np.ones(n), a])
    system[:n, n:], system[n:, :n] = plane, plane.T
    weights = np.linalg.lstsq(system, np.concatenate([target, np.zeros((3, 2))]), rcond=None)[0]
    line = np.linspace(0, (side - 1) / unit, SPLINE_NODES)
    nodes = np.stack(np.broadcast_arrays(line[None, :], line[:, None]), -1).reshape(-1, 2)
    values = _kernel(nodes, a) @ weights[:n] + np.column_stack([np.ones(len(nodes)), nodes]) @ weights[n:]
    return np.asarray(values.reshape(SPLINE_NODES, SPLINE_NODES, 2), np.float64)


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = np.square(a[:, None] - b[None]).sum(-1)
    return np.asarray(squared * np.log(np.maximum(squared, 1e-12)), np.float64)
