"""Masks, transforms and maps that pseudo-fakes are made of, against what their formulas say."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from forensics.common.seeds import rng_for
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.mean_shape import LEFT_EYE, RIGHT_EYE, place_mean_shape
from forensics.faces.similarity import similarity
from forensics.training.blending import geometry, masks, transforms

POINTS = place_mean_shape(REFERENCE_LANDMARKS * 224)


def disc(side: int, radius: float) -> np.ndarray:
    mask = np.zeros((side, side), np.float32)
    cv2.circle(mask, (side // 2, side // 2), int(radius), 1.0, -1)
    return mask


def smooth_picture(side: int, seed: int = 0) -> np.ndarray:
    noise = rng_for(seed, 2).normal(128, 120, (side, side, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), side / 40) * 3 - 256, 0, 255).astype(np.uint8)


def test_a_drawn_square_covers_the_same_ground_on_any_canvas():
    square = np.array([[9.5, 19.5], [49.5, 19.5], [49.5, 79.5], [9.5, 79.5]])  # edges of pixels 10 to 49, 20 to 79
    for canvas in (50, 100, 200):
        mask = masks.drawn([square], 0.0, 100, canvas)
        assert mask.mean() == pytest.approx(0.4 * 0.6, abs=2.0 / canvas)  # the outline has a width
        rows, columns = np.nonzero(mask > 0.5)
        assert columns.mean() / canvas == pytest.approx(0.295, abs=0.6 / canvas)
        assert rows.mean() / canvas == pytest.approx(0.495, abs=0.6 / canvas)
    grown = masks.drawn([square], 5.0, 100, 100)
    assert grown[49, 6] == 1
    assert grown[49, 3] == 0
    assert grown[15, 5] < 1  # corners are rounded


@pytest.mark.parametrize("part", masks.PARTS)
def test_parts_cover_their_points(part):
    grow = masks.PART_GROW[part] * masks.eye_distance(POINTS)
    own = masks.part_points(POINTS, part)
    mask = masks.drawn([own], grow, 224, 224)
    x, y = np.rint(own).astype(int).T
    assert (mask[y, x] > 0.9).all()
    eyes = {"left eye": RIGHT_EYE, "right eye": LEFT_EYE}
    if part in eyes:
        x, y = np.rint(POINTS[eyes[part]]).astype(int).T
        assert (mask[y, x] == 0).all()


def test_a_softened_rim_stays_within_the_reach_of_its_kernels():
    mask = disc(224, 60)
    far = disc(224, 60 + masks.KERNELS_PX[1] // 2 + 1) == 0
    areas = []
    for seed in range(12):
        soft = masks.softened(mask, rng_for(seed, 0))
        assert soft.max() == 1
        assert soft.min() == 0
        assert (soft[far] == 0).all()
        assert soft[112, 112] == 1
        areas.append(float((soft > 0.5).sum() / mask.sum()))
        assert areas[-1] < 1.05  # cut back before it is softened
    assert max(areas) - min(areas) > 0.05
    assert masks.softened(np.zeros_like(mask), rng_for(0, 0)).max() == 0


def test_a_small_part_is_not_cut_away():
    mask = disc(224, 9)
    for seed in range(8):
        assert (masks.softened(mask, rng_for(seed, 0)) > 0.5).sum() > 0.25 * mask.sum()


def test_elastic_displacement_has_the_recipes_strength():
    """A ramp as a mask shows how far each pixel was moved across."""
    side = 256
    ramp = np.tile(np.linspace(0.2, 0.8, side, dtype=np.float32), (side, 1))
    moves = []
    for seed in range(6):
        moved = (masks.deformed(ramp, rng_for(seed, 0)) - ramp) / (0.6 / (side - 1))
        moves.append(moved[20:-20, 20:-20])
    assert np.std(moves) == pytest.approx(50 / np.sqrt(3) / (2 * np.sqrt(np.pi) * 7), rel=0.15)
    assert np.abs(np.diff(moves[0], axis=0)).max() < 0.6  # smooth


def test_every_subset_of_the_face_is_drawn(monkeypatch):
    areas = {}
    for subset in masks.SUBSETS:
        monkeypatch.setattr(masks, "SUBSETS", (subset,))
        mask = masks.random_mask(POINTS, 224, rng_for(1, 0))
        assert mask.max() == 1
        areas[subset] = float(mask.mean())
    assert areas["features"] < areas["face"]
    assert areas["no jaw"] < areas["face"]


@pytest.mark.parametrize("side", (48, 224, 700))
def test_a_mask_that_changes_nothing_is_exactly_zero(side):
    mask = masks.fitted(np.full((64, 64), 1 / 600, np.float32), side)
    assert mask.shape == (side, side)
    assert (mask == 0).all()


def test_colour_shifts_keep_the_middle_grey_near_grey_without_a_channel_shift(monkeypatch):
    monkeypatch.setattr(transforms, "P_CHANNEL_SHIFT", 0.0)
    grey = np.full((8, 8, 3), 127, np.uint8)
    for seed in range(20):
        shifted = transforms.shift_colour(grey, rng_for(seed, 0)).astype(int)
        assert np.ptp(shifted) <= 1
        assert abs(shifted[0, 0, 0] - 127) <= transforms.BRIGHTNESS + 1


def test_colour_shifts_are_bounded_and_differ():
    picture = smooth_picture(64)
    shifts = [transforms.shift_colour(picture, rng_for(seed, 0)).astype(int) - picture for seed in range(20)]
    assert max(np.abs(s).mean() for s in shifts) < 70
    assert min(np.abs(a - b).mean() for a, b in pairwise(shifts)) > 0.5


def test_a_reduced_picture_keeps_its_size_and_mean_and_loses_detail():
    noise = rng_for(0, 0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for seed in range(6):
        little = transforms.reduced(noise, 4, rng_for(seed, 0))
        assert little.shape == noise.shape
        assert abs(little.mean() - noise.mean()) < 4
        assert (
            np.abs(np.diff(little.astype(int), axis=0)).mean() < 0.6 * np.abs(np.diff(noise.astype(int), axis=0)).mean()
        )
    np.testing.assert_array_equal(transforms.reduced(noise[:20, :20], 4, rng_for(0, 0)), noise[:20, :20])


def test_matched_colours_have_the_targets_moments():
    target, donor = smooth_picture(96, 1), smooth_picture(96, 2)
    target = (60 + target * 0.4).astype(np.uint8)
    donor = (90 + donor * 0.35).astype(np.uint8)
    mask = disc(96, 40)

    def moments(picture: np.ndarray) -> np.ndarray:
        lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[mask > 0.5]
        return np.concatenate([lab.mean(0), lab.std(0)])

    wanted, had = moments(target), moments(donor)
    full, half = (moments(transforms.match_colour(donor, target, mask, strength)) for strength in (1.0, 0.5))
    assert np.abs(full - wanted).max() < 2.5
    assert np.abs(had - wanted).max() > 5
    assert np.abs(full - wanted).sum() < np.abs(half - wanted).sum() < np.abs(had - wanted).sum()
    same = transforms.match_colour(donor, target, mask, 0.0)
    assert np.abs(same.astype(int) - donor).max() <= 1
    np.testing.assert_array_equal(transforms.match_colour(donor, target, np.zeros_like(mask)), donor)


def test_similarity_finds_the_map_that_made_the_points():
    matrix = similarity(REFERENCE_LANDMARKS, REFERENCE_LANDMARKS @ np.array([[0, 3.0], [-3.0, 0]]) + (5, 7))
    np.testing.assert_allclose(matrix, [[0, -3, 5], [3, 0, 7]], atol=1e-9)
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.zeros((3, 2)), REFERENCE_LANDMARKS[:3])


def test_an_affine_map_and_a_chain_of_maps_do_what_they_say():
    matrix = np.array([[1.2, 0.3, 4], [-0.1, 0.8, -2]])
    points = rng_for(0, 0).uniform(0, 100, (9, 2))
    np.testing.assert_allclose(geometry.affine(points, geometry.moved(points, matrix)), matrix, atol=1e-9)
    then = geometry.small_move(100, rng_for(1, 0))
    np.testing.assert_allclose(
        geometry.moved(points, geometry.chained(matrix, then)), geometry.moved(geometry.moved(points, matrix), then)
    )


def test_a_small_move_stays_within_the_recipe():
    for seed in range(30):
        matrix = geometry.small_move(200, rng_for(seed, 0))
        centre = geometry.moved(np.array([[99.5, 99.5]]), matrix)[0] - 99.5
        assert 0.95 <= matrix[0, 0] == matrix[1, 1] <= 1.05
        assert abs(centre[0]) <= 6
        assert abs(centre[1]) <= 3


@pytest.mark.parametrize("donor_side", (60, 150, 900))
def test_a_donor_of_another_size_falls_onto_the_crop(donor_side):
    crop = smooth_picture(150)
    donor = cv2.resize(
        crop, (donor_side, donor_side), interpolation=cv2.INTER_AREA if donor_side < 150 else cv2.INTER_LINEAR
    )
    factor = 150 / donor_side
    matrix = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]])
    warped = geometry.warp_by_matrix(donor, matrix, 150, rng_for(0, 0))
    assert warped.seen.mean() > 0.97
    assert np.abs(warped.picture.astype(int) - crop)[8:-8, 8:-8].mean() < 3
    landmarks = (REFERENCE_LANDMARKS * 150 + 0.5) / factor - 0.5
    spline = geometry.warp_by_spline(donor, landmarks, REFERENCE_LANDMARKS * 150, 150, rng_for(0, 0))
    assert spline is not None
    assert np.abs(spline.picture.astype(int) - crop)[8:-8, 8:-8].mean() < 3


def test_a_spline_takes_dots_to_where_the_crop_has_its_points():
    ends = POINTS[geometry.SPLINE_POINTS]
    goals = ends + rng_for(3, 0).uniform(-6, 6, ends.shape)
    for k in range(len(ends)):
        if not (goals[k] > 15).all() or not (goals[k] < 209).all():
            continue
        donor = np.zeros((224, 224, 3), np.uint8)
        cv2.circle(donor, tuple(int(v) for v in np.rint(ends[k] * 16)), 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        warped = geometry.warp_by_spline(donor, ends, goals, 224, rng_for(0, 0))
        assert warped is not None
        weight = warped.picture[:, :, 0].astype(float)
        y, x = np.mgrid[:224, :224]
        found = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
        assert np.abs(found - goals[k]).max() < 1.5


def test_a_spline_that_would_fold_is_refused():
    ends = POINTS[geometry.SPLINE_POINTS]
    goals = ends.copy()
    goals[[0, 4]] = goals[[4, 0]]  # the jaw turned inside out
    assert geometry.warp_by_spline(smooth_picture(224), ends, goals, 224, rng_for(0, 0)) is None
