"""Random streams: repeatable, and independent of each other."""

from itertools import combinations

import numpy as np
import pytest

from forensics.common.seeds import rng_for


def test_the_same_path_gives_the_same_stream():
    assert np.array_equal(rng_for(3, 1, 2).integers(0, 1 << 60, 50), rng_for(3, 1, 2).integers(0, 1 << 60, 50))


@pytest.mark.parametrize(("a", "b"), list(combinations([(1,), (2,), (0, 1), (1, 1), (0, 0, 1), (0, 1, 1), (10,)], 2)))
def test_different_paths_give_unrelated_streams(a, b):
    x, y = rng_for(*a).normal(size=4000), rng_for(*b).normal(size=4000)
    assert not np.array_equal(x, y)
    # Five standard errors of the correlation of independent samples.
    assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(4000)


def test_neighbouring_items_do_not_share_their_first_draw():
    first = [rng_for(0, 2, epoch, place).random() for epoch in range(4) for place in range(250)]
    assert len(set(first)) == 1000
    assert abs(np.mean(first) - 0.5) < 5 * np.sqrt(1 / 12 / 1000)
