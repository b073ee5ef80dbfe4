"""Compression, resizing, blur, noise and colour changes of one picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB


def jpeg(picture: Picture, quality: int) -> Picture:
    """Encode as JPEG of `quality` (1..100; 4:2:0 chroma) and decode again."""
    bgr = picture[:, :, ::-1]
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the JPEG encoder gave nothing")
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
    noise = rng.normal(0.0, sigma, picture.shape).astype(np.float32)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)


def shift_colour(picture: Picture, gain: float, offset: float, saturation: float, gamma: float = 1.0) -> Picture:
    """Contrast around mid-grey, brightness (grey levels), saturation around luma, and gamma, in this order."""
    values = (picture.astype(np.float32) - 127.5) * gain + 127.5 + offset
    luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
    values = luma[:, :, None] + (values - luma[:, :, None]) * saturation
    values = np.clip(values, 0, 255)
    if gamma != 1.0:
        values = 255.0 * (values / 255.0) ** gamma
    return np.asarray(np.rint(values), np.uint8)
