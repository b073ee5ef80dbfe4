"""Tiles of a picture: native pixels, spread, few, the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.features.tiles import BLOCK, MAX_TILES, MIN_PICTURE_PX, TILE_PX, spread_tiles


def numbered(height: int, width: int) -> np.ndarray:
    """Each pixel holds its own place: x in red and the low half of blue, y in green and the high half."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, x // 256 + 16 * (y // 256)], -1).astype(np.uint8)


def place_of(tile: np.ndarray) -> tuple[int, int]:
    red, green, blue = (int(value) for value in tile[0, 0])
    return red + 256 * (blue % 16), green + 256 * (blue // 16)


@pytest.mark.parametrize(
    ("shape", "places"),
    [
        ((256, 256), [(0, 0)]),
        ((300, 400), [(72, 16)]),
        ((100, 180), [(40, 0)]),
        ((512, 512), [(0, 0), (256, 0), (0, 256), (256, 256)]),
        ((600, 768), [(0, 16), (256, 16), (512, 16), (0, 320), (256, 320), (512, 320)]),
    ],
)
def test_places(shape, places):
    tiles = spread_tiles(numbered(*shape))
    assert [place_of(tile) for tile in tiles] == places
    assert {tile.shape for tile in tiles} == {(min(TILE_PX, *shape),) * 2 + (3,)}


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((1080, 1920), 3, 4), ((1920, 1080), 4, 3), ((2048, 2048), 3, 4), ((256, 4000), 1, 12)],
)
def test_a_large_picture_has_the_most_tiles_that_are_allowed(shape, rows, columns):
    places = [place_of(tile) for tile in spread_tiles(numbered(*shape))]
    assert len(places) == MAX_TILES
    assert (
        (len({y for _, y in places}), len({x for x, _ in places})) in {(rows, columns), (columns, rows)}
        if (shape[0] == shape[1])
        else {(rows, columns)}
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(MIN_PICTURE_PX, 1100), st.integers(MIN_PICTURE_PX, 1100))
def test_every_tile_is_cut_from_the_picture_at_whole_blocks(height, width):
    picture = numbered(height, width)
    tiles = spread_tiles(picture)
    assert 1 <= len(tiles) <= MAX_TILES
    for tile in tiles:
        x, y = place_of(tile)
        side = tile.shape[0]
        assert x % BLOCK == y % BLOCK == 0
        assert np.array_equal(tile, picture[y : y + side, x : x + side])
        assert not np.shares_memory(tile, picture)
    assert len({place_of(tile) for tile in tiles}) == len(tiles)
