"""JPEG ghosts: minima of the error at an earlier quality, in the part that was saved so."""

import numpy as np
import pytest
from forgeries import (
    as_png,
    inside_and_outside,
    part_saved_before,
    saved,
    scene,
)
from scipy.fft import dctn

from forensics.analysis.blocks import luma, luma_steps
from forensics.analysis.jpeg_ghosts import KEPT_FREQUENCIES, QUALITIES, examine, ghost_depths, squared_errors


@pytest.mark.parametrize("quality", [40, 60, 80])
def test_the_depth_is_greatest_at_the_quality_that_a_picture_was_saved_at(quality):
    errors = squared_errors(luma(saved(scene(0), quality)))
    depths, valid = ghost_depths(errors, np.ones(errors.shape[1:], np.bool_))
    medians = np.median(depths[:, valid], axis=1)
    # A multiple of a step divides by it, too: only the greatest is told.
    assert QUALITIES[1:-1][int(medians.argmax())] == quality
    assert medians.max() > 1


def test_errors_are_those_of_quantised_coefficients():
    gray = luma(scene(2))[:64, :72]
    table = luma_steps(50)[:KEPT_FREQUENCIES, :KEPT_FREQUENCIES]
    block = dctn(gray[8:16, 16:24].astype(np.float64) - 128, norm="ortho")[:KEPT_FREQUENCIES, :KEPT_FREQUENCIES]
    expected = np.mean((block - np.rint(block / table) * table) ** 2)
    assert squared_errors(gray)[QUALITIES.index(50), 1, 2] == pytest.approx(expected, rel=0.02)


def test_the_map_is_higher_in_the_part():
    pairs = []
    for seed in range(8):
        picture, box = part_saved_before(seed)
        pairs.append(inside_and_outside(examine(picture).maps[0].values, box, picture.pixels.shape))
    assert sum(inside > 3 * outside for inside, outside in pairs) >= 7


def test_a_flat_picture_cannot_be_judged():
    assert examine(as_png(np.full((200, 200, 3), 90, np.uint8))).state == "inconclusive"
