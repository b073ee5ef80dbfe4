"""Masks: areas of drawn shapes, widths of feathers, and what is thrown away."""

import numpy as np
import pytest

from generators.faceswap.masks import cleaned_mask, eroded_and_feathered, face_size_px, hull_mask


def square(side: int, first: int, last: int) -> np.ndarray:
    mask = np.zeros((side, side), np.float32)
    mask[first:last, first:last] = 1
    return mask


def test_a_hull_covers_its_own_area_and_forgets_inner_points():
    corners = np.array([[10.0, 20], [90, 20], [90, 70], [10, 70]])
    mask = hull_mask(np.concatenate([corners, [[50, 40]]]), 100, 120)
    assert mask.shape == (100, 120) and mask.dtype == np.float32
    assert mask.sum() == pytest.approx(81 * 51, rel=0.03)
    assert mask[45, 50] == 1 and mask[5, 5] == 0 and mask[80, 50] == 0


def test_a_hull_moves_by_parts_of_a_pixel():
    corners = np.array([[10.0, 20], [90, 20], [90, 70], [10, 70]])
    centres = []
    for shift in (0.0, 0.5):
        mask = hull_mask(corners + np.array([shift, 0]), 100, 120)
        centres.append((mask.sum(0) * np.arange(120)).sum() / mask.sum())
    assert centres[1] - centres[0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.array([[1.0, 2], [3, 4]]), np.full((5, 2), np.nan)])
def test_no_hull_no_mask(points):
    assert hull_mask(points, 20, 30).sum() == 0


def test_a_hull_far_beyond_the_canvas_fills_it():
    far = np.array([[-1e5, -1e5], [1e5, -1e5], [1e5, 1e5], [-1e5, 1e5]])
    assert hull_mask(far, 20, 30).min() == 1


def test_erosion_and_feather_are_shares_of_the_size():
    profiles = []
    for scale in (1, 4):
        mask = square(200 * scale, 50 * scale, 150 * scale)
        assert face_size_px(mask) == pytest.approx(100 * scale)
        soft = eroded_and_feathered(mask, 0.1, 0.2)
        row = soft[100 * scale]
        inside = np.flatnonzero(row > 0)
        assert inside[0] / scale == pytest.approx(60, abs=1)
        assert np.flatnonzero(row == 1)[0] / scale == pytest.approx(80, abs=1)
        assert (np.diff(row[: 100 * scale]) >= 0).all()
        profiles.append(row[::scale])
    assert np.abs(profiles[0] - profiles[1]).max() < 0.1


def test_the_result_lies_inside_the_mask_and_off_the_border():
    mask = np.ones((64, 64), np.float32)
    mask[:, 40:] = 0.75
    soft = eroded_and_feathered(mask, 0.0, 0.0)
    assert (soft <= mask).all()
    rim = np.concatenate([soft[0], soft[-1], soft[:, 0], soft[:, -1]])
    assert rim.max() == 0
    np.testing.assert_array_equal(soft[1:-1, 1:-1], mask[1:-1, 1:-1])


def test_a_mask_that_is_eroded_away_is_empty():
    assert eroded_and_feathered(square(50, 20, 30), 0.6, 0.1).sum() == 0
    assert eroded_and_feathered(np.zeros((8, 8), np.float32), 0.1, 0.1).sum() == 0


def test_cleaning_keeps_the_largest_piece_and_fills_small_holes_only():
    mask = square(100, 20, 80)
    mask[2:8, 2:8] = 1  # a stray piece
    mask[40:44, 40:44] = 0.1  # a small hole
    mask[50:75, 50:75] = 0  # a hand
    mask[19, 20:80] = 0.3  # a soft rim
    clean = cleaned_mask(mask)
    assert clean[:10, :10].sum() == 0
    assert clean[41, 41] == 1
    assert clean[60, 60] == 0
    assert clean[19, 50] == np.float32(0.3)
    assert clean[30, 30] == 1


def test_cleaning_nothing_gives_nothing():
    assert cleaned_mask(np.full((10, 10), 0.4, np.float32)).sum() == 0
