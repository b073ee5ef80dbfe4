"""What a swap draws, as one picture to look at: each row a face of either person.

Columns, for the source's face and then for the target's: the face, its own decoder's drawing, the other one's drawing (the
swap), and the swap's mask.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from generators.faceswap.alignment import ALIGNED_PX, warped
from generators.faceswap.training.networks import SOURCE, TARGET
from generators.faceswap.training.warp_pairs import seen_by
from generators.monitor.grid import tile
from generators.pictures import Pictures

ROWS = 8
COLUMNS = 8
Draw = Callable[[Pictures, int], tuple[Pictures, NDArray[np.uint8]]]


def seen(aligned: Pictures, image_px: int) -> Pictures:
    """Aligned faces (N, 256, 256, 3) as the networks see them: (N, P, P, 3)."""
    return np.stack([warped(face, seen_by(image_px), image_px) for face in aligned])


def resized(faces: Pictures, image_px: int) -> Pictures:
    """Whole aligned faces of any size (N, S, S, 3) as the networks see them."""
    large = [cv2.resize(face, (ALIGNED_PX, ALIGNED_PX), interpolation=cv2.INTER_LINEAR) for face in faces]
    return seen(np.stack(large).astype(np.uint8, copy=False), image_px)


def spread_over(n: int, rows: int) -> list[int]:
    """Indices of `rows` faces evenly spread over n, the same again where there are fewer."""
    return [int((k + 0.5) * n / rows) for k in range(rows)]


def sheet(draw: Draw, source: Pictures, target: Pictures) -> NDArray[np.uint8]:
    """The grid, (H, W, 3) uint8, of faces as the networks see them: (R, P, P, 3) of each person."""
    parts = []
    for faces, own, other in ((source, SOURCE, TARGET), (target, TARGET, SOURCE)):
        swap, mask = draw(faces, other)
        parts += [faces, draw(faces, own)[0], swap, np.repeat(mask[..., None], 3, -1)]
    return tile(np.stack(parts, 1).reshape(-1, *source.shape[1:]), COLUMNS)
