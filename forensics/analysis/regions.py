"""Where a map of blocks differs from the rest of itself: residuals that do not follow the content, connected regions.

What is measured per block depends on how bright and how busy the block is, much more than on how it came into the
picture. A smooth function of both is therefore fitted over the whole picture, robustly (iterated least squares with
Tukey's biweight: Holland and Welsch 1977), and only what it leaves is looked at.
Limits: a scene of two quite different halves (sky and foliage) leaves residuals in regions, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]  # (rows, columns) of blocks
Mask = NDArray[np.bool_]

# 95 % efficient for normal errors (Holland and Welsch 1977).
TUKEY = 4.685
ITERATIONS = 5
# The median of |x| of a normal x is this part of its standard deviation.
MAD_OF_NORMAL = 0.6745
# A region larger than half of the picture is the picture, and what differs is the rest.
LARGEST_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Region:
    """Connected blocks: mask (rows, columns) bool, share of the blocks that could be judged, sign of what sets it apart."""

    mask: Mask
    share: float
    sign: int

    def box_px(self, side_px: float) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in pixels, for blocks of side_px."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        left, top, right, bottom = (int(edge * side_px) for edge in edges)
        return left, top, right, bottom


def spread(values: NDArray[np.float32]) -> float:
    """Standard deviation as the median absolute deviation tells it; 0 for no values."""
    if values.size == 0:
        return 0.0
    return float(np.median(np.abs(values - np.median(values))) / MAD_OF_NORMAL)


def residuals(values: Grid, covariates: Sequence[Grid], valid: Mask, least_spread: float) -> Grid:
    """What a robust quadratic of the covariates leaves of the values, in its own spreads; 0 where not valid.

    All (rows, columns). least_spread: in the unit of the values; a picture that varies less is measured by this. Fewer than
    ten valid blocks per coefficient, or no spread at all, give 0 everywhere.
    """
    left = np.zeros(values.shape, np.float32)
    y = values[valid].astype(np.float64)
    columns = [np.ones_like(y)]
    for grid in covariates:
        x = grid[valid].astype(np.float64)
        x = (x - x.mean()) / (x.std() + 1e-9) if x.size else x
        columns += [x, x * x]
    design = np.stack(columns, axis=1)
    if len(y) < 10 * design.shape[1]:
        return left
    weights = np.ones_like(y)
    rest, scale = y, 0.0
    for _ in range(ITERATIONS):
        root = np.sqrt(weights)[:, None]
        # A small ridge: covariates of a synthetic picture may be constant, or each other's copies.
        normal = (design * root).T @ (design * root) + 1e-6 * len(y) * np.eye(design.shape[1])
        rest = y - design @ np.linalg.solve(normal, design.T @ (weights * y))
        scale = spread(rest.astype(np.float32))
        if scale < 1e-6:
            return left
        weights = np.clip(1 - (rest / (TUKEY * scale)) ** 2, 0, None) ** 2
    left[valid] = (rest - np.median(rest)) / max(scale, least_spread)
    return left


def smoothed(values: Grid, valid: Mask, side: int) -> tuple[Grid, Mask]:
    """Means over the valid blocks of side x side ones; a block is valid after it where half of its square was."""
    weights = valid.astype(np.float32)
    amount = cv2.blur(weights, (side, side), borderType=cv2.BORDER_CONSTANT)
    total = cv2.blur(np.where(valid, values, 0).astype(np.float32), (side, side), borderType=cv2.BORDER_CONSTANT)
    room = cv2.blur(np.ones_like(weights), (side, side), borderType=cv2.BORDER_CONSTANT)
    enough = np.asarray(amount >= 0.5 * room)
    return np.where(enough, total / np.maximum(amount, 1e-6), 0).astype(np.float32), enough


def connected(values: Grid, valid: Mask, threshold: float, min_blocks: int) -> Iterator[Region]:
    """Regions above the threshold, and those below minus it, of min_blocks or more and at most half of the valid ones."""
    judged = max(int(valid.sum()), 1)
    for sign in (1, -1):
        above = (valid & (sign * values > threshold)).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=4)
        for label in range(1, count):
            blocks = int(stats[label, cv2.CC_STAT_AREA])
            if min_blocks <= blocks <= LARGEST_SHARE * judged:
                yield Region(labels == label, blocks / judged, sign)


def contrast(values: Grid, valid: Mask, region: Region) -> float:
    """How far a region's median lies from that of the other valid blocks, in the sign of the region."""
    inside, outside = values[region.mask & valid], values[valid & ~region.mask]
    if inside.size == 0 or outside.size == 0:
        return 0.0
    return region.sign * float(np.median(inside) - np.median(outside))


def strongest(values: Grid, valid: Mask, threshold: float, min_blocks: int) -> tuple[float, Region | None]:
    """The region with the greatest contrast, and that contrast; (0, None) where there is no region."""
    best: tuple[float, Region | None] = (0.0, None)
    # A map of noise has many regions: only the largest are worth a median each.
    largest = sorted(connected(values, valid, threshold, min_blocks), key=lambda region: -region.share)[:20]
    for region in largest:
        found = contrast(values, valid, region)
        if found > best[0]:
            best = found, region
    return best


def unit(values: Grid, high: float) -> Grid:
    """Values as a map's: 0 stays 0, `high` and all above become 1."""
    return np.asarray(np.clip(np.nan_to_num(values) / high, 0, 1), np.float32)
