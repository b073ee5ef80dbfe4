"""One face warped onto another in still pictures, at varied strength: pure functions of arrays.

Triangles of the mean face, placed in both pictures by five landmarks, carry the donor's face over (see
`generators.faceswap.rendering.landmark_warp`); it is reduced and enlarged again as a swap of few pixels is, its colours are
matched, and it is mixed in by a softened mask. Tight crops are worked on with a border, so that a face that leaves its
crop has no seam there; where the donor's own picture ends, so does the mask.
Limits: expression, gaze and light stay the donor's; the mean face is a tenth of the distance of the eyes off the truth.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.faces.mean_shape import BROWS, JAW, place_mean_shape
from generators.faceswap.masks import eroded_and_feathered, hull_mask
from generators.faceswap.rendering.colour import ColourMatch, match_colour
from generators.faceswap.rendering.landmark_warp import WarpSettings, warp_face
from generators.faceswap.rendering.paste import Blend, blended

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Points = NDArray[np.float64]  # (N, 2) as (x, y)
Outline = Literal["face", "inner", "oval"]
Enlarging = Literal["linear", "cubic", "lanczos"]

ENLARGING = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
# How often each is drawn. Most published swaps replace the whole face, fit its mean colours, and mix by a mask.
OUTLINES: dict[Outline, float] = {"face": 0.6, "inner": 0.25, "oval": 0.15}
COLOURS: dict[ColourMatch, float] = {"lab": 0.65, "histogram": 0.25, "none": 0.1}
BLENDS: dict[Blend, float] = {"alpha": 0.75, "poisson": 0.25}
REDUCED_SHARE = 0.7
SMALLEST_PX = 64.0
ERODE, FEATHER, BROW_LIFT = (0.0, 0.06), (0.02, 0.30), (0.05, 0.25)
# Brows, eyes, nose and mouth, with some skin around them.
INNER_GROWTH = 1.15
# What a warp may take from beyond the donor's picture, where pixels are repeated: a share of the picture's side.
BEYOND_SHARE = 0.03
# Around a target, for a face that leaves it: the mean face reaches as far below a tight crop.
BORDER_SHARE = 0.35


@dataclass(frozen=True)
class Strokes:
    """How one swap is painted. erode, feather: shares of the face's side. face_px: of the pasted face, 0 = as it is."""

    outline: Outline = "face"
    colour: ColourMatch = "lab"
    blend: Blend = "alpha"
    erode: float = 0.03
    feather: float = 0.12
    brow_lift: float = 0.15
    face_px: float = 0.0
    enlarging: Enlarging = "cubic"


def drawn_strokes(rng: np.random.Generator, native_px: float) -> Strokes:
    """Strokes at random. native_px: side of the face in the picture, which bounds the drawn resolution."""
    is_reduced = rng.random() < REDUCED_SHARE
    low, high = np.log(SMALLEST_PX), np.log(max(SMALLEST_PX, native_px))
    face_px = float(np.exp(rng.uniform(low, high)))
    return Strokes(
        outline=_one_of(rng, OUTLINES),
        colour=_one_of(rng, COLOURS),
        blend=_one_of(rng, BLENDS),
        erode=float(rng.uniform(*ERODE)),
        feather=float(rng.uniform(*FEATHER)),
        brow_lift=float(rng.uniform(*BROW_LIFT)),
        face_px=face_px if is_reduced and face_px < native_px else 0.0,
        enlarging=get_args(Enlarging)[int(rng.integers(len(ENLARGING)))],
    )


def swap_face(
    donor: Picture, donor_landmarks: Points, target: Picture, target_landmarks: Points, strokes: Strokes
) -> tuple[Picture, NDArray[np.uint8]]:
    """`target` with the donor's face, and the mask that it was mixed by (H, W) in 0..255.

    Landmarks (5, 2). Where the mask is 0 the target is as it was, bit by bit; a mask that is 0 everywhere is a swap that
    left nothing. Raises ValueError for landmarks that coincide.
    """
    border = round(BORDER_SHARE * max(target.shape[:2]))
    framed = np.asarray(cv2.copyMakeBorder(target, border, border, border, border, cv2.BORDER_REPLICATE), np.uint8)
    here, there = place_mean_shape(target_landmarks) + border, place_mean_shape(donor_landmarks)
    # Whole, hard and in its own colours: what is mixed in how is decided below.
    plain = WarpSettings("none", "alpha", 0.0, 0.0, strokes.brow_lift)
    face, reached = warp_face(donor, there, framed, here, plain)
    seen = _seen(donor, there, framed.shape[0], framed.shape[1], here, plain)
    inside = (reached > 0) & seen
    if not inside.any():
        return target.copy(), np.zeros(target.shape[:2], np.uint8)
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    # One pixel more, since a mask is 0 on its canvas's border.
    left, top = max(left - 1, 0), max(top - 1, 0)
    place = (slice(top, top + height + 2), slice(left, left + width + 2))
    outline = outline_mask(here, strokes.outline, framed.shape[0], framed.shape[1])
    mask = eroded_and_feathered(
        np.where(inside, outline, np.float32(0))[place].astype(np.float32), strokes.erode, strokes.feather
    )
    part = reduced(np.ascontiguousarray(face[place]), strokes.face_px / face_side_px(here), strokes.enlarging)
    part = match_colour(part, np.ascontiguousarray(framed[place]), mask, strokes.colour)
    mixed, used = blended(framed, part, mask, (left, top), strokes.blend)
    crop = (slice(border, border + target.shape[0]), slice(border, border + target.shape[1]))
    return np.ascontiguousarray(mixed[crop]), np.ascontiguousarray(used[crop])


def outline_mask(points: Points, outline: Outline, height: int, width: int) -> NDArray[np.float32]:
    """What of a face of 68 points is replaced, (H, W) in [0, 1]: all of it, its inner features, or an ellipse in it."""
    if outline == "face":
        return np.ones((height, width), np.float32)  # the triangles' own outline
    if outline == "inner":
        inner = points[BROWS.start :]
        return hull_mask(inner.mean(0) + INNER_GROWTH * (inner - inner.mean(0)), height, width)
    # An upright ellipse of the face: from the temples, and from the brows to a little above the chin.
    jaw, brows = points[JAW], points[BROWS].mean(0)
    down = jaw[8] - brows
    half_height = float(np.linalg.norm(down)) * 0.55
    half_width = float(np.linalg.norm(jaw[16] - jaw[0])) * 0.46
    centre = brows + 0.42 * down
    angle = float(np.degrees(np.arctan2(down[1], down[0]))) - 90
    mask = np.zeros((height, width), np.uint8)
    box = ((float(centre[0]), float(centre[1])), (2 * half_width, 2 * half_height), angle)
    cv2.ellipse(mask, box, 255, -1, cv2.LINE_AA)
    return mask.astype(np.float32) / np.float32(255)


def face_side_px(points: Points) -> float:
    """Side of a square face of 68 points: brows to chin."""
    return max(1.0, float(np.linalg.norm(points[JAW][8] - points[BROWS].mean(0))))


def reduced(picture: Picture, scale: float, enlarging: Enlarging) -> Picture:
    """The picture at `scale` of its size, and enlarged to its size again; as it is for a scale of 0, or of 1 and more."""
    if not 0 < scale < 1:
        return picture
    height, width = picture.shape[:2]
    small = (max(2, round(width * scale)), max(2, round(height * scale)))
    down = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(down, (width, height), interpolation=ENLARGING[enlarging]), np.uint8)


def _seen(
    donor: Picture, there: Points, height: int, width: int, here: Points, plain: WarpSettings
) -> NDArray[np.bool_]:
    """Which pixels of the target's canvas get something that the donor's picture really shows (H, W)."""
    beyond = round(BEYOND_SHARE * max(donor.shape[:2]))
    # White where there is a picture, black around it, through the same warp.
    around = int(np.ceil(max(0.0, float(-there.min()), float((there - donor.shape[1::-1]).max())))) + 2 + beyond
    white = np.full((*donor.shape[:2], 3), 255, np.uint8)
    wider = cv2.copyMakeBorder(white, beyond, beyond, beyond, beyond, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    rest = around - beyond
    framed = np.asarray(
        cv2.copyMakeBorder(wider, rest, rest, rest, rest, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8
    )
    found, _ = warp_face(framed, there + around, np.zeros((height, width, 3), np.uint8), here, plain)
    return np.asarray(found[:, :, 0] > 127, np.bool_)


def _one_of(rng: np.random.Generator, shares: dict[Any, float]) -> Any:
    """A key, drawn by its share."""
    names = list(shares)
    return names[int(np.searchsorted(np.cumsum(list(shares.values())), rng.random(), "right").clip(0, len(names) - 1))]
