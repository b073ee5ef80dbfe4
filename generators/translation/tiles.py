"""Pictures of any size through a translator, tile by tile, so that what the network needs does not grow with the picture.

A network that sees only so far (`reach_px`) gives the same pixels in a tile as in the whole picture, but near the tile's
rim, which is thrown away: neighbours overlap by twice the reach. Where it sees the whole of what it is given, tiles are
blended by a ramp; pix2pix is given squares of its own side, CycleGAN the whole picture where a tile may be as large. Tiles
lie on one grid, several go through the network together. Edges of the picture are those of the network's own padding, as
without tiles; a tile that is larger than the picture is filled by reflection, or where there is too little to reflect, by
its edge.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from generators.translation.loaded import LoadedTranslator

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

TILE_PX = 256
BATCH = 4
# Of squares that are blended: the share of the side by which neighbours overlap.
BLENDED_SHARE = 0.25


@dataclass(frozen=True)
class Span:
    """Along one side: the tile [start, stop) of the input, of which [keep, until) is used."""

    start: int
    stop: int
    keep: int
    until: int


def spans(length: int, tile: int, rim: int) -> list[Span]:
    """Tiles that cover `length`, as few as tiles of at most `tile` can, all of the same size and no larger than they must
    be; each gives what lies `rim` inside it, the outer ones up to the picture's edge. Raises ValueError for a tile without
    an inside."""
    if tile <= 2 * rim:
        raise ValueError(f"a tile of {tile} with a rim of {rim} has no inside")
    if length <= tile:
        return [Span(0, length, 0, length)]
    count = -(-(length - 2 * rim) // (tile - 2 * rim))
    tile = -(-(length - 2 * rim) // count) + 2 * rim
    found, keep = [], 0
    while keep < length:
        start = min(max(keep - rim, 0), length - tile)
        stop = start + tile
        until = length if stop == length else stop - rim
        found.append(Span(start, stop, keep, until))
        keep = until
    return found


def starts(length: int, side: int, overlap: int) -> list[int]:
    """Where squares of one side begin that cover `length`, evenly spread; neighbours share at least `overlap`."""
    count = max(1, -(-(length - overlap) // (side - overlap)))
    return [int(start) for start in np.linspace(0, length - side, count).round()]


def check_tile(loaded: LoadedTranslator, tile_px: int) -> None:
    """Raise UsageError for tiles that are nothing but rim."""
    reach = loaded.reach_px or 0
    if tile_px <= 2 * reach:
        raise UsageError(
            f"tiles of {tile_px} px have no inside: {loaded.what} sees {reach} px around each pixel",
            f"--tile {4 * reach} or more",
        )


def translate(loaded: LoadedTranslator, picture: Picture, tile_px: int = TILE_PX, batch: int = BATCH) -> Picture:
    """(H, W, 3) uint8 -> (scale H, scale W, 3) uint8.

    Raises UsageError for outputs that are not finite, and for a tile that is too small for the network.
    """
    check_tile(loaded, tile_px)
    reach = loaded.reach_px
    if reach is None:
        return _blended(loaded, picture, tile_px, batch)
    height, width = picture.shape[:2]
    scale = loaded.config.scale
    out = np.empty((height * scale, width * scale, 3), np.uint8)
    places = [(row, column) for row in spans(height, tile_px, reach) for column in spans(width, tile_px, reach)]
    cut = [picture[row.start : row.stop, column.start : column.stop] for row, column in places]
    for (row, column), drawn in zip(places, _drawn(loaded, cut, batch), strict=True):
        out[row.keep * scale : row.until * scale, column.keep * scale : column.until * scale] = _uint8(loaded, drawn)[
            (row.keep - row.start) * scale : (row.until - row.start) * scale,
            (column.keep - column.start) * scale : (column.until - column.start) * scale,
        ]
    return out


def _blended(loaded: LoadedTranslator, picture: Picture, tile_px: int, batch: int) -> Picture:
    """Overlapping tiles, each of which weighs less towards its rim."""
    height, width = picture.shape[:2]
    sides = [_side(loaded, length, tile_px) for length in (height, width)]
    missing = [max(0, side - length) for side, length in zip(sides, (height, width), strict=True)]
    padded = np.pad(
        picture, ((0, missing[0]), (0, missing[1]), (0, 0)),
        mode="reflect" if missing[0] < height and missing[1] < width else "edge",
    )  # fmt: skip
    rims = [int(side * BLENDED_SHARE / 2) for side in sides]
    places = list(
        itertools.product(
            *(starts(length, side, 2 * rim) for length, side, rim in zip(padded.shape, sides, rims, strict=False))
        )
    )
    down, across = (
        np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).clip(max=2 * rim + 1).astype(np.float32)
        for side, rim in zip(sides, rims, strict=True)
    )
    weight = (down[:, None] * across[None])[..., None]
    total = np.zeros(padded.shape, np.float32)
    weights = np.zeros((*padded.shape[:2], 1), np.float32)
    cut = [padded[top : top + sides[0], left : left + sides[1]] for top, left in places]
    for (top, left), drawn in zip(places, _drawn(loaded, cut, batch), strict=True):
        total[top : top + sides[0], left : left + sides[1]] += weight * drawn
        weights[top : top + sides[0], left : left + sides[1]] += weight
    return _uint8(loaded, np.asarray(total / weights, np.float32))[:height, :width]


def _side(loaded: LoadedTranslator, length: int, tile_px: int) -> int:
    """Of the tiles that cover `length`: what the network was trained with, or where it takes others, as much as the picture
    has and a tile may."""
    step = loaded.network.side_step
    if step is None:
        return loaded.config.image_px
    return max(loaded.config.image_px, min(-(-length // step), tile_px // step) * step)


@torch.inference_mode()
def _drawn(loaded: LoadedTranslator, cut: list[Picture], batch: int) -> Iterator[NDArray[np.float32]]:
    """(h, w, 3) in levels of 255, not yet rounded, of each cut-out in order; equal sizes go together."""
    start = 0
    while start < len(cut):
        stop = start + 1
        while stop < min(len(cut), start + batch) and cut[stop].shape == cut[start].shape:
            stop += 1
        x = torch.from_numpy(np.stack(cut[start:stop])).to(loaded.device).permute(0, 3, 1, 2)
        with torch.autocast(loaded.device.type, loaded.dtype or torch.bfloat16, enabled=loaded.dtype is not None):
            out = loaded.network(x.float().mul_(2 / 255).sub_(1)).float().add(1).mul(127.5)
        yield from out.permute(0, 2, 3, 1).cpu().numpy()
        start = stop


def _uint8(loaded: LoadedTranslator, levels: NDArray[np.float32]) -> Picture:
    if not np.isfinite(levels).all():
        raise UsageError(
            f"{loaded.what} draws values that are not finite (step {loaded.step})",
            "its training went wrong: take an earlier checkpoint",
        )
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)
