"""Contact sheets: what was extracted, and who is in a clip, to look at before a training run is spent on it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from generators.monitor.grid import tile
from generators.pictures import Picture

CELL_PX, CAPTION_PX, COLUMNS = 112, 15, 12
MAX_FACES = 120
PAPER, INK = 255, (30, 30, 30)


def contact_sheet(pictures: Sequence[Picture], captions: Sequence[str]) -> Picture:
    """Square pictures (H, H, 3) uint8 of any size in rows of 12, reduced to 112 px, a caption (ASCII) under each.

    Raises ValueError for no pictures, or another number of captions.
    """
    cells = [_cell(picture, caption) for picture, caption in zip(pictures, captions, strict=True)]
    return tile(np.stack(cells), COLUMNS)


def evenly(n: int, most: int = MAX_FACES) -> list[int]:
    """Indices of at most `most` of `n` things, evenly spread, first and last among them."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most)).tolist()}) if n else []


def _cell(picture: NDArray[np.uint8], caption: str) -> NDArray[np.uint8]:
    small = cv2.resize(picture, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)
    cell = np.full((CELL_PX + CAPTION_PX, CELL_PX, 3), PAPER, np.uint8)
    cell[:CELL_PX] = small
    at = (2, CELL_PX + CAPTION_PX - 4)
    cv2.putText(cell, caption, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, INK, 1, cv2.LINE_AA)
    return cell
