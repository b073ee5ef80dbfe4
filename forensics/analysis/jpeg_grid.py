"""Grids of JPEG compression found by counting DCT zeros, with a number of false alarms.

Quantisation sets most coefficients of a block to zero, but only of the blocks that the encoder cut. Every pixel votes for
the block around it, of all 64 positions, that has the most zeros; an origin that far more pixels vote for than one in 64
is a grid, in the whole picture or in a part of it.
Nikoukhah, Anger, Ehret, Colom, Morel, Grompone von Gioi: ZERO: a Local JPEG Grid Origin Detector Based on the Number of DCT
Zeros and its Applications in Image Forensics (2021, Image Processing On Line 11).
Here votes are gathered per 8 x 8 cell before regions are grown, and the binomial tail is bounded by Chernoff's inequality
(1952), so a number of false alarms is never understated. The paper's second search, for parts without the picture's
grid, is left out.
Limits: needs zeros, which the highest qualities leave few of; a part pasted onto the picture's own grid (one in 64) is not
seen; what repeats every four or eight pixels for another reason (transposed convolutions) can look like a grid.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.blocks import BLOCK, DCT_ROWS, is_smaller, luma
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, State, inconclusive, not_applicable

ORIGINS = BLOCK * BLOCK
MIN_SIDE_PX = 64  # 64 votes per origin are expected then, and 64 independent ones are cast in all
# A coefficient below this counts as zero: a hair less than the paper's 0.5, which integers often give exactly, so that
# rounding in single precision decides nothing.
ZERO_BELOW = 0.4999
# The paper decides at one false alarm per picture; here a thousandth, since fabrics and screens repeat every eight pixels.
MAX_FALSE_ALARMS = 1e-3
# A cell belongs to an origin that has this share of its 64 votes (one in 64 is chance).
CELL_SHARE = 0.25
MIN_CELLS = 6
# What is computed at once: 64 coefficients of eight rows fit into a cache, the horizontal ones of all rows into 100 MB.
CHUNK_COLUMNS = 1024
CHUNK_PIXELS = 1 << 20
MIN_CHUNK_COLUMNS = 64
VOTES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Grid:
    """An origin (0 .. 7 each) and how sure it is: log10_nfa is the logarithm of the number of false alarms.

    box: left, top, right, bottom in pixels of the part that it was found in.
    """

    top: int
    left: int
    log10_nfa: float
    box: tuple[int, int, int, int]


def zero_counts(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How many DCT coefficients of the block at each place are zero, DC aside: (H, W) uint8 -> (H, W) uint8.

    A block without any change along its rows or along its columns has zeros without compression, and counts 0, as does
    one that does not fit into the picture.
    """
    height, width = gray.shape
    counts = np.zeros((height, width), np.uint8)
    # Eight rows of blocks from fifteen rows of pixels, all vertical frequencies, in one product: (64, 15).
    down = np.zeros((ORIGINS, 2 * BLOCK - 1), np.float32)
    for row in range(BLOCK):
        down[row * BLOCK : (row + 1) * BLOCK, row : row + BLOCK] = DCT_ROWS
    at_once = int(np.clip(CHUNK_PIXELS // height, MIN_CHUNK_COLUMNS, CHUNK_COLUMNS))
    for left in range(0, width - BLOCK + 1, at_once):
        columns = min(at_once, width - BLOCK + 1 - left)
        chunk = gray[:, left : left + columns + BLOCK - 1].astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(chunk, BLOCK, axis=1)
        across = (windows.reshape(-1, BLOCK) @ DCT_ROWS.T).reshape(height, columns * BLOCK)
        for top in range(0, height - BLOCK + 1, BLOCK):
            rows = min(BLOCK, height - BLOCK + 1 - top)
            basis = down[: rows * BLOCK, : rows + BLOCK - 1]
            small = np.abs(basis @ across[top : top + rows + BLOCK - 1]) < ZERO_BELOW
            sums = small.reshape(rows, BLOCK, columns * BLOCK).view(np.uint8).sum(1, dtype=np.uint8)
            # Eight counts of at most eight lie in one 64-bit word: a product adds them up in its highest byte.
            words = sums.view(np.uint64) * np.uint64(0x0101010101010101)
            counts[top : top + rows, left : left + columns] = (words >> np.uint64(56)).astype(np.uint8)
    counts[_without_change(gray)] = 0
    return counts


def _without_change(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Places whose block has equal rows or equal columns."""
    flat = np.zeros(gray.shape, np.bool_)
    height, width = gray.shape
    for axis, shape in ((1, (BLOCK, BLOCK - 1)), (0, (BLOCK - 1, BLOCK))):
        equal = np.zeros(gray.shape, np.uint8)
        equal[: height - (axis == 0), : width - (axis == 1)] = np.diff(gray.astype(np.int16), axis=axis) == 0
        kernel = np.ones(shape, np.uint8)
        flat |= cv2.erode(equal, kernel, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    return flat


def votes(gray: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The grid origin that each pixel votes for: (H, W) int8, 8 * top + left, or -1 where two blocks have most zeros."""
    counts = zero_counts(gray).astype(np.uint16)
    phase = (np.arange(gray.shape[0])[:, None] % BLOCK * BLOCK + np.arange(gray.shape[1])[None, :] % BLOCK).astype(
        np.uint16
    )
    kernel = np.ones((BLOCK, BLOCK), np.uint8)
    corner = (BLOCK - 1, BLOCK - 1)
    # Ties are told by asking twice: the greatest and the least origin among the blocks with the most zeros.
    greatest = cv2.dilate(counts * ORIGINS + phase, kernel, anchor=corner)
    least = cv2.dilate(counts * ORIGINS + (ORIGINS - 1 - phase), kernel, anchor=corner)
    origin = (greatest % ORIGINS).astype(np.int8)
    is_alone = origin == (ORIGINS - 1 - least % ORIGINS).astype(np.int8)
    return np.where(is_alone & (greatest >= ORIGINS), origin, np.int8(-1)).astype(np.int8)


def votes_per_cell(votes_: NDArray[np.int8]) -> NDArray[np.int32]:
    """(H, W) votes -> (H // 8, W // 8, 64): how many pixels of each cell vote for each origin."""
    rows, columns = votes_.shape[0] // BLOCK, votes_.shape[1] // BLOCK
    table = np.zeros((rows, columns, ORIGINS), np.int32)
    cell = np.arange(columns * BLOCK) // BLOCK
    at_once = max(1, VOTES_AT_ONCE // (columns * BLOCK * BLOCK))
    for first in range(0, rows, at_once):
        n = min(at_once, rows - first)
        strip = votes_[first * BLOCK : (first + n) * BLOCK, : columns * BLOCK].astype(np.int64)
        index = (np.arange(n * BLOCK)[:, None] // BLOCK * columns + cell[None, :]) * ORIGINS + strip
        found = np.bincount(index[strip >= 0], minlength=n * columns * ORIGINS)
        table[first : first + n] = found.reshape(n, columns, ORIGINS)
    return table


def log10_false_alarms(n_votes: float, pixels: float, tests: float) -> float:
    """Logarithm of the expected number of origins, in `tests` tries, with as many votes by chance.

    Votes of one block's pixels depend on each other, so 64 of them count as one (the paper, section 4).
    """
    n, k = pixels / ORIGINS, n_votes / ORIGINS
    chance = 1 / ORIGINS
    share = min(k / n, 1.0) if n > 0 else 0.0
    if share <= chance:
        return float(np.log10(tests))
    divergence = share * np.log(share / chance)
    if share < 1:
        divergence += (1 - share) * np.log((1 - share) / (1 - chance))
    return float((np.log(tests) - n * divergence) / np.log(10))


def main_grid(table: NDArray[np.int32]) -> Grid:
    """The origin with the most votes in the whole picture, however few they are."""
    rows, columns = table.shape[:2]
    totals = table.sum((0, 1))
    best = int(totals.argmax())
    pixels = rows * columns * ORIGINS
    false_alarms = log10_false_alarms(float(totals[best]), pixels, ORIGINS)
    return Grid(best // BLOCK, best % BLOCK, false_alarms, (0, 0, columns * BLOCK, rows * BLOCK))


def local_grids(table: NDArray[np.int32], main: int | None) -> list[tuple[Grid, NDArray[np.bool_]]]:
    """Connected parts that vote for another origin than `main`, the surest first, each with its cells (rows, columns).

    The number of tests is the paper's: 64 origins times as many rectangles as the picture has pixels to the power of 3/2.
    """
    rows, columns = table.shape[:2]
    tests = ORIGINS * float(rows * columns * ORIGINS) ** 1.5
    found = []
    for origin in range(ORIGINS):
        if origin == main:
            continue
        cells = (table[..., origin] >= CELL_SHARE * ORIGINS).astype(np.uint8)
        if int(cells.sum()) < MIN_CELLS:
            continue
        # Cells that did not vote (flat ones) lie between those that did.
        closed = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        for label in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[label])
            if area < MIN_CELLS:
                continue
            part = labels[top : top + height, left : left + width] == label
            in_box = table[top : top + height, left : left + width, origin]
            sure = log10_false_alarms(float(in_box[part].sum()), width * height * ORIGINS, tests)
            if sure < 0:
                box = (left * BLOCK, top * BLOCK, (left + width) * BLOCK, (top + height) * BLOCK)
                found.append((Grid(origin // BLOCK, origin % BLOCK, sure, box), labels == label))
    return sorted(found, key=lambda pair: pair[0].log10_nfa)


def examine(picture: Picture) -> Finding:
    """State, and a map of the parts with a grid of their own."""
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    table = votes_per_cell(votes(luma(picture.pixels)))
    limit = float(np.log10(MAX_FALSE_ALARMS))
    main = main_grid(table)
    has_grid = main.log10_nfa <= limit
    others = local_grids(table, main.top * BLOCK + main.left if has_grid else None)
    sure = [pair for pair in others if pair[0].log10_nfa <= limit]
    values = np.zeros(table.shape[:2], np.float32)
    for grid, cells in others:
        values[cells] = np.maximum(values[cells], min(1.0, -grid.log10_nfa / 10))
    caption = "Parts whose votes point to a JPEG grid of another origin; 1 = ten orders of magnitude beyond chance."
    maps = (Map("jpeg-grid", values, caption),)
    measures = {
        "main_grid_top": main.top if has_grid else None,
        "main_grid_left": main.left if has_grid else None,
        "main_grid_log10_nfa": main.log10_nfa,
        "parts_with_another_grid": len(sure),
    }
    statistic = max(0.0, -others[0][0].log10_nfa) if others else 0.0
    if not has_grid and not sure:
        said = inconclusive(
            "No JPEG grid was found, in the whole picture or in a part of it: it was never compressed, at a high quality, "
            f"or was resized since (log10 of the number of false alarms {main.log10_nfa:.1f} for the likeliest origin).",
            measures,
        )
        return Finding(said.state, said.observation, measures, statistic, maps)
    origin = (
        f"A JPEG grid with its origin at row {main.top}, column {main.left} covers the picture " if has_grid else ""
    )
    if has_grid:
        origin += f"(log10 of the number of false alarms {main.log10_nfa:.1f})"
        origin += (
            "." if main.top == main.left == 0 else ", which is consistent with a crop after an earlier compression."
        )
    if not sure:
        return Finding("consistent", f"{origin} No part of it has another grid.", measures, statistic, maps)
    grid = sure[0][0]
    # Without a grid around it, a part with one may as well be a photograph on a page.
    state: State = "inconsistent" if has_grid else "suspicious"
    observation = (
        f"{origin} {len(sure)} part(s) have a grid of their own: the surest lies at x {grid.box[0]} to {grid.box[2]}, "
        f"y {grid.box[1]} to {grid.box[3]} px, with its origin at row {grid.top}, column {grid.left} "
        f"(log10 of the number of false alarms {grid.log10_nfa:.1f})."
    ).strip()
    return Finding(state, observation, measures, statistic, maps)


ANALYSIS = Analysis[Picture](
    name="jpeg-grid",
    title="Grids of JPEG compression",
    family="compression",
    needs="picture",
    question="Do all parts of the picture lie on the same grid of 8 x 8 blocks?",
    method="Every pixel votes for the 8 x 8 block around it that has the most zero coefficients; origins with more votes "
    "than chance allows are grids, and a part with a grid of its own came from another file or was moved.",
    citation="Nikoukhah, Anger, Ehret, Colom, Morel, Grompone von Gioi: ZERO: a Local JPEG Grid Origin Detector Based on "
    "the Number of DCT Zeros and its Applications in Image Forensics, Image Processing On Line 11 (2021)",
    limits="Blind at the highest JPEG qualities, after a resize, and to parts that lie on the picture's own grid by chance "
    "(one in 64).",
    benign=(
        "a collage, a screenshot of a page with photographs, a logo or a frame laid over a photograph",
        "fabric, facades and screens that repeat every eight pixels",
        "retouching that moved a part within the same picture",
    ),
    parameters={
        "max_false_alarms": MAX_FALSE_ALARMS,
        "zero_below": ZERO_BELOW,
        "cell_share": CELL_SHARE,
        "min_cells": MIN_CELLS,
    },
    examine=examine,
)
