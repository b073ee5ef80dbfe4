"""The preview inside a file against the picture that it shows.

A camera writes both from one exposure. Software that changes the picture and leaves the preview alone keeps what the
picture showed before.

Kee, Farid: Digital image authentication from thumbnails (SPIE Media Forensics and Security II, 2010), who model how
previews are made; here only what they show is compared: the best normalised cross-correlation over turns, mirrors,
scales and crops.

Limits: an alteration that is small in the preview (below about a tenth of its side) does not lower the correlation
much; most files that were shared have lost their preview; software that saves well makes a new one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.protocol import Analysis, File, Finding, Map, Measure, Rgb, State, inconclusive, not_applicable

# Both are compared at about this many pixels on the longer side: a preview has 160, and detail does not survive its
# compression.
SIDE_PX = 80
MIN_SIDE_PX = 24
# A crop keeps at least half of the side: below, smooth templates fit nearly anywhere.
SCALES = tuple(np.linspace(0.5, 1.0, 11))
# Previews of 4:3 around pictures of 3:2 have black bars.
MAX_BAR_LEVEL, MAX_BAR_SPREAD = 24.0, 8.0
# Grey levels; below that there is nothing to compare.
MIN_SPREAD = 4.0
# Of 1 - correlation. On 40 photographs (CASIA v1, dev) own previews stay below 0.18, cropped by a third and brightened
# included; previews of other photographs are above 0.23, 95 of 100 above 0.26.
SUSPICIOUS_AT, INCONSISTENT_AT = 0.2, 0.25
# Where differing is shown: the mean absolute difference of normalised brightness in windows of this side, full scale
# at 2 deviations.
WINDOW_PX, FULL_DIFFERENCE = 9, 2.0
TURNS = ("", "turned by 90 degrees", "turned by 180 degrees", "turned by 270 degrees")

Gray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Match:
    """The best agreement of a preview with a picture: correlation in [-1, 1], how the preview lies over it in words, and
    both of them there, (h, w) float32, as they were compared."""

    correlation: float
    how: str
    preview: Gray
    picture: Gray


def match_preview(thumbnail: Rgb, shown: Rgb) -> Match | None:
    """The best match over eight orientations, stretching, and crops of either by down to half of the side.

    thumbnail, shown: (h, w, 3) uint8 RGB of any size. None where one of them is too small or flat to be compared.
    """
    preview, picture = _gray(_without_bars(thumbnail)), _gray(shown)
    if min(*preview.shape, *picture.shape) < MIN_SIDE_PX or min(preview.std(), picture.std()) < MIN_SPREAD:
        return None
    best: Match | None = None
    for turned, words in _orientations(preview):
        for match in _candidates(turned, picture):
            if best is None or match.correlation > best.correlation + 1e-6:
                how = ", ".join(part for part in (words, match.how) if part) or "as it is stored"
                best = Match(match.correlation, how, match.preview, match.picture)
    return best


def examine(file: File) -> Finding:
    """One minus the best correlation decides."""
    if file.thumbnail is None:
        return not_applicable("The file holds no preview that can be decoded.")
    if file.shown is None:
        return not_applicable("The picture itself is not at hand.")
    match = match_preview(file.thumbnail, file.shown)
    if match is None:
        return inconclusive("The preview or the picture is too small or too even to be compared.")
    statistic = round(float(np.clip(1.0 - match.correlation, 0.0, 2.0)), 6)
    measures: dict[str, Measure] = {"correlation": round(match.correlation, 4), "lies": match.how}
    state: State = "consistent"
    if statistic >= INCONSISTENT_AT:
        state = "inconsistent"
    elif statistic >= SUSPICIOUS_AT:
        state = "suspicious"
    height, width = file.thumbnail.shape[:2]
    observation = (
        f"The preview of {width} x {height} pixels correlates with the picture at {match.correlation:.2f} where "
        "it fits best "
        f"({match.how})."
    )
    return Finding(state, observation, measures, statistic, maps=_maps(match) if state != "inconsistent" else ())


def _maps(match: Match) -> tuple[Map, ...]:
    if match.how != "as it is stored":  # a map lies over the whole picture
        return ()
    difference = np.abs(_normalised(match.preview) - _normalised(match.picture))
    blurred = cv2.blur(difference.astype(np.float32), (WINDOW_PX, WINDOW_PX))
    values = np.clip(blurred / FULL_DIFFERENCE, 0.0, 1.0).astype(np.float32)
    return (Map("preview-difference", values, "Where the preview differs from the picture, in brightness"),)


def _gray(pixels: Rgb) -> Gray:
    """(h, w) float32, reduced so that the longer side is SIDE_PX at most."""
    factor = min(1.0, SIDE_PX / max(pixels.shape[:2]))
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = (max(1, round(side * factor)) for side in gray.shape)
    return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _without_bars(pixels: Rgb) -> Rgb:
    """The preview without black bars above and below, or left and right; as it is where nothing would be left."""
    gray = pixels.mean(axis=2)
    for axis in (1, 0):
        is_bar = (gray.mean(axis=axis) < MAX_BAR_LEVEL) & (gray.std(axis=axis) < MAX_BAR_SPREAD)
        inside = np.flatnonzero(~is_bar)
        if len(inside) >= 2:
            kept = slice(int(inside[0]), int(inside[-1]) + 1)
            pixels, gray = (pixels[kept], gray[kept]) if axis == 1 else (pixels[:, kept], gray[:, kept])
    return pixels


def _orientations(preview: Gray) -> Iterator[tuple[Gray, str]]:
    for mirrored in (False, True):
        base = preview[:, ::-1] if mirrored else preview
        for turns, words in enumerate(TURNS):
            parts = [part for part in ("mirrored" if mirrored else "", words) if part]
            yield np.ascontiguousarray(np.rot90(base, turns)), ", ".join(parts)


def _candidates(preview: Gray, picture: Gray) -> Iterator[Match]:
    """The preview stretched over the whole picture, then either searched for as a crop of the other."""
    height, width = picture.shape
    stretched = np.asarray(cv2.resize(preview, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    yield Match(_correlation(stretched, picture), "", stretched, picture)
    for scale in SCALES:
        if found := _search(preview, picture, float(scale)):
            yield Match(found[0], f"as a crop of the picture, {scale:.0%} of its side", found[1], found[2])
        if found := _search(picture, preview, float(scale)):
            yield Match(found[0], f"with the picture as a crop of it, {scale:.0%} of its side", found[2], found[1])


def _search(part: Gray, whole: Gray, scale: float) -> tuple[float, Gray, Gray] | None:
    """The best place for `part`, as large as fits times `scale`, within `whole`: correlation, part, and what it lies on."""
    factor = scale * min(whole.shape[0] / part.shape[0], whole.shape[1] / part.shape[1])
    height, width = (
        max(1, min(limit, round(side * factor))) for side, limit in zip(part.shape, whole.shape, strict=True)
    )
    if min(height, width) < MIN_SIDE_PX // 2:
        return None
    template = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    if template.std() < MIN_SPREAD:
        return None
    scores = cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(int(np.argmax(np.nan_to_num(scores, nan=-1.0, posinf=-1.0))), scores.shape)
    covered = whole[y : y + height, x : x + width]
    return _correlation(template, covered), template, covered


def _normalised(gray: Gray) -> Gray:
    return np.asarray((gray - gray.mean()) / max(float(gray.std()), MIN_SPREAD), np.float32)


def _correlation(a: Gray, b: Gray) -> float:
    """Pearson's; 0 where one of them is nearly flat."""
    if min(a.std(), b.std()) < MIN_SPREAD:
        return 0.0
    return float(np.mean(_normalised(a) * _normalised(b)))


ANALYSIS = Analysis(
    name="thumbnail",
    title="Preview inside the file",
    family="file",
    needs="file",
    question="Does the preview inside the file show what its picture shows?",
    method=(
        "Lays the preview over the picture, in eight orientations, stretched, and as a crop of either, and takes "
        "the best normalised "
        "cross-correlation of their brightness."
    ),
    citation=(
        "Kee, E., Farid, H. (2010). Digital image authentication from thumbnails. SPIE Media Forensics and "
        "Security II, 7541."
    ),
    limits=(
        "Small alterations hardly lower the correlation. Few files that were shared still hold a preview, and "
        "software that saves well "
        "makes a new one. A preview can be replaced like any other part of a file."
    ),
    benign=(
        "The picture was cropped by more than half, or stitched from several, and the preview is that of the first.",
        "Strong changes of tone: a negative, a drawing filter, a black and white conversion with curves.",
        "A program copied the tags of another picture, preview included.",
    ),
    parameters={
        "suspicious_at": SUSPICIOUS_AT,
        "inconsistent_at": INCONSISTENT_AT,
        "side_px": SIDE_PX,
        "min_side_px": MIN_SIDE_PX,
        "least_crop": SCALES[0],
    },
    examine=examine,
)
