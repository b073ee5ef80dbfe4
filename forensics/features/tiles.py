"""Tiles of a whole picture at native resolution, for judging it without looking for a face.

A picture that was synthesised as a whole carries traces at the scale of single pixels everywhere, so a few squares that
are copied say as much as the whole, and no resize blurs what is looked for (Chai et al. 2020, arXiv 2008.10588).
Limits: what lies between the tiles of a large picture is not looked at.
"""

import numpy as np
from numpy.typing import NDArray

# As large as the surroundings of a face may be, which detectors of synthesis are trained on.
TILE_PX = 256
# Spread over the picture; more would cost time in proportion and hardly move their mean.
MAX_TILES = 12
# A shorter side than this shows too little to be judged: the spectrum of so small a square is mostly its window's.
MIN_PICTURE_PX = 64
BLOCK = 8  # of JPEG

Picture = NDArray[np.uint8]  # (H, W, 3) RGB


def spread_tiles(picture: Picture) -> list[Picture]:
    """At most MAX_TILES squares of up to TILE_PX, in row order; one where the picture has room for one only.

    picture: (H, W, 3) uint8. Returns copies, (S, S, 3) with S = min(TILE_PX, H, W); the same picture gives the same tiles.
    """
    height, width = picture.shape[:2]
    side = min(TILE_PX, height, width)
    rows, columns = _grid(height, width, side)
    return [
        picture[top : top + side, left : left + side].copy()
        for top in _starts(height, side, rows)
        for left in _starts(width, side, columns)
    ]


def _grid(height: int, width: int, side: int) -> tuple[int, int]:
    """Rows and columns: as many tiles as fit without overlap and are allowed, in cells that are as square as possible."""
    rows = range(1, min(height // side, MAX_TILES) + 1)
    columns = range(1, min(width // side, MAX_TILES) + 1)
    allowed = [(r, c) for r in rows for c in columns if r * c <= MAX_TILES]
    return max(allowed, key=lambda grid: (grid[0] * grid[1], -abs(np.log(height / grid[0]) - np.log(width / grid[1]))))


def _starts(length: int, side: int, n: int) -> list[int]:
    """Where n tiles begin, each in the middle of an n-th of the length.

    Moved back to whole 8 x 8 blocks of the picture, so that the blocks of its JPEG compression lie alike in every tile.
    """
    middles = [(2 * k + 1) * length / (2 * n) for k in range(n)]
    return [int(middle - side / 2) // BLOCK * BLOCK for middle in middles]
