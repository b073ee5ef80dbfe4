"""Smoothing in time: lines stay lines, noise shrinks, cuts and gaps separate, and what is filled in."""

import numpy as np
import pytest

from generators.faceswap.rendering.smoothing import fill_missing, smooth_landmarks

RNG = np.random.default_rng(3)


def uneven(count: int) -> np.ndarray:
    return np.cumsum(RNG.uniform(0.01, 0.07, count))


def moving(times: np.ndarray, speed: float = 40.0) -> np.ndarray:
    start = RNG.uniform(0, 300, (5, 2))
    return start + times[:, None, None] * np.array([speed, -speed / 3])


def no_cuts(times: np.ndarray) -> np.ndarray:
    return np.zeros(len(times), bool)


@pytest.mark.parametrize("speed", [0.0, 400.0])
def test_rest_and_uniform_motion_stay_to_the_ends(speed):
    times = uneven(60)
    landmarks = moving(times, speed)
    np.testing.assert_allclose(smooth_landmarks(times, landmarks, 0.08, no_cuts(times)), landmarks, atol=1e-6)


def test_trembling_shrinks_as_the_weights_say():
    times = np.arange(2000) / 25
    noise = RNG.normal(0, 1, (2000, 5, 2))
    smooth = smooth_landmarks(times, noise, 0.12, no_cuts(times))
    # In the middle the line's value is the weighted mean: its variance is the sum of the squared weights.
    weights = np.exp(-np.square(np.arange(-12, 13) / 25 / 0.12) / 2)
    weights /= weights.sum()
    assert smooth[50:-50].std() == pytest.approx(np.sqrt(np.square(weights).sum()), rel=0.05)


def test_a_cut_is_not_smoothed_across():
    times = np.arange(40) / 25
    landmarks = np.where(np.arange(40)[:, None, None] < 20, 10.0, 500.0) * np.ones((40, 5, 2))
    cuts = np.arange(40) == 20
    np.testing.assert_allclose(smooth_landmarks(times, landmarks, 0.2, cuts), landmarks, atol=1e-9)
    assert np.abs(smooth_landmarks(times, landmarks, 0.2, no_cuts(times)) - landmarks).max() > 50


def test_a_gap_in_time_and_missing_faces_separate():
    times = np.concatenate([np.arange(10), np.arange(20, 30)]) / 25
    landmarks = np.where(np.arange(20)[:, None, None] < 10, 10.0, 500.0) * np.ones((20, 5, 2))
    np.testing.assert_allclose(smooth_landmarks(times, landmarks, 0.5, no_cuts(times)), landmarks, atol=1e-9)
    times = np.arange(20) / 25
    landmarks[10] = np.nan
    smooth = smooth_landmarks(times, landmarks, 0.5, no_cuts(times))
    np.testing.assert_allclose(smooth, landmarks, atol=1e-9)  # NaN equals NaN here
    assert np.isnan(smooth[10]).all() and np.isfinite(np.delete(smooth, 10, 0)).all()


def test_one_frame_and_no_sigma_stay():
    one = moving(np.array([0.0]))
    np.testing.assert_allclose(smooth_landmarks(np.array([0.0]), one, 0.1, np.array([True])), one)
    times = uneven(10)
    noise = RNG.normal(0, 1, (10, 5, 2))
    np.testing.assert_array_equal(smooth_landmarks(times, noise, 0.0, no_cuts(times)), noise)


def test_short_holes_are_filled_on_the_line():
    times = uneven(30)
    landmarks = moving(times)
    holes = landmarks.copy()
    holes[[5, 6, 20]] = np.nan
    filled, which = fill_missing(times, holes, no_cuts(times))
    np.testing.assert_allclose(filled, landmarks, atol=1e-9)
    assert np.flatnonzero(which).tolist() == [5, 6, 20]


def test_long_holes_ends_and_cuts_are_not_filled():
    times = np.arange(40) / 25
    landmarks = moving(times)
    landmarks[0] = landmarks[-1] = np.nan
    landmarks[10:18] = np.nan  # frame 9 is seen, frame 18 too: 0.36 s apart
    landmarks[30] = np.nan
    cuts = np.arange(40) == 30
    filled, which = fill_missing(times, landmarks, cuts)
    # The hole's frames 13 and 14 alone lie within 0.2 s of both sides.
    assert np.flatnonzero(which).tolist() == [13, 14]
    assert np.isnan(filled[[0, 10, 17, 30, 39]]).all()


@pytest.mark.parametrize(
    ("times", "count", "message"),
    [([0.0, 0.1], 3, "belong"), ([0.0, 0.2, 0.1], 3, "rise"), ([0.0, 0.0, 0.1], 3, "rise")],
)
def test_wrong_arrays_are_errors(times, count, message):
    with pytest.raises(ValueError, match=message):
        smooth_landmarks(np.array(times), np.zeros((count, 5, 2)), 0.1, np.zeros(len(times), bool))
