"""Colour matching: moments and histograms inside the mask, nothing from outside it, and faces that say nothing."""

import cv2
import numpy as np
import pytest

from generators.faceswap.rendering.colour import match_colour


@pytest.fixture
def face(portrait):
    return np.ascontiguousarray(portrait[60:188, 160:288])


def disc(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (np.hypot(x, y) < 0.4 * side).astype(np.float32)


def lab_moments(picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[mask > 0]
    return lab.mean(0), lab.std(0)


def test_lab_moments_become_the_references(face):
    mask = disc(128)
    duller = np.clip(face * np.array([0.7, 0.8, 0.9]) + [30, 10, 0], 0, 255).astype(np.uint8)
    for source, wanted in ((duller, face), (face, duller)):
        matched = match_colour(source, wanted, mask, "lab")
        mean, deviation = lab_moments(matched, mask)
        wanted_mean, wanted_deviation = lab_moments(wanted, mask)
        np.testing.assert_allclose(mean, wanted_mean, atol=0.6)
        np.testing.assert_allclose(deviation, wanted_deviation, rtol=0.06)


def test_histograms_undo_any_rising_curve(face):
    mask = disc(128)
    curved = (255 * (face / 255.0) ** 1.5).astype(np.uint8)
    matched = match_colour(curved, face, mask, "histogram")
    assert np.abs(matched.astype(int) - face)[mask > 0].mean() < 1.5
    assert np.abs(curved.astype(int) - face)[mask > 0].mean() > 15


@pytest.mark.parametrize("how", ["lab", "histogram"])
def test_a_face_matched_to_itself_stays(face, how):
    assert np.abs(match_colour(face, face, disc(128), how).astype(int) - face)[disc(128) > 0].max() <= 1


@pytest.mark.parametrize("how", ["lab", "histogram"])
def test_what_lies_outside_the_mask_has_no_say(face, how):
    mask = disc(128)
    painted, other = face.copy(), np.roll(face, 5, 2)
    painted[mask == 0] = [255, 0, 255]
    np.testing.assert_array_equal(match_colour(other, painted, mask, how), match_colour(other, face, mask, how))


@pytest.mark.parametrize("how", ["lab", "histogram", "none"])
def test_an_empty_mask_changes_nothing(face, how):
    out = match_colour(face, 255 - face, np.zeros((128, 128), np.float32), how)
    np.testing.assert_array_equal(out, face)
    assert out is not face


def test_flat_pictures_take_the_mean_without_noise(face):
    flat = np.full_like(face, 100)
    matched = match_colour(flat, face, disc(128), "lab")
    assert matched.reshape(-1, 3).std(0).max() == 0
    np.testing.assert_allclose(lab_moments(matched, disc(128))[0], lab_moments(face, disc(128))[0], atol=0.6)
    assert (match_colour(face, flat, disc(128), "histogram")[disc(128) > 0] == 100).all()


def test_contrast_is_not_blown_up(face):
    rng = np.random.default_rng(0)
    nearly_flat = (100 + rng.integers(0, 12, face.shape)).astype(np.uint8)
    mask = disc(128)
    grown = lab_moments(match_colour(nearly_flat, face, mask, "lab"), mask)[1]
    assert (grown < 2.3 * lab_moments(nearly_flat, mask)[1]).all()


def test_wrong_calls_are_errors(face):
    with pytest.raises(ValueError, match="sepia"):
        match_colour(face, face, disc(128), "sepia")
    with pytest.raises(ValueError, match="differ"):
        match_colour(face, face[:64], disc(128), "lab")
