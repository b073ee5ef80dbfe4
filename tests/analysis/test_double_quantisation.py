"""Double quantisation: steps of an earlier save in the histograms, and the part that lacks them."""

from dataclasses import replace

import numpy as np
import pytest
from forgeries import (
    as_jpeg,
    as_png,
    flaws,
    inside_and_outside,
    part_saved_once,
    saved,
    scene,
)

from forensics.analysis.blocks import luma, luma_steps
from forensics.analysis.double_quantisation import MAX_BIN, density, double_steps, examine
from forensics.analysis.protocol import Picture


def test_every_second_bin_is_empty_where_the_first_step_was_twice_the_second():
    found = density(8, 4)
    bins = np.arange(-MAX_BIN, MAX_BIN + 1)
    # 0.4 grey levels of rounding do not reach the next bin, whose edge is 2 away.
    assert found[bins % 2 == 0] == pytest.approx(2, abs=1e-3)
    assert found[bins % 2 == 1] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("first", "second"), [(7, 5), (3, 8), (20, 3), (5, 5)])
def test_nothing_is_lost_or_gained_over_whole_periods(first, second):
    # Bins repeat after `first` of them: their mean is that of a smooth density.
    assert density(first, second)[MAX_BIN - first : MAX_BIN].mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("before", "last"), [(60, 90), (70, 90), (50, 80)])
def test_the_first_steps_are_found(before, last):
    picture = as_jpeg(saved(scene(3), before), last)
    gray = luma(picture.pixels)
    found, _ = double_steps(gray, luma_steps(last).astype(np.int64), np.ones((40, 40), np.bool_))
    first = luma_steps(before)
    assert len(found) >= 4
    hits = [step.first_step == first[step.frequency] for step in found]
    assert np.mean(hits) >= 0.75


def test_one_compression_shows_none():
    for seed in range(4):
        assert examine(as_jpeg(scene(seed), 85)).measures["frequencies_with_two_steps"] <= 1


def test_the_map_is_higher_in_the_part():
    for seed in range(8):
        picture, box = part_saved_once(seed)
        inside, outside = inside_and_outside(examine(picture).maps[0].values, box, picture.pixels.shape)
        assert inside > 0.6
        assert outside < 0.3


def test_other_formats_have_no_tables():
    assert examine(as_png(scene(0))).state == "not applicable"


def test_tables_of_another_length_are_no_tables():
    picture = as_jpeg(scene(0), 80)
    assert examine(Picture(picture.pixels, replace(picture.jpeg, tables=((1, 2, 3),)))).state == "not applicable"


def test_the_tables_of_a_hostile_file_are_answered():
    picture = as_jpeg(scene(0), 80)
    for step in (0, 1, 255, 65_535):
        assert flaws(examine(Picture(picture.pixels, replace(picture.jpeg, tables=((step,) * 64,))))) == []
