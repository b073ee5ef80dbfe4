"""Error level analysis: how much a picture changes, place by place, when it is saved once more.

A part with another history of compression may change more or less than the rest. Mostly, though, a place changes with how
busy it is, so the error is compared with that of places of like contrast and brightness in the same picture.
Krawetz: A Picture's Worth ... Digital Image Analysis and Forensics (2007, Black Hat USA).
Limits: exploratory. Sharp edges, saturated colours and repeated saves make levels that look like edits, so that this never
says more than `suspicious`, and a picture without any says nothing at all.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.blocks import BLOCK, is_smaller, luma, means
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, Rgb, State, inconclusive, not_applicable
from forensics.analysis.regions import residuals, smoothed, strongest, unit

MIN_SIDE_PX = 128
# The usual choice: below most cameras' qualities, above most web sites'. A file that was saved at nearly that quality
# hardly changes anywhere when it is saved so again: another is taken then.
QUALITY, OTHER_QUALITY = 90, 75
SAME_QUALITY_MARGIN = 5
WINDOW_BLOCKS = 5
# In spreads of the residuals: where a region begins, and what its median must differ by.
REGION_SPREADS = 1.0
MIN_REGION_SHARE = 0.01
MIN_REGION_BLOCKS = 12
SUSPICIOUS = 3.0
# Of the logarithm of the level: a picture that was saved at this very quality before hardly changes anywhere, and what is
# left is rounding.
LEAST_SPREAD = 0.15
# Darker or brighter than this, errors are cut off.
DARKEST, BRIGHTEST = 8.0, 247.0


def chosen_quality(picture: Picture) -> int:
    """The quality to save at."""
    last = picture.jpeg.quality if picture.jpeg else None
    return OTHER_QUALITY if last is not None and abs(last - QUALITY) <= SAME_QUALITY_MARGIN else QUALITY


def error_level(pixels: Rgb, quality: int) -> NDArray[np.float32]:
    """Mean absolute change of each 8 x 8 block, all channels: (H, W, 3) uint8 -> (H // 8, W // 8) float32 in grey levels.

    Raises ValueError where OpenCV cannot encode a picture of this size (a side above 65500 pixels).
    """
    # OpenCV's order is BGR: chroma is halved by the encoder as it would be from an editor.
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    try:
        encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise ValueError(
            f"a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be saved as a JPEG"
        ) from error
    if not encoded:
        raise ValueError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be saved as a JPEG")
    again = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if again is None:
        raise ValueError("what was just saved cannot be read")
    change = cv2.absdiff(bgr, again)
    return means(cv2.transform(change, np.full((1, 3), 1 / 3, np.float32)).astype(np.float32), BLOCK)


def unexplained(pixels: Rgb, quality: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The error level that contrast and brightness do not explain, in spreads, and which blocks were judged.

    Returns (H // 8, W // 8) float32 and bool.
    """
    gray = luma(pixels).astype(np.float32)
    level = error_level(pixels, quality)
    brightness = means(gray, BLOCK)
    variance = np.maximum(means(gray * gray, BLOCK) - brightness**2, 0)
    gradient = means(np.abs(cv2.Laplacian(gray, cv2.CV_32F)), BLOCK)
    valid = (brightness > DARKEST) & (brightness < BRIGHTEST)
    covariates = (np.log(np.sqrt(variance) + 1), np.log(gradient + 1), brightness)
    return residuals(np.log(level + 0.1), covariates, valid, LEAST_SPREAD), valid


def examine(picture: Picture) -> Finding:
    """State, and a map of levels that the content does not explain."""
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    quality = chosen_quality(picture)
    try:
        rest, valid = unexplained(picture.pixels, quality)
    except ValueError as error:
        return not_applicable(f"It cannot be saved again: {error}.")
    if not rest.any():
        return inconclusive("The picture is too flat or too uniform: its error level does not vary.")
    values, judged = smoothed(rest, valid, WINDOW_BLOCKS)
    least = max(MIN_REGION_BLOCKS, int(MIN_REGION_SHARE * judged.sum()))
    statistic, region = strongest(values, judged, REGION_SPREADS, least)
    shown = unit(np.where(judged, np.abs(values), 0), 2 * SUSPICIOUS)
    caption = f"Change on saving at quality {quality}, beyond what contrast and brightness explain; exploratory."
    maps = (Map("ela", shown, caption),)
    measures = {
        "contrast_in_spreads": statistic,
        "share_of_picture": region.share if region else 0.0,
        "quality": quality,
    }
    if region is None:
        said = (
            "No connected part changes otherwise than its content suggests when the picture is saved at "
            f"quality {quality}."
        )
        return Finding("consistent", said, measures, 0.0, maps)
    left, top, right, bottom = region.box_px(BLOCK)
    said = (
        f"Saved at quality {quality}, the part at x {left} to {right}, y {top} to {bottom} px "
        f"({region.share:.0%} of what could be "
        f"judged) changes {'more' if region.sign > 0 else 'less'} than places of like contrast, by {statistic:.1f} spreads."
    )
    state: State = "suspicious" if statistic >= SUSPICIOUS else "consistent"
    if state == "consistent":
        said += f" Differences below {SUSPICIOUS} spreads are common in unaltered photographs."
    return Finding(state, said, measures, statistic, maps)


ANALYSIS = Analysis[Picture](
    name="ela",
    title="Error level analysis",
    family="compression",
    needs="picture",
    question="Does a part of the picture change otherwise than the rest when it is saved once more?",
    method=f"The picture is saved at quality {QUALITY} ({OTHER_QUALITY} if that was its own); how much each "
    f"block changes is compared with blocks of like contrast and "
    "brightness.",
    citation="Krawetz: A Picture's Worth ... Digital Image Analysis and Forensics, Black Hat USA (2007)",
    limits="Exploratory: it never says more than suspicious. Saturated colours, sharp edges and several saves "
    "hide or imitate "
    "what it looks for.",
    benign=(
        "saturated colours, whose chroma is changed most",
        "a scene of two quite different textures, or a part out of focus",
        "captions, logos and frames",
    ),
    parameters={
        "quality": QUALITY,
        "other_quality": OTHER_QUALITY,
        "window_blocks": WINDOW_BLOCKS,
        "region_spreads": REGION_SPREADS,
        "min_region_share": MIN_REGION_SHARE,
        "suspicious_spreads": SUSPICIOUS,
    },
    examine=examine,
)
