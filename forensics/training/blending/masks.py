"""Masks of pseudo-fakes: which part of a face is replaced, and how its rim gives way.

A random subset of the face's points spans a hull, the hull is deformed elastically (Simard, Steinkraus, Platt, ICDAR 2003),
and its rim is blurred, cut back to where it was whole, and blurred again: Shiohara and Yamasaki: Detecting Deepfakes with
Self-Blended Images (CVPR 2022), arXiv 2204.08376, section 3.2; the subsets follow Li et al.: Face X-ray (CVPR 2020), arXiv
1912.13458. Rims are drawn on a canvas of about 224 pixels whatever the crop's size: their widths are shares of the face.
A mask is float32 (S, S) in [0, 1]; 1 is replaced.
Limits: points come from five landmarks and a mean face, so outlines miss the true ones by about a tenth of the distance of
the eyes. That is of no harm: a mask decides what is replaced, not what a face is.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.mean_shape import BROWS, LEFT_EYE, RIGHT_EYE, face_hull, lifted_brows

Mask = NDArray[np.float32]  # (S, S) in [0, 1]
Points = NDArray[np.float64]  # (N, 2) as (x, y), the centre of the first pixel at (0, 0)
Part = Literal["left eye", "right eye", "nose", "mouth"]

# Side of the canvas on which rims are drawn, from and to; the kernels (odd, both ends included) and deviations that go with
# it; the elastic field. All of the reference recipe of self-blended images.
CANVAS_PX = (192, 256)
KERNELS_PX = (5, 25)
SECOND_SIGMA_PX = (5, 45)
ELASTIC_ALPHA, ELASTIC_SIGMA_PX, ELASTIC_AT_PX = 50.0, 7.0, 256
# Uniform noise in [-1, 1], smoothed by sigma, has this standard deviation: 1.16 px at 256.
ELASTIC_PX = ELASTIC_ALPHA / np.sqrt(3.0) / (2 * np.sqrt(np.pi) * ELASTIC_SIGMA_PX)
# The field is smooth: it is drawn on a grid of this many nodes, and enlarged.
ELASTIC_NODES = 64
# A rim may cost a small part no more than this share of its area.
LARGEST_LOSS = 0.6
# Below this opacity not even a difference of 255 grey levels shows.
LEAST_OPACITY = 1 / 512
# OpenCV draws polygons at whole numbers times 2 ** -SHIFT, and in 32 bits.
SHIFT = 4
FARTHEST = 2.0**20

NOSE, MOUTH = slice(27, 36), slice(48, 68)
PARTS: dict[Part, tuple[slice, ...]] = {
    "left eye": (slice(17, 22), LEFT_EYE),
    "right eye": (slice(22, 27), RIGHT_EYE),
    "nose": (NOSE,),
    "mouth": (MOUTH,),
}
# What a part takes with it around its points, as a share of the distance of the eyes: lids, nostrils, the rim of the lips.
PART_GROW = {"left eye": 0.1, "right eye": 0.1, "nose": 0.12, "mouth": 0.1}
# Whole outlines: brows up to the middle of the forehead, all 68 points, those without the jaw, those without the brows
# too, everything below the eyes, everything above the tip of the nose, and single parts.
SUBSETS = ("forehead", "face", "no jaw", "features", "lower", "upper", "parts")
BROW_LIFT = (0.05, 0.3)
# In a tight crop the whole outline leaves no rim inside it: outlines are drawn towards their middle by this much.
SHRINK = (0.7, 1.0)


def eye_distance(points: Points) -> float:
    """Distance of the centres of the eyes of 68 points, in their pixels."""
    return float(np.linalg.norm(points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)))


def random_outlines(points: Points, rng: np.random.Generator) -> tuple[list[Points], float]:
    """Outlines that together are the area to be replaced, and by how many pixels they grow. points: (68, 2)."""
    subset = SUBSETS[rng.integers(len(SUBSETS))]
    if subset == "parts":
        names = list(PARTS)
        chosen = rng.permutation(len(names))[: rng.integers(1, 4)]
        grow = rng.uniform(0.08, 0.2) * eye_distance(points)
        return [part_points(points, names[i]) for i in sorted(chosen)], float(grow)
    lifted = lifted_brows(points, rng.uniform(*BROW_LIFT))
    outline = {
        "forehead": face_hull(points, rng.uniform(*BROW_LIFT)),
        "face": points,
        "no jaw": points[17:],
        "features": points[27:],
        "lower": np.concatenate([points[2:15], points[30:36], points[MOUTH]]),
        "upper": np.concatenate([points[:3], points[14:17], points[BROWS], lifted, points[27:48]]),
    }[subset]
    middle = outline.mean(0)
    return [np.asarray(middle + rng.uniform(*SHRINK) * (outline - middle), np.float64)], 0.0


def part_points(points: Points, part: Part) -> Points:
    """The points of a part out of 68 (68, 2): an eye with its brow, the nose, the mouth."""
    return np.concatenate([points[where] for where in PARTS[part]])


def drawn(outlines: Sequence[Points], grow_px: float, side: int, canvas: int) -> Mask:
    """1 inside the convex hulls of the outlines grown by `grow_px`, 0 outside, with a soft pixel between.

    outlines: (N, 2) each, at least three points, in pixels of a crop of `side`. Returns (canvas, canvas).
    """
    scale = canvas / side
    mask = np.zeros((canvas, canvas), np.uint8)
    for outline in outlines:
        # Edges of pixels, not their centres, are what two sizes of a picture have in common.
        moved = (np.asarray(outline, np.float64) + 0.5) * scale - 0.5
        hull = cv2.convexHull(moved.astype(np.float32))[:, 0].astype(np.float64)
        fixed = np.clip(np.rint(hull * (1 << SHIFT)), -FARTHEST, FARTHEST).astype(np.int32)
        cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, SHIFT)
        width = round(2 * grow_px * scale)
        if width > 0:
            cv2.polylines(mask, [fixed], isClosed=True, color=255, thickness=width, lineType=cv2.LINE_AA, shift=SHIFT)
    return mask.astype(np.float32) / np.float32(255)


def deformed(mask: Mask, rng: np.random.Generator) -> Mask:
    """The mask under a smooth random displacement of a pixel or so (at 256), never the same twice."""
    side = mask.shape[0]
    per_node = ELASTIC_AT_PX / ELASTIC_NODES
    noise = rng.uniform(-1, 1, (ELASTIC_NODES, ELASTIC_NODES, 2)).astype(np.float32)
    sigma = ELASTIC_SIGMA_PX / per_node
    field = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.float32)
    # Divided by what the blur leaves of uniform noise, times what the recipe's would be left with.
    strength = ELASTIC_PX * side / ELASTIC_AT_PX * np.sqrt(3.0) * 2 * np.sqrt(np.pi) * sigma
    enlarged = cv2.resize(field * np.float32(strength), (side, side), interpolation=cv2.INTER_LINEAR)
    where = np.asarray(enlarged + _grid(side), np.float32)
    x, y = where[..., 0], where[..., 1]
    return np.asarray(cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def softened(mask: Mask, rng: np.random.Generator, widest_px: int = KERNELS_PX[1]) -> Mask:
    """Blurred, cut back to what is still whole, blurred again: a rim of random width, highest value 1.

    Kernels have 5 to `widest_px` pixels of the mask's. A mask that is 0 everywhere stays so.
    """
    first, second = (int(rng.integers(KERNELS_PX[0] // 2, widest_px // 2 + 1)) * 2 + 1 for _ in range(2))
    sigma = float(rng.uniform(*SECOND_SIGMA_PX))
    before = np.count_nonzero(mask > 0.5)
    if before == 0:
        return np.zeros_like(mask)
    while True:
        blurred = cv2.GaussianBlur(mask, (first, first), 0, borderType=cv2.BORDER_REPLICATE)
        whole = (blurred >= min(0.999, float(blurred.max()))).astype(np.float32)
        if np.count_nonzero(whole) >= (1 - LARGEST_LOSS) * before or first <= 3:
            break
        first = second = max(3, first - 4)
    soft = cv2.GaussianBlur(whole, (second, second), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft / soft.max(), np.float32)


def fitted(mask: Mask, side: int) -> Mask:
    """The mask at the crop's size, in [0, 1], with opacities that change nothing set to exactly 0."""
    if mask.shape[0] != side:
        how = cv2.INTER_AREA if mask.shape[0] > side else cv2.INTER_LINEAR
        mask = np.asarray(cv2.resize(mask, (side, side), interpolation=how), np.float32)
    mask = np.clip(mask, 0, 1)
    mask[mask < LEAST_OPACITY] = 0
    return mask


def random_mask(points: Points, side: int, rng: np.random.Generator) -> Mask:
    """A random area of a face of 68 points (68, 2) in a crop of `side` pixels, with its rim: (side, side)."""
    outlines, grow_px = random_outlines(points, rng)
    canvas = int(rng.integers(CANVAS_PX[0], CANVAS_PX[1] + 1))
    return fitted(softened(deformed(drawn(outlines, grow_px, side, canvas), rng), rng), side)


def _grid(side: int) -> NDArray[np.float32]:
    """Position of every pixel: (side, side, 2) as (x, y)."""
    line = np.arange(side, dtype=np.float32)
    return np.stack(np.broadcast_arrays(line[None, :], line[:, None]), -1)
