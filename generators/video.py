"""Frames as a clip: MP4 (H.264) and GIF, whole or not at all, the same bytes for the same frames.

GIF89a (CompuServe 1990) counts time in hundredths of a second, so its rate is the nearest it has, and knows 256 colours
a frame. Both say that they are synthetic: the GIF in its comment, the MP4 in its tags (`generators.provenance`).
"""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from forensics.common.files import write_atomic
from forensics.perturb.clip import recompress_clip
from generators.pictures import Picture
from generators.provenance import COMMENT, synthetic_tags

# x264's "looks as the original" (its default is 23): a clip of a generator is to be looked at.
MP4_CRF = 18.0
COLOURS = 256
DRAWN = "Frames drawn by a generative network"


def write_mp4(path: Path, frames: Iterable[Picture], fps: float) -> int:
    """Write frames of one size, (H, W, 3) uint8 RGB; returns how many. Odd sides grow by a pixel. ValueError for none."""
    rate = Fraction(fps).limit_denominator(1001)
    timed = ((float(k / rate), frame) for k, frame in enumerate(frames))
    return recompress_clip(timed, path, MP4_CRF, metadata=synthetic_tags(DRAWN))


def write_gif(path: Path, frames: Iterable[Picture], fps: float) -> int:
    """Write frames of one size as an endless GIF; returns how many. ValueError for none."""
    n = 0

    def pages() -> Iterator[Image.Image]:
        nonlocal n
        for frame in frames:
            n += 1
            yield Image.fromarray(frame).quantize(COLOURS, Image.Quantize.MEDIANCUT)

    rest = pages()  # Pillow takes them one by one, and keeps of each what has changed
    first = next(rest, None)
    if first is None:
        raise ValueError("a clip needs at least one frame")
    # Two hundredths is the shortest that viewers honour; a shorter one they slow down to a tenth of a second.
    duration_ms = 10 * max(2, round(100 / fps))
    buffer = io.BytesIO()
    comment = COMMENT.encode("ascii")
    first.save(
        buffer, "GIF", save_all=True, append_images=rest, duration=duration_ms, loop=0, comment=comment, disposal=1
    )
    write_atomic(path, buffer.getvalue())
    return n


def enlarged(frame: Picture, side_px: int) -> Picture:
    """(H, H, 3) -> (side_px, side_px, 3): bicubic upwards, area averaging downwards."""
    if frame.shape[0] == side_px:
        return frame
    how = cv2.INTER_CUBIC if side_px > frame.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(frame, (side_px, side_px), interpolation=how), np.uint8)
