"""A swap without training: the face of one picture, warped triangle by triangle onto the face of another.

The graphics baseline of face swapping, as in FaceSwap (Kowalski, one of the methods of Roessler et al., FaceForensics++,
2019, arXiv 1901.08971): landmarks on both, a triangulation, an affine map for each triangle (Wolberg, Digital Image
Warping, 1990, section 3.6), then colours and a soft mask. The triangles are Delaunay's (scipy) on the mean face: the same
for all pictures, and never folded by an odd pose.
Limits: the new face keeps its own expression and light; a face that is turned far more than the other is smeared.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from forensics.faces.mean_shape import MEAN_SHAPE, lifted_brows
from generators.faceswap.masks import SHIFT, eroded_and_feathered
from generators.faceswap.rendering.colour import ColourMatch, match_colour
from generators.faceswap.rendering.motion_blur import motion_blurred
from generators.faceswap.rendering.paste import Blend, blended

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Points = NDArray[np.float64]  # (N, 2) as (x, y)

# Of a larger source, cubic interpolation would skip pixels.
LARGEST_STEP = 1.5
# Cubic interpolation looks two pixels further.
MARGIN_PX = 3
# A triangle of less than this area, in square pixels, has no map of its own.
LEAST_AREA = 1e-3


@dataclass(frozen=True)
class WarpSettings:
    """How the warped face is fitted in: colours, mixing, the mask's erosion and feather in shares of the face's size."""

    colour: ColourMatch = "lab"
    blend: Blend = "alpha"
    erode_share: float = 0.03
    feather_share: float = 0.12
    brow_lift: float = 0.1


def warp_face(
    source: Picture,
    source_points: Points,
    target: Picture,
    target_points: Points,
    settings: WarpSettings | None = None,
    motion: NDArray[np.float64] | None = None,
) -> tuple[Picture, NDArray[np.uint8]]:
    """`target` with the face of `source` on its own face, and the mask that was used (H, W) in 0..255.

    Pictures (H, W, 3), points (68, 2) in iBUG order, motion (2,) how far the target moves while the shutter is open. Where
    the mask is 0 the target is as it was, bit by bit; a face outside the target changes nothing. Raises ValueError for
    points of another shape or not finite.
    """
    chosen = settings or WarpSettings()
    here, there = (_all_points(p, chosen.brow_lift) for p in (target_points, source_points))
    height, width = target.shape[:2]
    left, top = (int(v) for v in np.clip(np.floor(here.min(0)) - 1, 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(np.ceil(here.max(0)) + 2, 0, (width, height)))
    if right <= left or bottom <= top:
        return target.copy(), np.zeros((height, width), np.uint8)
    here = here - (left, top)
    map_x, map_y, inside = triangle_map(here, there, mean_triangles(chosen.brow_lift), bottom - top, right - left)
    if not inside.any():
        return target.copy(), np.zeros((height, width), np.uint8)
    part = _sampled(source, map_x, map_y, inside, _shrink(there, here))
    mask = eroded_and_feathered(inside.astype(np.float32), chosen.erode_share, chosen.feather_share)
    if motion is not None:
        part = motion_blurred(part, motion)
    part = match_colour(part, np.ascontiguousarray(target[top:bottom, left:right]), mask, chosen.colour)
    return blended(target, part, mask, (left, top), chosen.blend)


@lru_cache(maxsize=8)
def mean_triangles(brow_lift: float) -> NDArray[np.int32]:
    """Delaunay triangles (K, 3) of the mean face's 68 points and its ten lifted brow points, numbered 68 to 77."""
    return np.asarray(Delaunay(_all_points(MEAN_SHAPE, brow_lift)).simplices, np.int32)


def triangle_map(
    here: Points, there: Points, triangles: NDArray[np.int32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """For each pixel of a canvas, where it lies in the other picture: x and y (H, W), and which pixels are in a triangle.

    here: (N, 2) on the canvas. there: (N, 2) in the other picture. triangles: (K, 3). A pixel outside all triangles gets
    -1, -1; where triangles overlap, the last counts.
    """
    corners = here[triangles]  # (K, 3, 2)
    maps = _affine_maps(corners, there[triangles])
    # Number of each pixel's triangle, 0 for none. Their edges are drawn too, so that no gap is left between neighbours.
    numbers = np.zeros((height, width), np.int32)
    fixed = np.rint(corners * (1 << SHIFT)).astype(np.int32)
    for number, (triangle, matrix) in enumerate(zip(fixed, maps, strict=True), start=1):
        if np.isfinite(matrix).all():
            cv2.fillConvexPoly(numbers, triangle, number, cv2.LINE_8, SHIFT)
    nowhere = np.array([[[0, 0, -1], [0, 0, -1]]], np.float64)
    table = np.concatenate([nowhere, maps]).astype(np.float32).reshape(-1, 6)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    a, b, c, d, e, f = (table[:, k][numbers] for k in range(6))
    return a * x + b * y + c, d * x + e * y + f, numbers > 0


def _affine_maps(here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (K, 2, 3) affine maps of triangles (K, 3, 2); NaN for those without area."""
    edges, other = here[:, 1:] - here[:, :1], there[:, 1:] - there[:, :1]  # (K, 2, 2), one edge a row
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    flat = np.abs(area) < LEAST_AREA
    edges = np.where(flat[:, None, None], np.eye(2), edges)
    linear = np.linalg.solve(edges, other).transpose(0, 2, 1)
    shift = there[:, 0] - np.einsum("kij,kj->ki", linear, here[:, 0])
    maps = np.concatenate([linear, shift[:, :, None]], 2)
    maps[flat] = np.nan
    return np.asarray(maps, np.float64)


def _sampled(
    source: Picture,
    map_x: NDArray[np.float32],
    map_y: NDArray[np.float32],
    inside: NDArray[np.bool_],
    shrink: float,
) -> Picture:
    """`source` at the places of the map (h, w): cubic, averaged first where it shrinks. Outside `inside`: anything."""
    height, width = source.shape[:2]
    reach = MARGIN_PX + int(np.ceil(shrink))
    x0, y0 = (int(np.clip(np.floor(m[inside].min()) - reach, 0, n - 1)) for m, n in ((map_x, width), (map_y, height)))
    x1, y1 = (int(np.clip(np.ceil(m[inside].max()) + reach, 1, n)) for m, n in ((map_x, width), (map_y, height)))
    part: NDArray[Any] = source[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    map_x, map_y = map_x - x0, map_y - y0
    if shrink > LARGEST_STEP:
        wide, high = (max(1, round(n / shrink * LARGEST_STEP)) for n in (part.shape[1], part.shape[0]))
        fx, fy = wide / part.shape[1], high / part.shape[0]
        part = cv2.resize(part, (wide, high), interpolation=cv2.INTER_AREA)
        map_x, map_y = (np.asarray((m + 0.5) * f - 0.5, np.float32) for m, f in ((map_x, fx), (map_y, fy)))
    return np.asarray(cv2.remap(part, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shrink(source: Points, target: Points) -> float:
    """By how much the source is larger than the target, by the spread of their points."""
    spread = (float(np.sqrt(np.square(p - p.mean(0)).sum())) for p in (source, target))
    larger, smaller = spread
    return larger / max(smaller, 1e-6)


def _all_points(points: NDArray[np.floating], brow_lift: float) -> Points:
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ValueError(f"68 finite points are needed, not {points.shape}")
    return np.concatenate([np.asarray(points, np.float64), lifted_brows(points, brow_lift)])
