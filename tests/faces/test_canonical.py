"""The canonical square: known transforms of the reference landmarks, exact pixels, and where it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.detectors.cnn_network import MAX_TILE_SOURCE_PX
from forensics.faces.canonical import (
    MAX_SURROUNDINGS_PX,
    MIN_CROP_PX,
    REFERENCE_LANDMARKS,
    SURROUNDINGS,
    canonical_square,
    crop_face,
    crop_square,
    crop_surroundings,
    middle_square,
    reduce_surroundings,
)


def numbered(height: int, width: int) -> np.ndarray:
    """A frame whose pixels name their own row and column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y % 256, x % 256, (y // 256) * 16 + x // 256], 2).astype(np.uint8)


def place_of(crop: np.ndarray) -> tuple[int, int]:
    y, x, high = (int(v) for v in crop[0, 0])
    return x + (high % 16) * 256, y + (high // 16) * 256


@given(st.floats(1.5, 3000), st.floats(-500, 5000), st.floats(-500, 5000))
def test_translation_and_scale_are_recovered(side, left, top):
    landmarks = (REFERENCE_LANDMARKS * side + [left, top]).astype(np.float64)
    assert canonical_square(landmarks) == pytest.approx((left, top, side), rel=1e-6, abs=1e-6)


@given(st.floats(-180, 180))
def test_rotation_leaves_the_side_and_turns_the_centre_with_the_face(angle_deg):
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([300.0, 200.0])
    landmarks = (REFERENCE_LANDMARKS * 120 - 60) @ turn.T + centre
    left, top, side = canonical_square(landmarks)
    assert side == pytest.approx(120)
    assert (left + side / 2, top + side / 2) == pytest.approx(tuple(centre))


def test_one_wrong_landmark_moves_the_square_by_its_share():
    landmarks = REFERENCE_LANDMARKS * 200 + 50
    landmarks[2] += [30, 0]
    left, top, side = canonical_square(landmarks)
    assert np.abs(np.array([left, top, side]) - [50, 50, 200]).max() < 15


@pytest.mark.parametrize("landmarks", [np.full((5, 2), 7.0), np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_that_coincide_are_an_error(landmarks):
    with pytest.raises(ValueError, match="coincide"):
        canonical_square(landmarks)


def test_pixels_are_copied_and_never_resampled():
    frame = numbered(400, 600)
    # The centre is kept: 80.6 + 99.7 / 2 - 50 is nearest to 80.
    crop = crop_square(frame, 120.4, 80.6, 99.7)
    assert np.array_equal(crop, frame[80:180, 120:220])
    crop[:] = 0  # a copy: the frame is not written to
    assert frame[100, 150].any()


@pytest.mark.parametrize(
    ("left", "top", "expected"),
    [(-20, 50, (0, 50)), (50, -20, (50, 0)), (520, 50, (500, 50)), (50, 320, (50, 300)), (-33, 333, (0, 300))],
)
def test_a_square_over_the_edge_is_moved_inside(left, top, expected):
    crop = crop_square(numbered(400, 600), left, top, 100)
    assert crop.shape == (100, 100, 3)
    assert place_of(crop) == expected


@pytest.mark.parametrize(("left", "top"), [(-35, 50), (50, -35), (536, 50), (50, 336), (5000, 5000)])
def test_a_square_too_far_outside_is_an_error(left, top):
    with pytest.raises(ValueError, match="outside"):
        crop_square(numbered(400, 600), left, top, 100)


def test_a_square_larger_than_the_frame_is_reduced_around_its_centre():
    crop = crop_square(numbered(100, 300), 90, -20, 140)
    assert crop.shape == (100, 100, 3)
    assert place_of(crop) == (110, 0)


@pytest.mark.parametrize(("shape", "side"), [((400, 600), MIN_CROP_PX - 1), ((MIN_CROP_PX - 1, 600), 200), ((8, 8), 8)])
def test_a_handful_of_pixels_is_an_error(shape, side):
    with pytest.raises(ValueError, match="pixels"):
        crop_square(numbered(*shape), 0, 0, side)


@given(
    st.integers(24, 90),
    st.integers(24, 90),
    st.floats(-60, 90),
    st.floats(-60, 90),
    st.floats(1, 200, exclude_min=True),
)
def test_a_crop_is_a_square_of_the_frame_or_an_error(height, width, left, top, side):
    frame = numbered(height, width)
    try:
        crop = crop_square(frame, left, top, side)
    except ValueError:
        return
    size = min(round(side), height, width)
    x, y = place_of(crop)
    assert crop.shape == (size, size, 3)
    assert np.array_equal(crop, frame[y : y + size, x : x + size])
    assert crop.flags["C_CONTIGUOUS"]


def test_crop_of_a_face_is_the_square_of_its_landmarks():
    frame = numbered(400, 600)
    crop = crop_face(frame, (REFERENCE_LANDMARKS * 128 + [210, 33]).astype(np.float32))
    assert crop.shape == (128, 128, 3)
    assert place_of(crop) == (210, 33)


def landmarks_at(side: float, left: float, top: float) -> np.ndarray:
    return (REFERENCE_LANDMARKS * side + [left, top]).astype(np.float32)


def test_surroundings_are_the_square_enlarged_about_its_centre():
    frame = numbered(400, 600)
    around = crop_surroundings(frame, landmarks_at(100, 210, 133))
    assert around.shape == (170, 170, 3)
    assert place_of(around) == (175, 98)
    assert np.array_equal(around, frame[98:268, 175:345])
    assert around.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("shape", "side", "left", "top"),
    [
        ((200, 300), 90, 0, 0),
        ((200, 300), 90, 205, 108),
        (
            (200, 300),
            90,
            -29,
            -20,
        ),  # sticks out by nearly a third: moved by its own square's rule, not by the larger one's
        ((150, 300), 100, 180, 20),  # larger than the frame is high
        ((120, 90), 100, -5, 12),
    ],
)
def test_surroundings_lie_in_the_frame_and_hold_the_face(shape, side, left, top):
    frame, landmarks = numbered(*shape), landmarks_at(side, left, top)
    face, around = crop_face(frame, landmarks), crop_surroundings(frame, landmarks)
    (face_x, face_y), (x, y) = place_of(face), place_of(around)
    size = around.shape[0]
    assert around.shape == (min(round(SURROUNDINGS * side), *shape),) * 2 + (3,)
    assert np.array_equal(around, frame[y : y + size, x : x + size])
    # Each square is rounded to pixels by itself.
    assert x - 1 <= face_x and face_x + face.shape[1] <= x + size + 1
    assert y - 1 <= face_y and face_y + face.shape[0] <= y + size + 1


def test_large_surroundings_are_reduced_to_what_detectors_look_at():
    frame = np.full((900, 900, 3), 200, np.uint8)
    frame[:, 450:] = 40
    around = crop_surroundings(frame, landmarks_at(400, 250, 250))
    assert around.shape == (MAX_SURROUNDINGS_PX, MAX_SURROUNDINGS_PX, 3)
    assert (around[:, :127] == 200).all() and (around[:, 129:] == 40).all()
    assert reduce_surroundings(around) is around
    assert MAX_SURROUNDINGS_PX == MAX_TILE_SOURCE_PX


@pytest.mark.parametrize(("side", "left"), [(90, 260), (20, 100)])
def test_a_face_without_a_crop_has_no_surroundings(side, left):
    frame = numbered(200, 300)
    for cut in (crop_face, crop_surroundings):
        with pytest.raises(ValueError, match="face"):
            cut(frame, landmarks_at(side, left, 50))


@pytest.mark.parametrize(
    ("shape", "side", "place"), [((40, 40), 40, (0, 0)), ((40, 61), 40, (10, 0)), ((61, 40), 40, (0, 10))]
)
def test_middle_square(shape, side, place):
    crop = middle_square(numbered(*shape))
    assert crop.shape == (side, side, 3)
    assert place_of(crop) == place
