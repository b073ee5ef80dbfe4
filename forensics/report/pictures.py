"""Pictures of the report: face crops and what the network looked at, as data URIs that a page can carry inside itself.

The heat map is drawn over the crop in a perceptually ordered colour map (inferno: brightness rises with the value, so
that it survives grey printing and colour blindness), and only where there is heat: a cold pixel stays as it was.
Limits: pictures are for looking at. They are reduced and JPEG-compressed; what was analysed is the crop of the record's
`crop_sha256`.
"""

import base64
import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]  # (H, W, 3)

# Two crops side by side fill a column of the page at this size; more pixels would only make the file larger.
MAX_SHOWN_PX = 320

# In a page: wide enough to see a region, and small enough that a page of ten can be sent by mail.
PAGE_MAP_PX = 900
PAGE_MAP_QUALITY = 80

# At this quality, without chroma subsampling, the page's own compression is not visible at reading distance.
JPEG_QUALITY = 92

# Opacity of the hottest pixel: the face must still be recognisable below it.
MAX_OPACITY = 0.7


@dataclass(frozen=True, eq=False)
class MomentPicture:
    """The picture of one moment of the record, which it names by track and time.

    crop: (S, S, 3) uint8 RGB at native resolution. heatmap: (h, w) float32 in [0, 1] over the whole crop, at whatever
    resolution the network has; None where the network gives none.
    """

    track: int
    timestamp_s: float
    crop: Rgb
    heatmap: NDArray[np.float32] | None


def pixels_sha256(crop: Rgb) -> str:
    """The hash by which a record names a crop: of its RGB pixels in row order."""
    return hashlib.sha256(np.ascontiguousarray(crop).tobytes()).hexdigest()


def reduce_picture(picture: Rgb, max_px: int = MAX_SHOWN_PX) -> Rgb:
    """The picture with its longer side at most max_px, by area averaging; a smaller one is returned as it is.

    picture: (H, W, 3) uint8. Raises ValueError for another shape or type, and for an empty one.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
        raise ValueError(f"expected an (H, W, 3) uint8 picture, got {picture.shape} {picture.dtype}")
    height, width = picture.shape[:2]
    factor = max_px / max(height, width)
    if factor >= 1:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def overlay_heatmap(picture: Rgb, heatmap: NDArray[np.float32]) -> Rgb:
    """The picture with the heat map over it, enlarged bilinearly to its size; opacity follows the heat.

    picture: (H, W, 3) uint8 RGB. heatmap: (h, w) in [0, 1]. Returns (H, W, 3) uint8; where heat is 0 the pixel is
    unchanged. Raises ValueError for a heat map that is not two-dimensional or leaves the range.
    """
    if heatmap.ndim != 2 or heatmap.size == 0:
        raise ValueError(f"expected an (h, w) heat map, got {heatmap.shape}")
    if not (np.isfinite(heatmap).all() and heatmap.min() >= 0 and heatmap.max() <= 1):
        raise ValueError("a heat map lies in [0, 1]")
    height, width = picture.shape[:2]
    heat = np.clip(cv2.resize(heatmap.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = MAX_OPACITY * heat[..., None]  # (H, W, 1)
    mixed = picture * (1 - opacity) + colours[..., ::-1] * opacity  # OpenCV's colours are BGR
    return np.asarray(np.rint(mixed), np.uint8)


def data_uri(picture: Rgb, max_px: int = MAX_SHOWN_PX, quality: int = JPEG_QUALITY) -> str:
    """The picture as `data:image/jpeg;base64,...`, reduced to max_px before; the same pixels give the same text.

    picture: (H, W, 3) uint8 RGB. Raises ValueError for another shape, and if it cannot be encoded.
    """
    bgr = np.ascontiguousarray(reduce_picture(picture, max_px)[..., ::-1])
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    done, encoded = cv2.imencode(".jpg", bgr, options)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} could not be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def crop_uri(picture: MomentPicture) -> str:
    """The bare crop of a moment as a data URI."""
    return data_uri(picture.crop)


def heatmap_uri(picture: MomentPicture) -> str | None:
    """The crop of a moment with its heat map as a data URI; None where there is no heat map."""
    if picture.heatmap is None:
        return None
    return data_uri(overlay_heatmap(reduce_picture(picture.crop), picture.heatmap))


def map_uri(png: bytes) -> str | None:
    """A map that was written as a PNG, as a data URI, reduced to PAGE_MAP_PX; None where it cannot be read."""
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return (
        None if picture is None else data_uri(np.ascontiguousarray(picture[..., ::-1]), PAGE_MAP_PX, PAGE_MAP_QUALITY)
    )
