"""Spectral features of a face crop: azimuthally averaged power and block-DCT statistics.

Up-sampling layers leave a spectrum that natural pictures do not have: too little or too regular energy near the Nyquist
frequency, and peaks at fixed places of the block DCT.
Durall, Keuper, Pfreundt, Keuper: Unmasking DeepFakes with simple Features (2019), arXiv 1911.00686, section 3; Frank et
al.: Leveraging Frequency Analysis for Deep Fake Image Recognition (2020), arXiv 2003.08685, section 3.
Limits: nearly blind to blended swaps; shifts with JPEG quality and with any resize of the picture before it came here.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from forensics.common.errors import DetectorError

PROFILE_BINS = 48
BLOCK = 8  # of JPEG and of most up-sampling periods
N_FEATURES = PROFILE_BINS + BLOCK * BLOCK
MIN_SIDE_PX = 24
# The middle of larger crops is enough for stable averages, and a spectrum's cost grows with the area.
MAX_SIDE_PX = 256
# Below this power (of 8-bit input) the logarithm measures quantisation noise, not content.
FLOOR_POWER = 1e-2
FLOOR_DCT = 1e-3


def azimuthal_profile(gray: NDArray[np.float32], bins: int = PROFILE_BINS) -> NDArray[np.float32]:
    """Mean log power over all directions, at `bins` radii from near DC to the Nyquist frequency.

    gray: (H, W) float in [0, 255], at least MIN_SIDE_PX on each side. Bin k is centred on (k + 0.5) / bins of the
    Nyquist frequency (0.5 cycles per pixel). Returns (bins,) float32 in dB, relative to the profile's mean, so that
    contrast does not matter. Raises DetectorError for a smaller picture.
    """
    height, width = gray.shape
    if min(height, width) < MIN_SIDE_PX:
        raise DetectorError(f"a spectrum needs {MIN_SIDE_PX} pixels, the crop has {min(height, width)}")
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    centred = (gray - gray.mean()) * window
    power = np.abs(np.fft.rfft2(centred)) ** 2 / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    index = np.minimum((radius * 2 * bins).astype(np.int64), bins)  # the corners beyond Nyquist share the last place
    counts = np.bincount(index.ravel(), minlength=bins + 1)[:bins]
    sums = np.bincount(index.ravel(), np.log10(power + FLOOR_POWER).ravel(), bins + 1)[:bins]
    filled = np.flatnonzero(counts)
    profile = np.interp(np.arange(bins), filled, 10 * sums[filled] / counts[filled])
    return np.asarray(profile - profile.mean(), np.float32)


def block_dct_profile(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean log magnitude of each coefficient of the 8 x 8 DCT-II over all whole blocks.

    gray: (H, W) float in [0, 255]. Returns (64,) float32 in row order; the first (DC) is set to 0: it is brightness.
    """
    height, width = (side // BLOCK * BLOCK for side in gray.shape)
    blocks = gray[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)
    coefficients = dctn(blocks, axes=(2, 3), norm="ortho")
    profile = np.log10(np.abs(coefficients) + FLOOR_DCT).mean((0, 1)).ravel()
    profile[0] = 0.0
    return np.asarray(profile, np.float32)


def spectrum_features(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Both profiles of a crop at native resolution: (S, S, 3) uint8 RGB -> (N_FEATURES,) float32.

    Of a crop larger than MAX_SIDE_PX, the middle of that size, moved to whole 8 x 8 blocks of the crop.
    """
    offset = max(0, (min(crop.shape[:2]) - MAX_SIDE_PX) // 2 // BLOCK * BLOCK)
    crop = crop[offset : offset + MAX_SIDE_PX, offset : offset + MAX_SIDE_PX]
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.concatenate([azimuthal_profile(gray), block_dct_profile(gray)])
