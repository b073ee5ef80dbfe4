"""The mean face: a known camera is recovered, a turned nose turns the jaw the other way, the hull holds the face."""

import cv2
import numpy as np
import pytest

from forensics.faces.mean_shape import (
    CHIN,
    JAW,
    MEAN_DEPTH,
    MEAN_SHAPE,
    face_hull,
    five_of,
    head_turn,
    lifted_brows,
    place_mean_shape,
)

# iBUG's left-right pairs: jaw, brows, nose, eyes, lips.
PAIRS = [*zip(range(8), range(16, 8, -1), strict=True), *zip(range(17, 22), range(26, 21, -1), strict=True)]
PAIRS += [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
PAIRS += [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)]
MIDDLE = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


def turned(yaw_deg: float, pitch_deg: float = 0.0, size: float = 100.0) -> np.ndarray:
    """The mean face as a camera far away sees it, turned to the picture's right and down."""
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    points = np.column_stack([MEAN_SHAPE - MEAN_SHAPE[30], MEAN_DEPTH])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    return (points @ (about_x @ about_y).T)[:, :2] * size + [200, 150]


def test_the_mean_face_is_symmetric_and_in_ibug_order():
    axis = MEAN_SHAPE[30, 0]
    left, right = MEAN_SHAPE[[a for a, _ in PAIRS]], MEAN_SHAPE[[b for _, b in PAIRS]]
    assert len(PAIRS) * 2 + len(MIDDLE) == 68
    np.testing.assert_allclose((left + right)[:, 0] / 2, axis, atol=2e-3)
    np.testing.assert_allclose(left[:, 1], right[:, 1], atol=2e-3)
    assert (left[:, 0] < right[:, 0]).all()
    np.testing.assert_allclose(MEAN_SHAPE[MIDDLE, 0], axis, atol=1e-9)
    # dlib's published numbers, and the chin below all.
    assert MEAN_SHAPE[48].tolist() == [0.2541, 0.7802]
    assert MEAN_SHAPE[:, 1].argmax() == CHIN
    # Jaw and brows go round everything else.
    rim = np.concatenate([MEAN_SHAPE[JAW], MEAN_SHAPE[26:16:-1]]).astype(np.float32)
    assert all(cv2.pointPolygonTest(rim, tuple(map(float, p)), False) > 0 for p in MEAN_SHAPE[27:])


@pytest.mark.parametrize("angle_deg", [0, 30, -100, 180])
def test_a_similarity_is_recovered_exactly(angle_deg):
    angle = np.radians(angle_deg)
    turn = 37.0 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wanted = MEAN_SHAPE @ turn.T + [310, -20]
    np.testing.assert_allclose(place_mean_shape(five_of(wanted)), wanted, atol=1e-9)
    np.testing.assert_allclose(head_turn(five_of(wanted)), 0, atol=1e-9)


@pytest.mark.parametrize("yaw_deg", [-30, -15, 15, 30])
def test_a_turned_head_is_followed_better_than_a_flat_one_could(yaw_deg):
    wanted = turned(yaw_deg)
    placed = place_mean_shape(five_of(wanted))
    flat = place_mean_shape(five_of(turned(0)))
    flat += five_of(wanted).mean(0) - five_of(flat).mean(0)
    error, flat_error = (np.linalg.norm(p - wanted, axis=1).mean() for p in (placed, flat))
    assert error < 0.5 * flat_error
    yaw, pitch = head_turn(five_of(wanted))
    assert np.sign(yaw) == np.sign(yaw_deg) and abs(pitch) < 0.05
    assert abs(head_turn(five_of(turned(2 * yaw_deg)))[0]) > abs(yaw)


def test_a_nod_is_told_from_a_turn():
    yaw, pitch = head_turn(five_of(turned(0, 20)))
    assert pitch > 0.1 and abs(yaw) < 1e-9
    assert head_turn(five_of(turned(0, -20)))[1] < -0.1


def test_a_profile_whose_eyes_coincide_still_gives_a_face():
    landmarks = np.array([[100, 100], [100, 100], [140, 130], [110, 170], [110, 170]], np.float32)
    placed = place_mean_shape(landmarks)
    assert np.isfinite(placed).all()
    assert cv2.contourArea(face_hull(placed).astype(np.float32)) > 1000


@pytest.mark.parametrize("landmarks", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_landmarks_that_coincide_are_an_error(landmarks):
    with pytest.raises(ValueError, match="coincide"):
        place_mean_shape(landmarks)


def test_the_hull_holds_every_point_and_rises_above_the_brows():
    points = MEAN_SHAPE * 100
    low, high = face_hull(points, 0.0), face_hull(points, 0.2)
    for hull in (low, high):
        assert all(cv2.pointPolygonTest(hull.astype(np.float32), tuple(map(float, p)), True) > -1e-3 for p in points)
    height = points[CHIN, 1] - points[17:27, 1].mean()
    assert low[:, 1].min() - high[:, 1].min() == pytest.approx(0.2 * height, rel=1e-5)
    np.testing.assert_allclose(lifted_brows(points, 0.0), points[17:27])
