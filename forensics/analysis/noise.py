"""Noise level, place by place, against what brightness and texture explain.

A part that came from another camera, another sensitivity, or through another filter brings its own noise.
Mahdian, Saic: Using Noise Inconsistencies for Blind Image Forensics (2009, Image and Vision Computing 27), which takes the
noise level from the finest diagonal wavelet coefficients (Donoho 1995: their median absolute value over 0.6745).
Here the level's logarithm is freed from brightness (shot noise) and texture by a robust fit over the picture.
The mean of the middle half stands for the median, since integers tie.
Limits: JPEG removes the finest diagonal coefficients, the more the lower its quality; a picture without them is not judged;
defocus, strong local tone mapping and portrait modes of telephones change noise by place quite legitimately.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.blocks import is_smaller, luma, means
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, State, inconclusive, not_applicable
from forensics.analysis.regions import MAD_OF_NORMAL, residuals, smoothed, strongest, unit

MIN_SIDE_PX = 128
BLOCK_PX = 16  # 64 diagonal coefficients: the median of so few is good to a tenth
DARKEST, BRIGHTEST = 12.0, 243.0
# In grey levels: below this the coefficients are what rounding left of them, and say nothing of a sensor.
LEAST_LEVEL = 0.25
MIN_JUDGED_SHARE = 0.25
SMOOTHING_PX = 3.0  # white noise keeps a tenth of its spread, and its Laplacian a hundredth
WINDOW_BLOCKS = 3
REGION_SPREADS = 1.0
MIN_REGION_BLOCKS = 12
LEAST_SPREAD = 0.1  # of the logarithm of the level: what 64 coefficients leave uncertain
# A level within this factor of the rest's is ordinary whatever the spread: in natural logarithms, a factor of 1.8.
LEAST_RATIO = 0.6
SUSPICIOUS = 1.8
INCONSISTENT = 2.1


def noise_level(gray: NDArray[np.uint8] | NDArray[np.int16], block: int = BLOCK_PX) -> NDArray[np.float32]:
    """Standard deviation of the noise of each block of block x block pixels, in the unit of gray, as the diagonal
    coefficients tell it: (H, W) -> (H // block, W // block) float32."""
    rows, columns = gray.shape[0] // block, gray.shape[1] // block
    whole = gray[: rows * block, : columns * block].astype(np.int16)
    # Haar's diagonal coefficients of 2 x 2 pixels, orthonormal: they keep the standard deviation of white noise.
    diagonal = np.abs(whole[::2, ::2] - whole[::2, 1::2] - whole[1::2, ::2] + whole[1::2, 1::2])
    half = block // 2
    blocks = diagonal.reshape(rows, half, columns, half).swapaxes(1, 2).reshape(rows, columns, half * half)
    # Integers tie: the mean of the middle half moves where a median would stay.
    ordered = np.sort(blocks, axis=2)[..., half * half // 4 : 3 * half * half // 4]
    return np.asarray(ordered.mean(2) / 2 / MAD_OF_NORMAL, np.float32)


def _halved(gray: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Haar's approximation, twice the mean of 2 x 2 pixels, in half grey levels: cut to whole blocks, (H / 2, W / 2)
    int16."""
    rows, columns = (side // BLOCK_PX * BLOCK_PX for side in gray.shape)
    whole = gray[:rows, :columns].astype(np.int16)
    return np.asarray(whole[::2, ::2] + whole[::2, 1::2] + whole[1::2, ::2] + whole[1::2, 1::2], np.int16)


def unexplained(gray: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Level of each block, the part of its logarithm that the content does not explain, in spreads, and blocks judged."""
    level = noise_level(gray)
    smooth = np.asarray(cv2.GaussianBlur(gray.astype(np.float32), (0, 0), SMOOTHING_PX), np.float32)
    brightness = means(smooth, BLOCK_PX)
    # Texture has more of its energy at the next coarser scale than at the finest, white noise as much: the coarser level
    # tells what texture would leave at the finest. Edges after much smoothing, so that noise is not explained away.
    coarse = noise_level(_halved(gray), BLOCK_PX // 2) / 2
    edges = means(np.asarray(np.abs(cv2.Laplacian(smooth, cv2.CV_32F)), np.float32), BLOCK_PX)
    valid = (brightness > DARKEST) & (brightness < BRIGHTEST) & (level >= LEAST_LEVEL)
    covariates = (brightness, np.log(coarse + 0.1), np.log(edges + 0.2))
    return level, residuals(np.log(level + 0.1), covariates, valid, LEAST_SPREAD), valid


def examine(picture: Picture) -> Finding:
    """State, and a map of levels that the content does not explain."""
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    level, rest, valid = unexplained(luma(picture.pixels))
    share = float(valid.mean())
    if share < MIN_JUDGED_SHARE or not rest.any():
        return inconclusive(
            f"Noise can be measured in {share:.0%} of the picture only, less than {MIN_JUDGED_SHARE:.0%}, or it "
            f"does not vary: "
            "compression, smoothing or saturation left none.",
            {"judged_share": share},
        )
    values, judged = smoothed(rest, valid, WINDOW_BLOCKS)
    found, region = strongest(values, judged, REGION_SPREADS, MIN_REGION_BLOCKS)
    usual = float(np.median(level[valid]))
    measures: dict[str, float | int | str | bool | None] = {"noise_level": usual, "judged_share": share}
    maps = (
        Map(
            "noise",
            unit(np.where(judged, np.abs(values), 0), INCONSISTENT),
            "Noise that brightness and texture do not explain.",
        ),
    )
    if region is None:
        said = (
            f"The noise level (median {usual:.1f} grey levels) follows brightness and texture in all connected parts."
        )
        return Finding("consistent", said, measures, 0.0, maps)
    inside = float(np.median(level[region.mask & valid])) if (region.mask & valid).any() else usual
    ratio = abs(float(np.log((inside + 0.1) / (usual + 0.1))))
    statistic = found if ratio >= LEAST_RATIO else found / 2
    left, top, right, bottom = region.box_px(BLOCK_PX)
    measures |= {"contrast_in_spreads": found, "part_noise_level": inside, "share_of_picture": region.share}
    said = (
        f"The part at x {left} to {right}, y {top} to {bottom} px ({region.share:.0%} of what could be judged) "
        f"has a noise level of "
        f"{inside:.1f} grey levels, {'more' if region.sign > 0 else 'less'} than its brightness and texture suggest by "
        f"{found:.1f} spreads; the median of the picture is {usual:.1f}."
    )
    state: State = (
        "inconsistent" if statistic >= INCONSISTENT else "suspicious" if statistic >= SUSPICIOUS else "consistent"
    )
    return Finding(state, said, measures, statistic, maps)


ANALYSIS = Analysis[Picture](
    name="noise",
    title="Noise level",
    family="sensor",
    needs="picture",
    question="Does the noise of every part follow its brightness and texture as in the rest?",
    method="The noise level of each block is read from the finest diagonal wavelet coefficients; what "
    "brightness and texture do "
    "not explain, as they do elsewhere in the picture, is looked at in connected parts.",
    citation="Mahdian, Saic: Using Noise Inconsistencies for Blind Image Forensics, Image and Vision Computing 27 (2009)",
    limits="Needs noise: JPEG, reductions and smoothing remove it.",
    benign=(
        "shallow depth of field, and the portrait mode of a telephone",
        "local tone mapping (HDR), and retouched or smoothed skin",
        "fine texture such as grass, hair or fabric in one part only",
    ),
    parameters={
        "block_px": BLOCK_PX,
        "least_level": LEAST_LEVEL,
        "min_judged_share": MIN_JUDGED_SHARE,
        "region_spreads": REGION_SPREADS,
        "min_region_blocks": MIN_REGION_BLOCKS,
        "least_log_ratio": LEAST_RATIO,
        "suspicious_spreads": SUSPICIOUS,
        "inconsistent_spreads": INCONSISTENT,
    },
    examine=examine,
)
