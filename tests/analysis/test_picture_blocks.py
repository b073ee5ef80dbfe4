"""Luma, block transform and tables against plain computations."""

import numpy as np
import pytest
from forgeries import encoded, read, scene
from scipy.fft import dctn

from forensics.analysis.blocks import block_dct, clipped_blocks, luma, luma_steps, means


@pytest.mark.parametrize(("top", "left", "keep"), [(0, 0, 8), (4, 4, 8), (3, 0, 4)])
def test_blocks_are_transformed_as_scipy_does(top, left, keep):
    gray = luma(scene(0))[:45, :61]
    found = block_dct(gray, top, left, keep)
    assert found.shape == ((45 - top) // 8, (61 - left) // 8, keep, keep)
    block = gray[top + 8 : top + 16, left + 24 : left + 32].astype(np.float64) - 128
    assert found[1, 3] == pytest.approx(dctn(block, norm="ortho")[:keep, :keep], abs=1e-3)


@pytest.mark.parametrize("quality", [10, 49, 50, 75, 92, 100])
def test_tables_are_those_that_pillow_writes(quality):
    facts = read(encoded(scene(0), quality)).jpeg
    assert facts is not None
    assert luma_steps(quality).ravel().tolist() == list(facts.tables[0])
    assert facts.quality == quality


def test_means_leave_out_what_is_no_whole_square():
    values = np.arange(5 * 7, dtype=np.float32).reshape(5, 7)
    assert means(values, 2).tolist() == [[4, 6, 8], [18, 20, 22]]
    assert means(values, 8).shape == (0, 0)


def test_blocks_with_more_than_three_clipped_pixels_are_told():
    pixels = np.full((16, 24, 3), 100, np.uint8)
    pixels[3, 3, 1] = 255
    pixels[9, 17:21, 0] = 0
    pixels[10, 3:6] = 255
    assert np.argwhere(clipped_blocks(pixels)).tolist() == [[1, 2]]
