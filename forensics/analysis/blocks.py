"""Luma and its 8 x 8 blocks: what every analysis of JPEG's traces starts from.

Wallace: The JPEG Still Picture Compression Standard (1991, Communications of the ACM 34(4)): luma is cut into 8 x 8 blocks
from the top left corner, each is transformed by the orthonormal DCT-II and divided by a table of steps.
Limits: luma is made again from 8-bit RGB, so a coefficient is off by about half a grey level from what the file stores.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.protocol import Rgb

BLOCK = 8
# Pixels at the ends of the scale, and the share of them in a block (three of 64) above which its coefficients are not
# trusted.
DARKEST, BRIGHTEST = 0, 255
MAX_CLIPPED_SHARE = 0.05
# The DCT-II of eight samples as a matrix: row k is the cosine of frequency k (ITU-T T.81, A.3.3, one dimension of it).
_ANGLES = np.pi * (2 * np.arange(BLOCK)[None, :] + 1) * np.arange(BLOCK)[:, None] / (2 * BLOCK)
DCT_ROWS: NDArray[np.float32] = (np.cos(_ANGLES) * np.where(np.arange(BLOCK)[:, None] == 0, 0.5**0.5, 1) / 2).astype(
    np.float32
)
# ITU-T T.81, table K.1, in row order: the luma steps that the Independent JPEG Group's encoder scales by its quality.
# fmt: off
LUMA_STEPS: NDArray[np.float64] = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], np.float64)
# fmt: on


def luma(pixels: Rgb) -> NDArray[np.uint8]:
    """Luma of BT.601, rounded: (H, W, 3) uint8 RGB -> (H, W) uint8."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def is_smaller(pixels: Rgb, side_px: int) -> bool:
    """Whether a side is shorter than side_px, an empty picture included."""
    return bool(min(pixels.shape[:2]) < side_px)


def block_dct(gray: NDArray[np.uint8], top: int = 0, left: int = 0, keep: int = BLOCK) -> NDArray[np.float32]:
    """The first `keep` x `keep` DCT coefficients of every whole block of the grid that begins at (top, left).

    gray: (H, W) uint8. Returns (rows, columns, keep, keep) float32, vertical frequency first, DC of mid-grey 0.
    """
    rows, columns = (gray.shape[0] - top) // BLOCK, (gray.shape[1] - left) // BLOCK
    inside = gray[top : top + rows * BLOCK, left : left + columns * BLOCK].astype(np.float32) - 128
    basis = DCT_ROWS[:keep].T
    # Two products of long thin matrices: several times faster than one small product per block.
    across = (inside.reshape(-1, BLOCK) @ basis).reshape(rows, BLOCK, columns, keep)
    down = np.ascontiguousarray(across.transpose(0, 2, 3, 1)).reshape(-1, BLOCK) @ basis
    return np.asarray(down.reshape(rows, columns, keep, keep).swapaxes(2, 3))


def luma_steps(quality: int) -> NDArray[np.float32]:
    """(8, 8) steps of the Independent JPEG Group's encoder at a quality of 1 .. 100 (libjpeg, jcparam.c)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((LUMA_STEPS * scale + 50) // 100, 1, 255), np.float32)


def means(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Means over whole squares: (H, W) -> (H // side, W // side) float32."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    whole = values[: rows * side, : columns * side].reshape(rows, side, columns, side)
    # In two steps, along memory: several times faster than one mean over both axes.
    return np.asarray(whole.mean(1).mean(2), np.float32)


def clipped_blocks(pixels: Rgb) -> NDArray[np.bool_]:
    """Blocks with pixels at the ends of the scale: the decoder cut them off, so they are no multiples of a step any more.

    (H, W, 3) uint8 -> (H // 8, W // 8) bool.
    """
    darkest, brightest = pixels.min(2), pixels.max(2)
    ends = (darkest <= DARKEST) | (brightest >= BRIGHTEST)
    return np.asarray(means(ends.astype(np.float32), BLOCK) > MAX_CLIPPED_SHARE)
