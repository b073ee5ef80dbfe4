"""JPEG ghosts: minima of the error at an earlier quality, in the part that was saved so."""

import numpy as np
import pytest
from forgeries import (
    as_png,
    flaws,
    inside_and_outside,
    odd_pictures,
    part_saved_before,
    same,
    saved,
    scene,
    states,
    untouched,
)
from scipy.fft import dctn

from forensics.analysis.blocks import luma, luma_steps
from forensics.analysis.jpeg_ghosts import ANALYSIS, KEPT_FREQUENCIES, QUALITIES, examine, ghost_depths, squared_errors
from forensics.analysis.protocol import Picture


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


def test_positives_are_called_inconsistent():
    assert states(ANALYSIS, 20).count("inconsistent") >= 16


@pytest.mark.parametrize("seed", range(4))
def test_ordinary_handling_is_not_called_inconsistent(seed):
    found = {name: ANALYSIS.examine(picture) for name, picture in untouched(seed)}
    assert [name for name, finding in found.items() if finding.state == "inconsistent"] == []
    assert [flaw for finding in found.values() for flaw in flaws(finding)] == []


@pytest.mark.parametrize(("name", "picture"), odd_pictures())
def test_odd_pictures_are_answered(name, picture):
    finding = ANALYSIS.examine(picture)
    assert flaws(finding) == []
    assert finding.state != "inconsistent"


def test_it_repeats():
    picture, _ = part_saved_before(0)
    assert same(ANALYSIS.examine(picture), ANALYSIS.examine(Picture(picture.pixels.copy(), picture.jpeg)))
