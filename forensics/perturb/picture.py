"""Compression, resizing, blur, noise and colour changes of one picture."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
# Values of a picture that are computed at a time: in floating point a whole one would take many times its size.
BLOCK_VALUES = 1 << 20


def jpeg(picture: Picture, quality: int) -> Picture:
    """Encode as JPEG of `quality` (1..100; 4:2:0 chroma) and decode again.

    Raises ValueError for a picture that the format cannot hold (a side of more than 65500 pixels).
    """
    return _encode_and_decode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, int(quality)])


def webp(picture: Picture, quality: int) -> Picture:
    """Encode as lossy WebP of `quality` (1..100; 4:2:0 chroma) and decode again.

    Raises ValueError for a quality outside the range (above it the encoder would be lossless) and for a picture that
    the format cannot hold (a side of more than 16383 pixels).
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"a WebP quality is 1 to 100, not {quality}")
    return _encode_and_decode(picture, ".webp", [cv2.IMWRITE_WEBP_QUALITY, int(quality)])


def _encode_and_decode(picture: Picture, extension: str, settings: list[int]) -> Picture:
    encoded, data = cv2.imencode(extension, picture[:, :, ::-1], settings)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if encoded else None
    if decoded is None:
        size = f"{picture.shape[1]} x {picture.shape[0]}"
        raise ValueError(f"the encoder of {extension} refuses a picture of {size} pixels")
    return np.ascontiguousarray(decoded[:, :, ::-1], np.uint8)


def resize_and_restore(picture: Picture, factor: float) -> Picture:
    """Shrink by `factor` (in (0, 1]) with area averaging, and enlarge to the old size bicubically."""
    height, width = picture.shape[:2]
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    reduced = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def blur(picture: Picture, sigma_px: float) -> Picture:
    """Gaussian blur with the given standard deviation."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.uint8)


def add_noise(picture: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """Add independent Gaussian noise of standard deviation `sigma` (in grey levels of 255)."""
    noisy = np.empty(picture.shape, np.uint8)
    for rows in _row_blocks(picture):
        block = picture[rows]
        noise = rng.normal(0.0, sigma, block.shape).astype(np.float32)  # in order: the same for any size of block
        noisy[rows] = np.clip(np.rint(block + noise), 0, 255)
    return noisy


def shift_colour(picture: Picture, gain: float, offset: float, saturation: float, gamma: float = 1.0) -> Picture:
    """Contrast around mid-grey, brightness (grey levels), saturation around luma, and gamma, in this order."""
    shifted = np.empty(picture.shape, np.uint8)
    for rows in _row_blocks(picture):
        values = (picture[rows].astype(np.float32) - 127.5) * gain + 127.5 + offset
        luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
        values = luma[:, :, None] + (values - luma[:, :, None]) * saturation
        values = np.clip(values, 0, 255)
        if gamma != 1.0:
            values = 255.0 * (values / 255.0) ** gamma
        shifted[rows] = np.rint(values)
    return shifted


def _row_blocks(picture: Picture) -> Iterator[slice]:
    """Slices of rows, first to last, of about BLOCK_VALUES values each."""
    n_rows = max(1, BLOCK_VALUES // max(1, picture[:1].size))
    return (slice(start, start + n_rows) for start in range(0, len(picture), n_rows))


def gamma(picture: Picture, value: float) -> Picture:
    """Raise every channel, as a share of 255, to the power `value`: above 1 darkens, below 1 brightens."""
    if not value > 0:
        raise ValueError(f"a gamma is greater than 0, not {value}")
    table = np.rint(255.0 * (np.arange(256) / 255.0) ** value).astype(np.uint8)
    return table[picture]


def crop_borders(picture: Picture, kept_share: float) -> Picture:
    """The middle of the picture, `kept_share` (in (0, 1]) of each side: the result is SMALLER than the picture.

    Sides are rounded to whole pixels, at least one. The cut falls where it falls: a grid of 8 x 8 blocks moves with it.
    """
    if not 0 < kept_share <= 1:
        raise ValueError(f"the share that is kept lies above 0 and up to 1, not at {kept_share}")
    height, width = (max(1, round(side * kept_share)) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def deliver(picture: Picture, max_side_px: int, quality: int) -> Picture:
    """What a platform hands out: the longest side reduced to `max_side_px` by area averaging, then JPEG of `quality`.

    The result is SMALLER where the picture was larger; a smaller picture keeps its size, and is never enlarged.
    """
    if max_side_px < 1:
        raise ValueError(f"a longest side has at least 1 pixel, not {max_side_px}")
    factor = max_side_px / max(picture.shape[:2])
    if factor < 1:
        height, width = (max(1, round(side * factor)) for side in picture.shape[:2])
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return jpeg(picture, quality)
