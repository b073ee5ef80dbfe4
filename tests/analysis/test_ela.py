"""Error level analysis: what changes when a picture is saved again, where its content does not explain it."""

import numpy as np
import pytest
from forgeries import (
    MAKERS,
    as_jpeg,
    inside_and_outside,
    part_saved_alone,
    saved,
    scene,
)

from forensics.analysis.ela import OTHER_QUALITY, QUALITY, chosen_quality, error_level, examine
from forensics.analysis.protocol import Picture


def test_a_picture_that_was_saved_so_before_changes_less():
    fresh, again = scene(1), saved(scene(1), QUALITY)
    assert error_level(again, QUALITY).mean() < 0.5 * error_level(fresh, QUALITY).mean()


def test_a_flat_picture_does_not_change():
    assert error_level(np.full((64, 80, 3), 130, np.uint8), QUALITY).max() == 0


@pytest.mark.parametrize(
    ("own", "expected"), [(60, QUALITY), (84, QUALITY), (86, OTHER_QUALITY), (90, OTHER_QUALITY), (98, QUALITY)]
)
def test_another_quality_is_taken_where_it_is_the_files_own(own, expected):
    assert chosen_quality(as_jpeg(scene(0), own)) == expected


def test_the_map_is_higher_in_the_part():
    pairs = []
    for seed in range(8):
        picture, box = part_saved_alone(seed)
        pairs.append(inside_and_outside(examine(picture).maps[0].values, box, picture.pixels.shape))
    assert sum(inside > 2 * outside for inside, outside in pairs) >= 7


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_it_never_says_more_than_suspicious(name):
    assert {examine(MAKERS[name](seed)[0]).state for seed in range(3)} <= {"consistent", "suspicious", "inconclusive"}


def test_a_picture_that_jpeg_cannot_hold_is_not_applicable():
    assert examine(Picture(np.zeros((128, 65_600, 3), np.uint8), None)).state == "not applicable"
