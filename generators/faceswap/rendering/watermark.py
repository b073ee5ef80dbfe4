"""A mark in the picture itself that says it is synthetic: what stays when a platform has stripped the tags.

The text stands at the bottom in white with a dark outline, both half transparent, and grows with the frame. It is drawn
once for each size of frame; marking a frame then blends one small box. Limits: it can be cropped or painted over.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

TEXT = "SYNTHETIC"
# Capital letters are this share of the frame's shorter side high, and no lower than can be read.
LETTER_SHARE = 0.05
LETTER_MIN_PX = 9.0
WIDTH_SHARE = 0.9  # of the frame, at most
LETTER_UNITS = 21.0  # height of this font's capitals at a scale of 1
FONT = cv2.FONT_HERSHEY_SIMPLEX
FILL_OPACITY, OUTLINE_OPACITY = 0.7, 0.4
FIXED_POINT = 8  # bits of the weights


@dataclass(frozen=True, eq=False)
class _Mark:
    """Where the mark lies in a frame, and by the point: its weight there, and its colour times that weight."""

    top: int
    left: int
    kept: NDArray[np.uint16]  # (h, w, 1), 256 minus the weight
    added: NDArray[np.uint16]  # (h, w, 1)


def watermarked(frame: NDArray[np.uint8], text: str = TEXT) -> NDArray[np.uint8]:
    """A copy of the frame, (H, W, 3) uint8 RGB, with the text at its bottom; the same frame gives the same bytes.

    Raises ValueError for a text that is empty or has other characters than printable ASCII.
    """
    mark = _mark(frame.shape[0], frame.shape[1], text)
    height, width = mark.kept.shape[:2]
    marked = frame.copy()
    box = marked[mark.top : mark.top + height, mark.left : mark.left + width]
    box[:] = (box * mark.kept + mark.added) >> FIXED_POINT
    return marked


@lru_cache(maxsize=8)
def _mark(height: int, width: int, text: str) -> _Mark:
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("a watermark is a text of printable ASCII characters")
    letter_px = max(LETTER_MIN_PX, LETTER_SHARE * min(height, width))
    (text_units, _), _ = cv2.getTextSize(text, FONT, 1.0, 1)
    scale = min(letter_px / LETTER_UNITS, WIDTH_SHARE * width / text_units)
    stroke = max(1, round(2.5 * scale))
    (text_px, above_px), below_px = cv2.getTextSize(text, FONT, scale, stroke)
    margin = 2 * stroke + 1
    box = (min(height, above_px + below_px + 2 * margin), min(width, text_px + 2 * margin))
    place = ((box[1] - text_px) // 2, box[0] - margin - below_px)
    fill = np.zeros(box, np.uint8)
    cv2.putText(fill, text, place, FONT, scale, 255, stroke, cv2.LINE_AA)
    around = cv2.dilate(fill, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * stroke + 1, 2 * stroke + 1)))
    white = fill / 255
    weight = FILL_OPACITY * white + OUTLINE_OPACITY * (around / 255) * (1 - white)
    one = 1 << FIXED_POINT
    kept = np.rint(one * (1 - weight))
    added = np.minimum(np.rint(255 * one * FILL_OPACITY * white), 255 * (one - kept))
    # One letter's height from the bottom, or as far as there is room.
    top = min(height - box[0], max(0, height - box[0] - round(letter_px)))
    left = (width - box[1]) // 2
    return _Mark(top, left, kept.astype(np.uint16)[:, :, None], added.astype(np.uint16)[:, :, None])
