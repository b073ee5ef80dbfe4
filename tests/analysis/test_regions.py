"""Residuals of a robust fit and regions in maps that the test draws."""

import numpy as np
import pytest

from forensics.analysis.regions import connected, contrast, residuals, smoothed, spread, strongest, unit


def test_what_follows_the_covariates_leaves_nothing_but_its_noise():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 40)).astype(np.float32)
    noise = rng.normal(0, 0.1, (30, 40)).astype(np.float32)
    values = 3 + 2 * first - second**2 + noise
    rest = residuals(values, (first, second), np.ones((30, 40), np.bool_), 1e-6)
    assert np.corrcoef(rest.ravel(), noise.ravel())[0, 1] > 0.98
    assert spread(rest) == pytest.approx(1, abs=0.05)


def test_a_part_that_does_not_follow_does_not_bend_the_fit():
    rng = np.random.default_rng(1)
    covariate = rng.normal(size=(40, 40)).astype(np.float32)
    values = covariate + rng.normal(0, 0.1, (40, 40)).astype(np.float32)
    values[10:22, 10:22] += 2
    valid = np.ones((40, 40), np.bool_)
    rest = residuals(values, (covariate,), valid, 1e-6)
    found, region = strongest(*smoothed(rest, valid, 3), 5.0, 20)
    assert found > 10
    assert region is not None
    assert region.sign == 1
    left, top, right, bottom = region.box_px(1)
    assert max(abs(left - 10), abs(top - 10), abs(right - 22), abs(bottom - 22)) <= 1


@pytest.mark.parametrize("valid_blocks", [0, 5])
def test_too_few_blocks_leave_nothing(valid_blocks):
    valid = np.zeros((10, 10), np.bool_)
    valid.flat[:valid_blocks] = True
    values = np.random.default_rng(2).normal(size=(10, 10)).astype(np.float32)
    assert not residuals(values, (values,), valid, 0.1).any()


def test_a_flat_map_has_no_spread_and_leaves_nothing():
    flat = np.full((20, 20), 3, np.float32)
    assert spread(flat) == 0
    assert spread(flat[:0]) == 0
    assert not residuals(flat, (flat, flat), np.ones((20, 20), np.bool_), 0.1).any()


def test_both_signs_are_regions_and_large_ones_are_not():
    values = np.zeros((20, 20), np.float32)
    values[2:6, 2:6], values[10:16, 10:16] = 2, -3
    valid = np.ones((20, 20), np.bool_)
    found = {region.sign: region for region in connected(values, valid, 1.0, 4)}
    assert {sign: round(region.share * 400) for sign, region in found.items()} == {1: 16, -1: 36}
    assert contrast(values, valid, found[-1]) == 3
    values[:] = 2
    values[0] = 0
    assert list(connected(values, valid, 1.0, 4)) == []


def test_places_that_are_not_valid_do_not_count_in_means():
    values = np.full((9, 9), 2, np.float32)
    values[4, 4] = 1e9
    valid = np.ones((9, 9), np.bool_)
    valid[4, 4] = False
    means, enough = smoothed(values, valid, 3)
    assert means[enough] == pytest.approx(2)
    assert enough.all()


def test_maps_are_cut_to_their_range():
    assert unit(np.array([[-1, 0, 1, 4, np.nan]], np.float32), 2.0).tolist() == [[0, 0, 0.5, 1, 0]]
