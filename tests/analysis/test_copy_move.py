"""Copied areas: the shift of a known copy, and what repeats without being one."""

import cv2
import numpy as np
import pytest
from forgeries import (
    as_jpeg,
    as_png,
    cloned_part,
    inside_and_outside,
    scene,
)

from forensics.analysis.blocks import luma
from forensics.analysis.copy_move import MAX_PIXELS, examine, find_copies, local_correlation, reduced


@pytest.mark.parametrize("shift", [(120, 40), (-30, 160)])
def test_the_shift_of_a_copy_is_found(shift):
    base = scene(3)
    top, left, side = 60, 100, 90
    forged = base.copy()
    y, x = top + shift[1], left + shift[0]
    forged[y : y + side, x : x + side] = base[top : top + side, left : left + side]
    found = find_copies(luma(forged))[0]
    moved = found.matrix @ np.array([left + side / 2, top + side / 2, 1]) - (left + side / 2, top + side / 2)
    back = found.matrix @ np.array([x + side / 2, y + side / 2, 1]) - (x + side / 2, y + side / 2)
    # A copy and its source are alike: either may be taken for the other.
    assert min(np.abs(moved - shift).max(), np.abs(back + shift).max()) < 2
    assert found.correlation > 0.98


@pytest.mark.parametrize(
    "handling", [lambda x: as_jpeg(x, 70), lambda x: as_png(cv2.convertScaleAbs(x, alpha=0.85, beta=12))]
)
def test_a_copy_survives_ordinary_handling(handling):
    base = scene(3)
    forged = base.copy()
    forged[190:290, 200:300] = base[40:140, 60:160]
    assert examine(handling(forged)).state == "inconsistent"


def test_the_map_is_higher_in_both_areas():
    hits = 0
    for seed in range(8):
        picture, box = cloned_part(seed)
        inside, outside = inside_and_outside(examine(picture).maps[0].values, box, picture.pixels.shape)
        hits += inside > 3 * outside
    assert hits >= 7


def test_what_repeats_on_a_lattice_is_no_copy():
    tile = scene(2)[40:104, 40:104]
    assert examine(as_png(np.tile(tile, (5, 5, 1)))).state != "inconsistent"


def test_a_picture_correlates_with_itself_and_not_with_noise():
    gray = luma(scene(0))
    itself = local_correlation(gray, np.array([[1.0, 0, 0], [0, 1, 0]]))
    assert itself[itself != 0].min() > 0.999
    noise = np.random.default_rng(1).integers(0, 256, gray.shape).astype(np.uint8)
    assert np.abs(local_correlation(noise, np.array([[1.0, 0, 40], [0, 1, 0]]))).mean() < 0.1


def test_large_pictures_are_reduced():
    gray, scale = reduced(np.zeros((2_000, 3_000), np.uint8))
    assert gray.size <= 1.01 * MAX_PIXELS
    assert scale == pytest.approx((MAX_PIXELS / 6e6) ** 0.5)
