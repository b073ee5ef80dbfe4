"""Training pairs of a swap: a face warped at random, and the same face as it should be drawn.

The recipe of the original face-swap autoencoder (2017; described by Korshunov and Marcel 2018, arXiv 1812.08685, section
3): the aligned face of 256 px is rotated, zoomed, shifted and mirrored at random; a grid of 5 x 5 points over its middle
220 px is moved by N(0, sigma) and interpolated: along it the input is sampled. The target is the face under the similarity
nearest to the moved grid (Umeyama 1991), so that it is drawn where the warped face was. A decoder that undoes random warps
of one person must know how that person looks, whatever comes in.
Two departures, in sampling alone: both pictures are sampled once from the face (the original resamples the input three
times), after averaging it to about twice their size (the original skips pixels); and the target lies half a pixel
elsewhere, so that a pixel of the input and of the target cover the same ground.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.seeds import rng_for
from forensics.faces.similarity import similarity
from generators.data.order import batch_indices
from generators.faceswap.alignment import ALIGNED_PX, Matrix, Points, inverse, rescaled, transform
from generators.faceswap.config import SwapConfig

# The middle of the aligned face, which is all that the networks see: 128 - 110 to 128 + 110.
SEEN_FROM, SEEN_PX = 18.0, 220.0
GRID = 5  # points on a side of the warp's grid
WARP_STREAM = 0x57A9
CENTRE = (ALIGNED_PX - 1) / 2
STEPS_AHEAD = 4


@dataclass(frozen=True, eq=False)
class Pairs:
    """warped, target: uint8 (N, P, P, 3); mask: uint8 (N, P, P), 255 inside the face's outline, lying as the target."""

    warped: NDArray[np.uint8]
    target: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    def __getitem__(self, rows: slice) -> "Pairs":
        return Pairs(self.warped[rows], self.target[rows], self.mask[rows])


@dataclass(frozen=True, eq=False)
class Faces:
    """One person's aligned faces, averaged to the size that pairs are sampled from.

    pictures: uint8 (N, S, S, 3); masks: uint8 (N, S, S), 255 inside the face's outline.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pictures)


def prepared(aligned: NDArray[np.uint8], masks: NDArray[np.uint8], image_px: int) -> Faces:
    """Faces for pairs of `image_px`, from aligned ones (N, 256, 256, 3) and their outlines (N, 256, 256)."""
    side = min(ALIGNED_PX, round(2 * image_px * ALIGNED_PX / SEEN_PX))

    def reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)

    return Faces(np.stack([reduced(p) for p in aligned]), np.stack([reduced(m) for m in masks]))


def seen_by(image_px: int) -> Matrix:
    """From the aligned face to the networks' input, without any warp."""
    factor = image_px / SEEN_PX
    return np.array([[factor, 0, -SEEN_FROM * factor - 0.5], [0, factor, -SEEN_FROM * factor - 0.5]])


def pairs(faces: Faces, indices: NDArray[np.int64], config: SwapConfig, seed_path: tuple[int, ...]) -> Pairs:
    """One pair per index. What is drawn is a function of (config.seed, seed_path) and of the row."""
    n, px = len(indices), config.image_px
    warped = np.empty((n, px, px, 3), np.uint8)
    target = np.empty((n, px, px, 3), np.uint8)
    mask = np.empty((n, px, px), np.uint8)
    draws = rng_for(config.seed, WARP_STREAM, *seed_path)
    # Pictures lie on the faces as they were reduced; the recipe's pixels are those of 256.
    share = faces.pictures.shape[1] / ALIGNED_PX
    for row, index in enumerate(indices):
        to_face = rescaled(inverse(random_affine(draws, config)), share)
        grid = warped_grid(draws, config.warp_px)
        # Interpolation between points and an affine matrix may change places: the matrix takes 25 points instead of all.
        x, y = spread(transform(grid, to_face), px)
        cv2.remap(faces.pictures[index], x, y, cv2.INTER_LINEAR, warped[row], cv2.BORDER_REPLICATE)
        drawn = composed(to_face, inverse(target_matrix(grid, px)))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(faces.pictures[index], drawn, (px, px), target[row], flags, cv2.BORDER_REPLICATE)
        cv2.warpAffine(faces.masks[index], drawn, (px, px), mask[row], flags, cv2.BORDER_CONSTANT)
    return Pairs(warped, target, mask)


def random_affine(draws: np.random.Generator, config: SwapConfig) -> Matrix:
    """Of the aligned face in itself: turned and zoomed about its centre, shifted, mirrored."""
    angle, zoom, x, y = draws.uniform(-1, 1, 4)
    matrix = cv2.getRotationMatrix2D((CENTRE, CENTRE), angle * config.rotation_deg, 1 + zoom * config.zoom)
    matrix[:, 2] += [x * config.shift * ALIGNED_PX, y * config.shift * ALIGNED_PX]
    if draws.random() < config.flip:
        matrix[0] = -matrix[0] + [0, 0, 2 * CENTRE]
    return np.asarray(matrix, np.float64)


def warped_grid(draws: np.random.Generator, sigma_px: float) -> Points:
    """(GRID, GRID, 2) points (x, y) over what the networks see, each moved by N(0, sigma) in x and in y."""
    line = np.linspace(SEEN_FROM, SEEN_FROM + SEEN_PX, GRID)
    still = np.stack(np.meshgrid(line, line), -1)
    return still + draws.normal(0, 1, still.shape) * sigma_px


def spread(grid: Points, px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y (px, px): the grid (GRID, GRID, 2) interpolated bilinearly to pixels.

    The same as resizing it to 5/4 px and cutting off an eighth at each side.
    """
    weights = _weights(px)
    x, y = ((weights @ grid[..., k] @ weights.T).astype(np.float32) for k in (0, 1))
    return x, y


@lru_cache(maxsize=4)
def _weights(px: int) -> NDArray[np.float64]:
    """(px, GRID): how much of each point of a line is in each pixel."""
    place = (np.arange(px) + 0.5) * (GRID - 1) / px
    before = np.minimum(place.astype(np.int64), GRID - 2)
    weights = np.zeros((px, GRID))
    weights[np.arange(px), before] = 1 - (place - before)
    weights[np.arange(px), before + 1] = place - before
    weights.flags.writeable = False  # it is shared by all that ask
    return weights


def target_matrix(grid: Points, px: int) -> Matrix:
    """From the face to the target: the similarity that takes the moved grid nearest to where it was."""
    line = np.linspace(0, px, GRID) - 0.5
    return similarity(grid.reshape(-1, 2), np.stack(np.meshgrid(line, line), -1).reshape(-1, 2))


def composed(second: Matrix, first: Matrix) -> Matrix:
    """First one matrix, then the other."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def endless(
    faces: Sequence[Faces], config: SwapConfig, step: int, rollbacks: int, rows: slice, pool: ThreadPoolExecutor
) -> Iterator[tuple[Pairs, ...]]:
    """Everybody's pairs of `step` and of all steps after it, made ahead by the pool; `rows` of each batch are this
    process's."""

    def made(step: int, who: int) -> Pairs:
        indices = batch_indices(len(faces[who]), config.batch_size, step, config.seed + who)
        return pairs(faces[who], indices, config, (who, rollbacks, step))[rows]

    ahead: deque[list[Future[Pairs]]] = deque()
    while True:
        while len(ahead) < STEPS_AHEAD:
            ahead.append([pool.submit(made, step, who) for who in range(len(faces))])
            step += 1
        yield tuple(future.result() for future in ahead.popleft())
