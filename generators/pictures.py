"""Networks' pictures as bytes: tensors to uint8, and files that appear whole or not at all."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.common.files import write_atomic

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Pictures = NDArray[np.uint8]  # (N, H, W, 3) RGB


def to_uint8(pictures: torch.Tensor) -> Pictures:
    """(N, 3, H, W) in [-1, 1], any float type and device -> (N, H, W, 3) uint8, rounded to the nearest, clipped.

    The inverse of x / 127.5 - 1: bytes that went in come out. Raises ValueError for values that are not finite.
    """
    values = pictures.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    if not bool(torch.isfinite(values).all()):  # clamp keeps NaN; infinities have become black and white
        raise ValueError("pictures hold values that are not finite")
    return values.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def encoded(rgb: Picture, picture_format: str = "png") -> bytes:
    """(H, W, 3) uint8 RGB as a file's bytes, without metadata; "png", or "jpeg:Q" with Q in 1..100 (4:2:0 chroma)."""
    extension, settings = encoding_of(picture_format)
    done, data = cv2.imencode(extension, np.ascontiguousarray(rgb[:, :, ::-1]), settings)
    if not done:
        raise ValueError(f"the encoder of {extension} gave nothing")
    return data.tobytes()


def encoding_of(picture_format: str) -> tuple[str, list[int]]:
    """A file's extension and OpenCV's settings. Raises UsageError for another format."""
    name, _, quality = picture_format.partition(":")
    if picture_format == "png":
        return ".png", []
    if name == "jpeg" and quality.isdecimal() and 1 <= int(quality) <= 100:
        return ".jpg", [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    raise UsageError(f"there is no picture format '{picture_format}'", "png, or jpeg:Q with Q from 1 to 100")


def write_png(path: Path, rgb: Picture) -> None:
    """Write (H, W, 3) uint8 RGB as a PNG, atomically; the same picture gives the same bytes."""
    write_atomic(path, encoded(rgb))
