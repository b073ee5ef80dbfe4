"""What a face can be left out for, on points and pictures whose truth is drawn."""

import cv2
import numpy as np
import pytest

from forensics.faces.types import Face
from generators.faceswap.alignment import TEMPLATE, aligning
from generators.faceswap.extraction.filters import (
    IN_WORDS,
    NOSE_DEPTH,
    aligned_sharpness,
    are_nearly_equal,
    inside_share,
    luma_thumbnail,
    reason_against,
    roll_deg,
    yaw_deg,
)


def head(yaw: float, roll: float = 0.0, scale: float = 60.0) -> np.ndarray:
    """Five points of a head with the nose NOSE_DEPTH before the face's plane, turned, seen orthographically."""
    points = np.array(
        [[-0.5, 0, 0], [0.5, 0, 0], [0, 0.5, NOSE_DEPTH], [-0.4, 1.1, 0], [0.4, 1.1, 0]], np.float64
    )  # x right, y down, z towards the camera
    a, b = np.radians(yaw), np.radians(roll)
    turned = points @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    tilted = turned[:, :2] @ np.array([[np.cos(b), np.sin(b)], [-np.sin(b), np.cos(b)]])
    return tilted * scale + 200


@pytest.mark.parametrize("yaw", [-70, -30, 0, 15, 45, 80])
@pytest.mark.parametrize("roll", [-40, 0, 25])
def test_pose_of_a_turned_head(yaw: float, roll: float) -> None:
    assert yaw_deg(head(yaw, roll)) == pytest.approx(yaw, abs=1e-6)
    assert roll_deg(head(yaw, roll)) == pytest.approx(roll, abs=1e-6)


def test_pose_of_coinciding_eyes_is_a_profile() -> None:
    points = head(0)
    points[1] = points[0]
    assert yaw_deg(points) == 90


def test_upside_down_head_is_rolled() -> None:
    assert abs(roll_deg(head(0, 180))) == pytest.approx(180)


def test_share_inside_a_frame() -> None:
    at_home = aligning(TEMPLATE)
    assert inside_share(at_home, 256, 256) == 1
    # The inner square is columns 48 to 207: a frame of 128 columns shows its left half.
    assert inside_share(at_home, 128, 256) == pytest.approx(0.5, abs=0.06)
    assert inside_share(aligning(TEMPLATE + 1000), 256, 256) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"side": 40.0}, "too_small"),
        ({"confidence": 0.93}, "low_confidence"),
        ({"points": head(65)}, "profile"),
        ({"points": head(0, 120)}, "profile"),
        ({"points": head(0) - 190}, "cut_off"),
    ],
)
def test_reasons_against_a_face(changes: dict, reason: str | None) -> None:
    side, points = changes.get("side", 100.0), changes.get("points", head(10))
    face = Face(
        np.array([0, 0, side, side * 1.3], np.float32), points.astype(np.float32), changes.get("confidence", 0.99)
    )
    assert reason_against(face, aligning(points), (640, 480), 48, 0.95, 50) == reason
    assert reason is None or reason in IN_WORDS


def test_sharpness_falls_with_blur_and_ignores_the_background(portrait: np.ndarray) -> None:
    face = np.ascontiguousarray(portrait[20:276, 90:346])
    values = [aligned_sharpness(cv2.GaussianBlur(face, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]
    noisy_border = face.copy()
    noisy_border[:40] = np.random.default_rng(0).integers(0, 255, (40, 256, 3))
    assert aligned_sharpness(noisy_border) == aligned_sharpness(face)


def test_nearly_equal_is_strict(portrait: np.ndarray) -> None:
    face = np.ascontiguousarray(portrait[20:276, 90:346])
    rng = np.random.default_rng(1)
    noisy = np.clip(face + rng.normal(0, 3, face.shape), 0, 255).astype(np.uint8)
    shifted = np.roll(face, 6, axis=1)
    talking = face.copy()
    cv2.ellipse(talking, (130, 170), (26, 14), 0, 0, 360, (60, 20, 20), -1)
    a = luma_thumbnail(face)
    assert a.shape == (32, 32)
    assert are_nearly_equal(a, luma_thumbnail(noisy))
    assert not are_nearly_equal(a, luma_thumbnail(shifted))
    assert not are_nearly_equal(a, luma_thumbnail(talking))
