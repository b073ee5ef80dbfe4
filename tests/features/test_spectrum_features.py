"""Spectral features against pictures whose spectrum is known."""

import numpy as np
import pytest
from scipy.fft import idctn

from forensics.common.errors import DetectorError
from forensics.features.spectrum import (
    N_FEATURES,
    PROFILE_BINS,
    azimuthal_profile,
    block_dct_profile,
    spectrum_features,
)


def grating(side: int, cycles_per_px: float, angle_deg: float = 0.0, amplitude: float = 60.0) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    along = x * np.cos(np.radians(angle_deg)) + y * np.sin(np.radians(angle_deg))
    return (127.5 + amplitude * np.cos(2 * np.pi * cycles_per_px * along)).astype(np.float32)


def rings(height: int, width: int, cycles_per_px: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(x - width / 2 + 0.5, y - height / 2 + 0.5)
    return (127.5 + 60 * np.cos(2 * np.pi * cycles_per_px * radius)).astype(np.float32)


def expected_bin(cycles_per_px: float) -> int:
    return int(cycles_per_px / 0.5 * PROFILE_BINS)


@pytest.mark.parametrize("side", [96, 129, 224])
@pytest.mark.parametrize("frequency", [0.0625 + 0.005, 0.125 + 0.005, 0.25 + 0.005, 0.4 + 0.005])
@pytest.mark.parametrize("angle", [0, 90])
def test_a_grating_peaks_at_its_frequency_whatever_its_direction(side, frequency, angle):
    profile = azimuthal_profile(grating(side, frequency, angle))
    assert profile.shape == (PROFILE_BINS,)
    assert profile.dtype == np.float32
    # One direction among many is a small share of its radius, and the window leaves the mean in the lowest places.
    assert abs(int(profile[3:].argmax()) + 3 - expected_bin(frequency)) <= 1


@pytest.mark.parametrize("shape", [(96, 96), (129, 128), (224, 224), (96, 192)])
@pytest.mark.parametrize("frequency", [0.13, 0.255, 0.405])
def test_rings_peak_at_their_frequency(shape, frequency):
    profile = azimuthal_profile(rings(*shape, frequency))
    assert abs(int(profile.argmax()) - expected_bin(frequency)) <= 1
    assert profile.max() > np.median(profile) + 20


def test_doubling_the_picture_halves_the_frequency():
    once = rings(96, 96, 0.26)
    twice = np.repeat(np.repeat(once, 2, 0), 2, 1)
    low = azimuthal_profile(twice)[: PROFILE_BINS // 2]
    assert abs(int(azimuthal_profile(once).argmax()) - expected_bin(0.26)) <= 1
    assert abs(int(low.argmax()) - expected_bin(0.13)) <= 1


def test_white_noise_is_flat_and_smoothing_tilts_it():
    rng = np.random.default_rng(0)
    noise = rng.normal(127, 20, (256, 256)).astype(np.float32)
    flat = azimuthal_profile(noise)
    assert np.abs(flat[4:]).max() < 1.5
    smooth = azimuthal_profile((noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, 1, (0, 1))) / 4)
    assert smooth[2:8].mean() > smooth[-8:].mean() + 6


def test_brightness_and_contrast_do_not_change_the_profile():
    rng = np.random.default_rng(1)
    picture = rng.normal(120, 15, (100, 100)).astype(np.float32)
    expected = azimuthal_profile(picture)
    np.testing.assert_allclose(azimuthal_profile(picture + 37), expected, atol=1e-3)
    # Halved, some of it comes near the floor.
    np.testing.assert_allclose(azimuthal_profile(60 + 0.5 * picture), expected, atol=0.1)


@pytest.mark.parametrize("shape", [(8, 8), (23, 200), (200, 23), (1, 1)])
def test_a_small_picture_is_a_typed_error(shape):
    with pytest.raises(DetectorError, match="24 pixels"):
        azimuthal_profile(np.zeros(shape, np.float32))


@pytest.mark.parametrize("side", [24, 25, 31, 48])
def test_the_smallest_pictures_have_every_bin(side):
    profile = azimuthal_profile(np.random.default_rng(2).normal(size=(side, side)).astype(np.float32) * 20)
    assert np.isfinite(profile).all()
    assert profile.mean() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("row", "column"), [(0, 1), (3, 5), (7, 7), (4, 0)])
def test_a_cosine_of_the_block_transform_peaks_at_its_coefficient(row, column):
    coefficients = np.zeros((8, 8))
    coefficients[row, column] = 200.0
    block = idctn(coefficients, norm="ortho")
    gray = (127.5 + np.tile(block, (5, 7))).astype(np.float32)
    profile = block_dct_profile(gray)
    assert profile.shape == (64,)
    assert int(profile[1:].argmax()) + 1 == row * 8 + column
    assert profile[row * 8 + column] == pytest.approx(np.log10(200.0), abs=1e-3)
    others = np.delete(profile, [0, row * 8 + column])
    assert others.max() < -2


def test_block_profile_ignores_brightness_and_what_is_no_whole_block():
    rng = np.random.default_rng(3)
    gray = rng.normal(120, 20, (48, 40)).astype(np.float32)
    expected = block_dct_profile(gray)
    np.testing.assert_allclose(block_dct_profile(gray + 20), expected, atol=1e-3)
    np.testing.assert_array_equal(block_dct_profile(np.pad(gray, ((0, 7), (0, 5)))), expected)
    assert expected[0] == 0.0
    # The grid matters: shifted by half a block, it is another picture.
    assert np.abs(block_dct_profile(gray[4:44, 4:36]) - expected).max() > 0.05


def test_features_of_a_crop_are_both_profiles_of_its_luma(portrait):
    crop = portrait[60:180, 170:290]
    features = spectrum_features(crop)
    assert features.shape == (N_FEATURES,)
    assert features.dtype == np.float32
    luma = np.rint(crop @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    np.testing.assert_allclose(features[:PROFILE_BINS], azimuthal_profile(luma), atol=0.3)
    np.testing.assert_allclose(features[PROFILE_BINS:], block_dct_profile(luma), atol=0.1)


@pytest.mark.parametrize(("side", "first"), [(256, 0), (257, 0), (271, 0), (272, 8), (400, 72)])
def test_of_a_large_crop_the_middle_counts_in_step_with_its_blocks(portrait, side, first):
    crop = portrait[:side, :side]
    middle = portrait[first : first + 256, first : first + 256]
    np.testing.assert_array_equal(spectrum_features(crop), spectrum_features(middle))


def test_features_see_up_sampling(portrait):
    crop = np.ascontiguousarray(portrait[60:180, 170:290])
    doubled = np.repeat(np.repeat(crop[::2, ::2], 2, 0), 2, 1)
    block = slice(PROFILE_BINS, N_FEATURES)
    # Pixels in twins have no energy in the last odd coefficients of a block that starts with a twin.
    assert (
        spectrum_features(doubled)[block].reshape(8, 8)[0, 4] < spectrum_features(crop)[block].reshape(8, 8)[0, 4] - 0.5
    )
