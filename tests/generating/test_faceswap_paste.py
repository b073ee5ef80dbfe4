"""Pasting: bits outside the mask, pixels inside it, where the face lands, and faces at the frame's border."""

import cv2
import numpy as np
import pytest

from generators.faceswap.alignment import aligning, inverse, transform, warped
from generators.faceswap.masks import eroded_and_feathered, hull_mask
from generators.faceswap.rendering.motion_blur import motion_blurred, motion_px
from generators.faceswap.rendering.paste import blended, paste_back

SIDE = 256


def disc(radius: float = 90.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    points = np.column_stack([np.cos(angle), np.sin(angle)]) * radius + 127.5
    return eroded_and_feathered(hull_mask(points, SIDE, SIDE), 0.0, 0.1)


def placing(x: float, y: float, size: float, angle_deg: float = 0.0) -> np.ndarray:
    """Frame to aligned: the aligned square has this size and its middle at (x, y) in the frame."""
    matrix = cv2.getRotationMatrix2D((x, y), angle_deg, SIDE / size)
    matrix[:, 2] += [127.5 - x, 127.5 - y]
    return matrix


@pytest.mark.parametrize("how", ["alpha", "poisson"])
@pytest.mark.parametrize(
    ("x", "y", "size", "angle"), [(250, 200, 160, 0), (260, 220, 300, 25), (10, 15, 150, -10), (505, 505, 120, 0)]
)
def test_outside_the_mask_not_a_bit_changes(portrait, how, x, y, size, angle):
    face = np.full((SIDE, SIDE, 3), (40, 200, 90), np.uint8)
    before = portrait.copy()
    out, used = paste_back(portrait, face, disc(), placing(x, y, size, angle), how)
    np.testing.assert_array_equal(portrait, before)
    np.testing.assert_array_equal(out[used == 0], portrait[used == 0])
    assert used.shape == portrait.shape[:2] and used.dtype == np.uint8 and out.dtype == np.uint8
    assert used.max() == 255
    if how == "alpha":
        assert (out[used == 255] == (40, 200, 90)).all()
        weights = used[:, :, None] / 255.0
        expected = portrait + weights * (np.array([40, 200, 90.0]) - portrait)
        assert np.abs(out - expected).max() <= 0.51


def test_a_face_lands_where_the_matrix_says():
    frame = np.zeros((300, 400, 3), np.uint8)
    face = np.zeros((SIDE, SIDE, 3), np.uint8)
    spot = np.array([[150.0, 100.0]])
    cv2.circle(face, (150, 100), 6, (255, 255, 255), -1)
    matrix = placing(230, 140, 180, 20)
    out, used = paste_back(frame, face, disc(), matrix)
    bright = out[:, :, 0].astype(float)
    y, x = np.mgrid[:300, :400]
    found = np.array([(bright * x).sum(), (bright * y).sum()]) / bright.sum()
    np.testing.assert_allclose(found, transform(spot, inverse(matrix))[0], atol=0.15)
    centre = np.array([(used * x).sum(), (used * y).sum()]) / used.sum(dtype=float)
    np.testing.assert_allclose(centre, [230, 140], atol=0.3)


@pytest.mark.parametrize("how", ["alpha", "poisson"])
def test_the_own_face_put_back_is_nearly_the_frame(portrait, how):
    smooth = cv2.GaussianBlur(portrait, (0, 0), 2.0)
    landmarks = np.array([[205, 102], [248, 104], [228, 128], [205, 143], [244, 144]], np.float64)
    matrix = aligning(landmarks)
    out, used = paste_back(smooth, warped(smooth, matrix, SIDE), disc(), matrix, how)
    assert (used > 0).sum() > 5000
    difference = np.abs(out.astype(int) - smooth)[used > 0]
    assert difference.mean() < 0.5 and difference.max() <= 5


def test_poisson_takes_the_colours_of_the_rim(portrait):
    frame = np.full((300, 300, 3), (180, 120, 90), np.uint8)
    face = np.full((SIDE, SIDE, 3), (60, 60, 60), np.uint8)
    face[118:138, 118:138] = 110
    out, used = paste_back(frame, face, disc(), placing(150, 150, 200), "poisson")
    inside = used == 255
    assert np.abs(np.median(out[inside], axis=0) - [180, 120, 90]).max() < 8
    assert out[150, 150].astype(int).min() > 90 + 30


def test_poisson_does_not_shift_the_face(portrait):
    """A face put back where it was: edges stay on their pixels, for boxes of odd and even size."""
    for size in (151, 152, 153):
        matrix = placing(240.3, 130.7, size)
        face = warped(portrait, matrix, SIDE)
        out, used = paste_back(portrait, face, disc(), matrix, "poisson")
        gray, was = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (out, portrait))
        rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        (dx, dy), _ = cv2.phaseCorrelate(was[box], gray[box])
        assert abs(dx) < 0.1 and abs(dy) < 0.1


@pytest.mark.parametrize("how", ["alpha", "poisson"])
def test_nothing_to_paste_changes_nothing(portrait, how):
    face = np.zeros((SIDE, SIDE, 3), np.uint8)
    for mask, matrix in (
        (np.zeros((SIDE, SIDE), np.float32), placing(200, 200, 100)),
        (disc(), placing(-400, 200, 100)),
    ):
        out, used = paste_back(portrait, face, mask, matrix, how)
        np.testing.assert_array_equal(out, portrait)
        assert used.max() == 0 and out is not portrait


def test_a_tiny_face_does_not_fail(portrait):
    out, used = paste_back(portrait, np.zeros((SIDE, SIDE, 3), np.uint8), disc(), placing(100, 100, 6), "poisson")
    assert 0 < (used > 0).sum() < 60
    np.testing.assert_array_equal(out[used == 0], portrait[used == 0])


def test_wrong_calls_are_errors(portrait):
    part, mask = np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.float32)
    with pytest.raises(ValueError, match="frame"):
        blended(portrait, part, mask, (500, 0))
    with pytest.raises(ValueError, match="glue"):
        blended(portrait, part, mask, (0, 0), "glue")


def test_motion_is_speed_times_exposure_and_zero_alone():
    times = np.arange(5) / 25
    landmarks = np.zeros((5, 5, 2)) + (np.arange(5) * 8.0)[:, None, None] * [1, 0.5]
    np.testing.assert_allclose(motion_px(times, landmarks, 0.5), np.tile([4.0, 2.0], (5, 1)))
    landmarks[[1, 3]] = np.nan
    np.testing.assert_allclose(motion_px(times, landmarks)[2], 0)
    np.testing.assert_allclose(motion_px(times[:1], landmarks[:1]), 0)


def test_blur_spreads_a_dot_along_its_motion():
    dot = np.zeros((101, 101, 3), np.uint8)
    dot[48:53, 48:53] = 255
    blurred = motion_blurred(dot, np.array([9.0, 0.0]))[:, :, 0].astype(float)
    y, x = np.mgrid[:101, :101] - 50.0
    spread = [float((blurred * v**2).sum() / blurred.sum()) for v in (x, y)]
    # A box of 5 pixels has variance 2, a line of 9 pixels 81 / 12 more.
    assert spread[0] == pytest.approx(2 + 81 / 12, rel=0.1) and spread[1] == pytest.approx(2, rel=0.1)
    assert (blurred * x).sum() / blurred.sum() == pytest.approx(0, abs=0.05)
    np.testing.assert_array_equal(motion_blurred(dot, np.array([0.4, 0.3])), dot)
    assert np.isfinite(motion_blurred(dot, np.array([1e6, 0.0]))).all()
