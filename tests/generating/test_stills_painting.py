"""A swap in one picture: the donor lands where it must, the mask says where, nothing else changes."""

import numpy as np
import pytest
from stills_people import LANDMARKS, SIDE, face_crop

from forensics.common.seeds import rng_for
from forensics.faces.mean_shape import place_mean_shape
from generators.stills.painting import OUTLINES, Strokes, drawn_strokes, outline_mask, reduced, swap_face

HARD = Strokes("face", "none", "alpha", erode=0.0, feather=0.0, brow_lift=0.1)


def coordinates(side=SIDE):
    """A picture whose red and green tell x and y."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x, y, np.full_like(x, 99)], 2).astype(np.uint8)


def test_the_same_landmarks_bring_the_same_place():
    swapped, mask = swap_face(coordinates(), LANDMARKS, np.zeros((SIDE, SIDE, 3), np.uint8), LANDMARKS, HARD)
    full = mask == 255
    assert full.mean() > 0.3
    assert np.abs(swapped[full].astype(int) - coordinates()[full]).max() <= 1
    assert not swapped[mask == 0].any()


def test_moved_landmarks_move_the_face():
    moved = LANDMARKS + np.array([7, -4])
    swapped, mask = swap_face(coordinates(), LANDMARKS, np.zeros((SIDE, SIDE, 3), np.uint8), moved, HARD)
    x, y = 70, 60
    assert mask[y, x] == 255
    assert swapped[y, x, :2].tolist() == pytest.approx([x - 7, y + 4], abs=1)


@pytest.mark.parametrize("blend", ["alpha", "poisson"])
@pytest.mark.parametrize("colour", ["lab", "histogram", "none"])
@pytest.mark.parametrize("outline", list(OUTLINES))
def test_outside_the_mask_not_a_bit_changes(portrait, outline, colour, blend):
    target = face_crop(portrait)
    donor = np.ascontiguousarray(target[:, ::-1] // 2)
    strokes = Strokes(outline, colour, blend, 0.02, 0.15, 0.15, face_px=64.0)
    swapped, mask = swap_face(donor, LANDMARKS, target, LANDMARKS, strokes)
    assert swapped.shape == target.shape and mask.shape == target.shape[:2]
    assert np.array_equal(swapped[mask == 0], target[mask == 0])
    assert 0.05 < (mask > 127).mean() < 0.95
    assert (swapped != target).any(2)[mask > 250].mean() > 0.9


def test_the_mask_ends_where_the_donors_picture_does():
    low = LANDMARKS + np.array([0, 30])  # its chin lies far below its own crop
    target_landmarks = LANDMARKS - (0, 12)
    _, mask = swap_face(coordinates(), low, np.zeros((SIDE, SIDE, 3), np.uint8), target_landmarks, HARD)
    rows = np.flatnonzero(mask.any(1))
    # The donor's last row lies 42 higher in the target; a few repeated rows are allowed.
    assert SIDE - 42 - 8 <= rows.max() <= SIDE - 42 + 8


def test_a_face_that_leaves_its_crop_has_no_seam_at_the_border():
    high = LANDMARKS * 0.6 + (20, 5)  # a donor who is all there
    target_landmarks = LANDMARKS + np.array([0, 25])
    soft = Strokes("face", "none", "alpha", 0.0, 0.1, 0.1)
    _, mask = swap_face(coordinates(), high, np.zeros((SIDE, SIDE, 3), np.uint8), target_landmarks, soft)
    assert mask[-1, SIDE // 2] == 255


def test_a_face_outside_its_picture_changes_nothing():
    target = coordinates()
    swapped, mask = swap_face(coordinates(), LANDMARKS, target, LANDMARKS + 1000, HARD)
    assert np.array_equal(swapped, target) and not mask.any()


def test_landmarks_that_coincide_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        swap_face(coordinates(), LANDMARKS, coordinates(), np.zeros((5, 2)), HARD)


def test_a_reduction_takes_the_finest_detail():
    stripes = np.repeat(np.tile(np.array([0, 255], np.uint8), 32)[None, :, None], 64, 0).repeat(3, 2)
    assert np.ptp(reduced(stripes, 0.5, "linear")) < 10
    assert reduced(stripes, 0.0, "linear") is stripes and reduced(stripes, 1.2, "cubic") is stripes


def test_outlines_lie_in_each_other():
    points = place_mean_shape(LANDMARKS)
    inner, oval, face = (outline_mask(points, name, SIDE, SIDE) for name in ("inner", "oval", "face"))
    assert 0.05 < inner.mean() < oval.mean() < face.mean() == 1
    assert oval[round(LANDMARKS[2, 1]), round(LANDMARKS[2, 0])] == 1


def test_strokes_are_drawn_by_their_shares_and_repeat():
    drawn = [drawn_strokes(rng_for(3, k), 120.0) for k in range(2000)]
    assert drawn[:20] == [drawn_strokes(rng_for(3, k), 120.0) for k in range(20)]
    share = np.mean([strokes.outline == "inner" for strokes in drawn])
    assert share == pytest.approx(OUTLINES["inner"], abs=0.04)
    sizes = np.array([strokes.face_px for strokes in drawn])
    assert sizes[sizes > 0].min() >= 64 and sizes.max() < 120 and 0.6 < (sizes > 0).mean() < 0.8
    assert not any(drawn_strokes(rng_for(3, k), 50.0).face_px for k in range(50))  # nothing to reduce
