"""JPEG ghosts: parts that were once saved at another quality than the rest.

A part that was quantised once changes least when it is quantised again with the same steps. The squared error over
qualities therefore has a second minimum, the ghost, where a part's earlier quality lies.
Farid: Exposing Digital Forgeries From JPEG Ghosts (2009, IEEE TIFS 4(1)).
Here the error is summed over DCT coefficients, which equals that over pixels (Parseval), so that nothing is encoded; and a
ghost is told by how far its error lies below that of both neighbouring qualities, which hardly depends on the content.
Limits: only ghosts on the grid of the file's corner (`jpeg_grid` looks for others); only parts whose earlier quality was
lower than the last; tables other than the Independent JPEG Group's leave shallower ghosts.
"""

import numpy as np
from numpy.typing import NDArray

from forensics.analysis.blocks import BLOCK, block_dct, clipped_blocks, is_smaller, luma, luma_steps
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, Plot, State, inconclusive, not_applicable
from forensics.analysis.regions import Region, smoothed, strongest

MIN_SIDE_PX = 128
QUALITIES = tuple(range(30, 101, 5))
# Coefficients per direction: higher frequencies are zero at most qualities, and say nothing.
KEPT_FREQUENCIES = 6
ROWS_AT_ONCE = 16  # of blocks
WINDOW_BLOCKS = 5
# Mean squared error per coefficient at the lowest quality below which a window is flat.
MIN_ERROR = 4.0
# A ghost of another part of the file's own quality, or of its neighbours, is that of the last save.
LAST_SAVE_MARGIN = 10
# Added to errors, in squared grey levels per coefficient: what rounding the pixels leaves.
FLOOR = 0.1
REGION_DEPTH = 0.20
MIN_REGION_BLOCKS = 12
# How deep a ghost is depends on texture by about this part of itself: a ghost that all parts have must not set one apart.
SHARED_DEPTH = 1.5
SUSPICIOUS = 0.55
INCONSISTENT = 0.75


def squared_errors(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean squared change of the low-frequency coefficients of each block when quantised: (qualities, rows, columns).

    gray: (H, W) uint8. In squared grey levels per coefficient.
    """
    rows, columns = gray.shape[0] // BLOCK, gray.shape[1] // BLOCK
    errors = np.empty((len(QUALITIES), rows, columns), np.float32)
    tables = [luma_steps(quality)[:KEPT_FREQUENCIES, :KEPT_FREQUENCIES] for quality in QUALITIES]
    for first in range(0, rows, ROWS_AT_ONCE):
        strip = gray[first * BLOCK : (first + ROWS_AT_ONCE) * BLOCK]
        coefficients = np.ascontiguousarray(block_dct(strip, keep=KEPT_FREQUENCIES))
        part = slice(first, first + coefficients.shape[0])
        for index, table in enumerate(tables):
            change = coefficients - np.rint(coefficients / table) * table
            errors[index, part] = np.einsum("rckl,rckl->rc", change, change) / KEPT_FREQUENCIES**2
    return errors


def ghost_depths(errors: NDArray[np.float32], used: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How far the error of each inner quality lies below its neighbours', as a logarithm, and where that can be judged.

    errors: (qualities, rows, columns); used (rows, columns) bool. Returns (qualities - 2, rows, columns) float32, 0
    where not valid; (rows, columns).
    """
    windows = np.stack([smoothed(each, used, WINDOW_BLOCKS)[0] for each in errors])
    valid = windows[0] >= MIN_ERROR  # 0 where too few blocks of the window were used
    logs = np.log(windows + FLOOR)
    depths = (logs[:-2] + logs[2:]) / 2 - logs[1:-1]
    return np.where(valid, depths, 0).astype(np.float32), valid


def strongest_ghost(
    depths: NDArray[np.float32], valid: NDArray[np.bool_], last_quality: int | None
) -> tuple[float, int | None, Region | None]:
    """How much deeper a ghost is where it is deeper than SHARED_DEPTH times it is elsewhere, its quality, and the part.

    The part has the ghost and the rest has not, or the other way round (the region's sign).
    """
    best: tuple[float, int | None, Region | None] = (0.0, None, None)
    for quality, depth in zip(QUALITIES[1:-1], depths, strict=True):
        if last_quality is not None and quality > last_quality - LAST_SAVE_MARGIN:
            continue
        middle = float(np.median(depth[valid])) if valid.any() else 0.0
        _, region = strongest(depth - np.float32(middle), valid, REGION_DEPTH, MIN_REGION_BLOCKS)
        if region is None:
            continue
        inside, outside = float(np.median(depth[region.mask])), float(np.median(depth[valid & ~region.mask]))
        deep, shallow = max(inside, outside), min(inside, outside)
        found = deep - SHARED_DEPTH * max(shallow, 0.0)
        if found > best[0]:
            best = found, quality, region
    return best


def examine(picture: Picture) -> Finding:
    """State, a map of the deepest ghost, and the depth over qualities inside and outside of it."""
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    depths, valid = ghost_depths(squared_errors(luma(picture.pixels)), ~clipped_blocks(picture.pixels))
    if int(valid.sum()) < 4 * MIN_REGION_BLOCKS:
        return inconclusive(
            "The picture is too flat: quantisation changes hardly any of it.", {"blocks": int(valid.sum())}
        )
    last = picture.jpeg.quality if picture.jpeg else None
    statistic, quality, region = strongest_ghost(depths, valid, last)
    measures: dict[str, float | int | str | bool | None] = {"depth_difference": statistic, "last_quality": last}
    if region is None or quality is None:
        said = (
            f"No part has a minimum of its own between qualities {QUALITIES[1]} and {QUALITIES[-2]}: "
            f"no depth differs by {REGION_DEPTH} from the rest's."
        )
        blank = np.zeros(valid.shape, np.float32)
        return Finding("consistent", said, measures, 0.0, _maps(blank, "No ghost was found."))
    index = QUALITIES.index(quality) - 1
    middle = np.float32(np.median(depths[index][valid]))
    left, top, right, bottom = region.box_px(BLOCK)
    measures |= {"ghost_quality": quality, "share_of_picture": region.share, "part_has_the_ghost": region.sign > 0}
    which = "is deeper" if region.sign > 0 else "is shallower"
    said = (
        f"At quality {quality} the minimum of the error {which} (by {statistic:.2f} in logarithms, after "
        f"allowing for texture) in the part at x {left} to {right}, "
        f"y {top} to {bottom} px ({region.share:.0%} of what could be judged) than in the rest."
    )
    state: State = (
        "inconsistent" if statistic >= INCONSISTENT else "suspicious" if statistic >= SUSPICIOUS else "consistent"
    )
    if state == "consistent":
        said += f" Differences below {SUSPICIOUS} are consistent with one history of all parts."
    values = np.where(valid, np.clip(region.sign * (depths[index] - middle), 0, 1), 0).astype(np.float32)
    caption = f"Depth of the minimum at quality {quality}, against the rest of the picture."
    outside = valid & ~region.mask
    plot = Plot(
        "jpeg-ghosts-depth",
        np.array(QUALITIES[1:-1], np.float64),
        {
            "part": depths[:, region.mask].mean(1, np.float64),
            "rest": depths[:, outside].mean(1, np.float64) if outside.any() else np.zeros(len(depths)),
        },
        "JPEG quality",
        "depth of the minimum (log)",
        "A ghost is a peak of one curve that the other lacks.",
        ((float(quality), "ghost"),),
    )
    return Finding(state, said, measures, statistic, _maps(values, caption), (plot,))


def _maps(values: NDArray[np.float32], caption: str) -> tuple[Map, ...]:
    return (Map("jpeg-ghosts", values, caption),)


ANALYSIS = Analysis[Picture](
    name="jpeg-ghosts",
    title="JPEG ghosts",
    family="compression",
    needs="picture",
    question="Was a part of the picture once saved at a lower quality than the rest?",
    method="The picture's DCT coefficients are quantised at qualities from 30 to 100; a part whose error has a "
    "minimum where "
    "the rest has none was saved at that quality before.",
    citation="Farid: Exposing Digital Forgeries From JPEG Ghosts, IEEE TIFS 4(1) (2009)",
    limits="Blind to parts that do not lie on the grid of the picture's corner, to earlier qualities above the "
    "last one, and "
    "to flat parts.",
    benign=(
        "a photograph in a collage, a screenshot or a page",
        "a caption or logo drawn over a picture that was saved before",
        "regular fine texture beside smooth parts",
    ),
    parameters={
        "lowest_quality": QUALITIES[0],
        "highest_quality": QUALITIES[-1],
        "window_blocks": WINDOW_BLOCKS,
        "region_depth": REGION_DEPTH,
        "min_region_blocks": MIN_REGION_BLOCKS,
        "suspicious_depth": SUSPICIOUS,
        "inconsistent_depth": INCONSISTENT,
    },
    examine=examine,
)
