"""The features, computed fast, are those of their definition written out plainly: shipped weights were fitted to these."""

import cv2
import numpy as np
import pytest
from scipy.fft import dctn

from forensics.features.spectrum import PROFILE_BINS, spectrum_features
from forensics.perturb import blur, jpeg

TOLERANCE = 1e-4  # dB of the profile, decades of the block coefficients


def plain_features(gray: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 255], at most 256 pixels a side: bin after bin, block after block."""
    height, width = gray.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2 / (window**2).sum()
    power = power[:, : width // 2 + 1]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * 2 * PROFILE_BINS
    filled = [k for k in range(PROFILE_BINS) if ((radius >= k) & (radius < k + 1)).any()]
    means = [10 * np.log10(power[(radius >= k) & (radius < k + 1)] + 1e-2).mean() for k in filled]
    profile = np.interp(np.arange(PROFILE_BINS), filled, means)
    corners = ((y, x) for y in range(0, height - 7, 8) for x in range(0, width - 7, 8))
    blocks = [np.log10(np.abs(dctn(gray[y : y + 8, x : x + 8], norm="ortho")) + 1e-3) for y, x in corners]
    coefficients = np.mean(blocks, 0, np.float64).ravel()
    coefficients[0] = 0
    return np.concatenate([profile - profile.mean(), coefficients])


def drawn(name: str, portrait: np.ndarray) -> np.ndarray:
    face = portrait[:224, 100:324]
    ramp = np.repeat(np.tile(np.arange(160, dtype=np.uint8), (160, 1))[..., None], 3, 2)
    return {
        "face": face,
        "an odd rectangle": portrait[40:173, 100:305],
        "the smallest": portrait[:24, 100:124],
        "hard JPEG": jpeg(face, 20),
        "blurred": blur(face, 8.0),
        "noise": np.random.default_rng(4).integers(0, 256, (129, 129, 3), dtype=np.uint8),
        "ramp": ramp,
        "step": np.where(ramp < 81, 0, 255).astype(np.uint8),
        "black": np.zeros_like(face),
        "white": np.full_like(face, 255),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["face", "an odd rectangle", "the smallest", "hard JPEG", "blurred", "noise", "ramp", "step", "black", "white"],
)
def test_features_are_those_of_the_plain_definition(name, portrait):
    crop = np.ascontiguousarray(drawn(name, portrait))
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    expected = plain_features(gray)
    np.testing.assert_allclose(spectrum_features(crop), expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(spectrum_features(crop), spectrum_features(crop))


def test_sizes_do_not_disturb_each_other(portrait):
    """What is kept of one size must not be used, or changed, by another."""
    sides = [224, 100, 224, 225, 64]
    first = [spectrum_features(portrait[:side, :side]) for side in sides]
    again = [spectrum_features(portrait[:side, :side]) for side in reversed(sides)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
