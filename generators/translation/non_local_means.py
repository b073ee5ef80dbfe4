"""OpenCV's non-local means, what denoising is measured against: Buades, Coll, Morel 2005, with OpenCV's own windows."""

import cv2
import numpy as np
from numpy.typing import NDArray

from generators.faceswap.measures import psnr

STRENGTHS = (5, 8, 10, 12, 15, 18, 21, 25)
TEMPLATE_PX, SEARCH_PX = 7, 21


def non_local_means(pictures: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 -> the same, denoised. strength: OpenCV's h, of luminance and colour alike."""
    return np.stack(
        [cv2.fastNlMeansDenoisingColored(p, None, strength, strength, TEMPLATE_PX, SEARCH_PX) for p in pictures]
    )


def best_strength(noisy: NDArray[np.uint8], clean: NDArray[np.uint8]) -> tuple[float, float]:
    """The one of STRENGTHS with the highest mean PSNR on these pictures, and that PSNR in dB."""
    found = {h: float(psnr(non_local_means(noisy, h), clean).mean()) for h in STRENGTHS}
    best = max(found, key=lambda h: found[h])
    return best, found[best]
