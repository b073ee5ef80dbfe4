"""Sharpness: falls with blur, whatever the size of the crop."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from forensics.features.sharpness import REFERENCE_PX, sharpness
from forensics.perturb import blur


@pytest.mark.parametrize("side", [64, 120, 160, 300])
def test_it_falls_with_blur(portrait, side):
    crop = cv2.resize(portrait[40:200, 150:310], (side, side), interpolation=cv2.INTER_AREA)
    values = [sharpness(crop)] + [sharpness(blur(crop, sigma * side / 160)) for sigma in (0.8, 1.6, 3.2)]
    assert all(sharper > softer for sharper, softer in pairwise(values))
    assert values[0] > 3 * values[2] > 9 * values[3] / 1.5


def test_a_flat_picture_has_none_and_the_laplacian_of_a_checkerboard_is_known():
    assert sharpness(np.full((50, 50, 3), 99, np.uint8)) == 0.0
    board = (np.indices((REFERENCE_PX, REFERENCE_PX)).sum(0) % 2 * 100).astype(np.uint8)
    # Each pixel differs by 100 from its four neighbours: the Laplacian is +-400 everywhere, borders are mirrored.
    assert sharpness(np.repeat(board[..., None], 3, 2)) == pytest.approx(400.0**2, rel=1e-3)


def test_contrast_counts_squared_and_brightness_not(portrait):
    crop = portrait[40:200, 150:310]
    half = np.rint(64 + crop * 0.5).astype(np.uint8)
    assert sharpness(half) == pytest.approx(sharpness(crop) / 4, rel=0.05)
    assert sharpness((crop // 2 + 10).astype(np.uint8)) == pytest.approx(
        sharpness((crop // 2).astype(np.uint8)), rel=1e-6
    )


def test_an_enlarged_crop_is_not_taken_for_sharp(portrait):
    crop = portrait[40:200, 150:310]
    small = cv2.resize(crop, (40, 40), interpolation=cv2.INTER_AREA)
    assert sharpness(small) < 0.5 * sharpness(crop)
