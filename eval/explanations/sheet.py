"""explanations.png: faces with the edge of their mask, and beside each its heatmap, for a look at what the figures say.

A green frame: the hottest place lies in the mask. Rows are read from left to right; which faces are shown is chance.
Limits: the sheet shows pictures of the data; it is for the person who may see these, and not part of any report.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from eval.explanations.judging import Shown
from forensics.report.pictures import overlay_heatmap

TILE_PX = 128
FRAME_PX = 4
PAIRS_PER_ROW = 4
HIT, MISS, EDGE = (40, 160, 60), (200, 60, 50), (255, 255, 255)


def draw_sheet(shown: Sequence[Shown]) -> bytes:
    """A PNG of all pairs. Raises ValueError for none."""
    if not shown:
        raise ValueError("nothing to show")
    pairs = [_pair(one) for one in shown]
    blank = np.full_like(pairs[0], 255)
    rows = [pairs[start : start + PAIRS_PER_ROW] for start in range(0, len(pairs), PAIRS_PER_ROW)]
    width = min(PAIRS_PER_ROW, len(pairs))
    sheet = np.concatenate([np.concatenate([*row, *[blank] * (width - len(row))], axis=1) for row in rows])
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
    if not done:
        raise ValueError("the sheet could not be encoded")
    return encoded.tobytes()


def _pair(one: Shown) -> NDArray[np.uint8]:
    size = TILE_PX, TILE_PX
    crop = np.asarray(cv2.resize(one.face.crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    mask = cv2.resize(one.face.altered.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    edges, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    marked = np.ascontiguousarray(crop.copy())
    cv2.drawContours(marked, edges, -1, EDGE, 1)
    heat = overlay_heatmap(crop, one.heat)
    tiles = np.concatenate([marked, heat], axis=1)
    framed = np.empty((tiles.shape[0] + 2 * FRAME_PX, tiles.shape[1] + 2 * FRAME_PX, 3), np.uint8)
    framed[:] = HIT if one.is_hit else MISS
    framed[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = tiles
    return framed
