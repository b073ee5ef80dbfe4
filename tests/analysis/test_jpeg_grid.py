"""JPEG grids: origins by votes of zeros, their number of false alarms, parts with a grid of their own."""

import numpy as np
import pytest
from forgeries import (
    as_png,
    inside_and_outside,
    saved,
    scene,
    shifted_grid,
)
from scipy.fft import dctn
from scipy.stats import binom

from forensics.analysis.blocks import luma
from forensics.analysis.jpeg_grid import (
    ZERO_BELOW,
    examine,
    local_grids,
    log10_false_alarms,
    main_grid,
    votes,
    votes_per_cell,
    zero_counts,
)


def test_zeros_are_counted_as_a_plain_transform_counts_them():
    gray = luma(saved(scene(0), 60))[:37, :45]
    counts = zero_counts(gray)
    for top in range(0, 30, 3):
        for left in range(0, 38, 5):
            block = gray[top : top + 8, left : left + 8].astype(np.float64)
            has_equal_lines = (np.diff(block, axis=0) == 0).all() or (np.diff(block, axis=1) == 0).all()
            plain = np.abs(dctn(block, norm="ortho"))
            plain[0, 0] = 1
            expected = 0 if has_equal_lines else (plain < ZERO_BELOW).sum()
            assert counts[top, left] == expected
    assert counts[30:].max() == counts[:, 38:].max() == 0


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 5), (7, 1), (0, 4)])
@pytest.mark.parametrize("quality", [60, 85])
def test_the_origin_of_a_crop_is_found(top, left, quality):
    cropped = np.ascontiguousarray(saved(scene(1), quality)[top:, left:])
    grid = main_grid(votes_per_cell(votes(luma(cropped))))
    assert (grid.top, grid.left) == (-top % 8, -left % 8)
    assert grid.log10_nfa < -10
    finding = examine(as_png(cropped))
    assert finding.state == "consistent"
    assert ("crop" in finding.observation) == ((top, left) != (0, 0))


def test_what_was_never_compressed_has_no_grid():
    rng = np.random.default_rng(3)
    found = examine(as_png(rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)))
    assert found.state == "inconclusive"
    assert found.measures["main_grid_top"] is None


def test_votes_of_a_cell_are_counted_once():
    cast = votes(luma(saved(scene(2), 70)))[:40, :48]
    table = votes_per_cell(cast)
    assert table.shape == (5, 6, 64)
    assert table.sum() == (cast >= 0).sum()
    assert table[2, 3, 9] == (cast[16:24, 24:32] == 9).sum()


@pytest.mark.parametrize(("blocks", "hits"), [(100, 5), (400, 30), (1000, 200)])
def test_false_alarms_are_not_understated(blocks, hits):
    exact = float(np.log10(binom.sf(hits - 1, blocks, 1 / 64)))
    bound = log10_false_alarms(hits * 64, blocks * 64, 1.0)
    assert exact <= bound < 0.6 * exact


def test_the_part_is_found_where_it_is():
    for seed in range(6):
        picture, box = shifted_grid(seed)
        table = votes_per_cell(votes(luma(picture.pixels)))
        (left, top, right, bottom) = local_grids(table, 0)[0][0].box
        # Flat places do not vote, and cells beside the part may join it by chance.
        assert left <= box[0] + 8 and top <= box[1] + 8 and right >= box[2] - 8 and bottom >= box[3] - 8
        inside, outside = inside_and_outside(examine(picture).maps[0].values, box, picture.pixels.shape)
        assert inside > 0.6
        assert outside < 0.1
