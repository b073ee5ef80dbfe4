"""Many pictures as one, to look at."""

import numpy as np
from numpy.typing import NDArray

GAP_PX = 2
PAPER = 255


def tile(pictures: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 -> (H', W', 3): rows of `columns` from the top left, GAP_PX of white between them.

    Places that are left over are white; fewer pictures than columns make a narrower grid. Raises ValueError for no
    pictures and for fewer than one column.
    """
    if pictures.ndim != 4 or len(pictures) < 1 or columns < 1:
        raise ValueError(f"cannot tile pictures of shape {pictures.shape} in {columns} columns")
    n, height, width, channels = pictures.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    step_y, step_x = height + GAP_PX, width + GAP_PX
    sheet = np.full((rows * step_y - GAP_PX, columns * step_x - GAP_PX, channels), PAPER, np.uint8)
    for k, picture in enumerate(pictures):
        y, x = k // columns * step_y, k % columns * step_x
        sheet[y : y + height, x : x + width] = picture
    return sheet


def columns_for(n: int) -> int:
    """Columns that make a grid of `n` pictures about square, wider rather than taller."""
    return max(1, int(np.ceil(np.sqrt(n))))
