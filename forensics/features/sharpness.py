"""How sharp a face crop is, at the size at which the network sees it."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Sharpness is compared between crops of all sizes: they are brought to this side first.
REFERENCE_PX = 160


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of luma (Pech-Pacheco et al. 2000), in squared grey levels, at 160 pixels."""
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    shrinks = gray.shape[0] > REFERENCE_PX
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(gray, (REFERENCE_PX, REFERENCE_PX), interpolation=method)
    return float(cv2.Laplacian(resized, cv2.CV_32F).var())
