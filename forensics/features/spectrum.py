"""Spectral features of a face crop: azimuthally averaged power and block-DCT statistics.

Up-sampling layers leave a spectrum that natural pictures do not have: too little or too regular energy near the Nyquist
frequency, and peaks at fixed places of the block DCT.
Durall, Keuper, Pfreundt, Keuper: Unmasking DeepFakes with simple Features (2019), arXiv 1911.00686, section 3; Frank et
al.: Leveraging Frequency Analysis for Deep Fake Image Recognition (2020), arXiv 2003.08685, section 3.
Limits: nearly blind to blended swaps; shifts with JPEG quality and with any resize of the picture before it came here.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, rfft2

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
# Crops of a data set have one size or a few dozen; what is kept of one takes up to 0.8 MB.
SIZES_KEPT = 32


def azimuthal_profile(gray: NDArray[np.float32], bins: int = PROFILE_BINS) -> NDArray[np.float32]:
    """Mean log power over all directions, at `bins` radii from near DC to the Nyquist frequency.

    gray: (H, W) float in [0, 255], at least MIN_SIDE_PX on each side. Bin k is centred on (k + 0.5) / bins of the
    Nyquist frequency (0.5 cycles per pixel). Returns (bins,) float32 in dB, relative to the profile's mean, so that
    contrast does not matter. Raises DetectorError for a smaller picture.
    """
    height, width = gray.shape
    if min(height, width) < MIN_SIDE_PX:
        raise DetectorError(f"a spectrum needs {MIN_SIDE_PX} pixels, the crop has {min(height, width)}")
    window, energy, index, counts = _window_and_radii(height, width, bins)
    spectrum = rfft2((gray - gray.mean()) * window)
    power = (spectrum.real**2 + spectrum.imag**2) / energy
    # Logarithms of single precision are several times faster, and off by less than 1e-5 dB.
    log_power = np.log10((power + FLOOR_POWER).astype(np.float32)).astype(np.float64)
    sums = np.bincount(index, log_power.ravel(), bins + 1)[:bins]
    filled = np.flatnonzero(counts)
    profile = np.interp(np.arange(bins), filled, 10 * sums[filled] / counts[filled])
    return np.asarray(profile - profile.mean(), np.float32)


@lru_cache(maxsize=SIZES_KEPT)
def _window_and_radii(
    height: int, width: int, bins: int
) -> tuple[NDArray[np.float64], float, NDArray[np.int64], NDArray[np.int64]]:
    """What depends on the size alone: Hann window (H, W), its energy, the bin of every place of a real spectrum in row
    order (the corners beyond Nyquist share bin `bins`), and the places per bin."""
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    index = np.minimum((radius * 2 * bins).astype(np.int64), bins).ravel()
    counts = np.bincount(index, minlength=bins + 1)[:bins]
    for shared in (window, index, counts):
        shared.flags.writeable = False
    return window, float((window**2).sum()), index, counts


def block_dct_profile(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean log magnitude of each coefficient of the 8 x 8 DCT-II over all whole blocks.

    gray: (H, W) float in [0, 255]. Returns (64,) float32 in row order; the first (DC) is set to 0: it is brightness.
    """
    height, width = (side // BLOCK * BLOCK for side in gray.shape)
    blocks = gray[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    magnitudes = np.log10(np.abs(dctn(blocks, axes=(1, 3), norm="ortho")) + FLOOR_DCT)
    # In two steps, along memory: several times faster than one mean over both axes.
    profile = magnitudes.mean(0).mean(1, np.float64).ravel()
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
