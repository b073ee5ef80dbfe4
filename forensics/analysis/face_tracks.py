"""Faces on tracks: where things lie in their pictures, which of them can be judged, and spreads from frame to frame.

A face's picture is 64 x 64 pixels, with the face laid on the mean face by a similarity (Umeyama 1991, through
`forensics.faces.similarity`), so that a place in it is the same place of the face in every frame, as far as five
landmarks say. It reaches beyond the face, to hair and neck on all sides: what moves with the head but is not the face is
what swaps leave in place.
Limits: a turned head is not turned back; the mean face is nobody's.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.protocol import Clip, FaceThroughTime, State
from forensics.common.aggregation import MAD_TO_SD
from forensics.faces.mean_shape import MEAN_SHAPE, lifted_brows

FACE_PX = 64  # side of a face's picture
# Side of that picture in the unit of the mean face (about the width of the brows), and its middle: between the eyes and
# the mouth. The face itself is 1.2 units wide, so a band of about ten pixels around it shows hair, neck and background.
FACE_UNITS = 2.0
FACE_MIDDLE = (0.49, 0.50)
# Three successive observations span two steps; a variable rate makes it three, a missing frame four.
MAX_TRIPLE_STEPS = 3.5
# Measured on six real clips: at 10 pixels the brightness of a face flickers by .6 to 2.5 %, at 18 to 53 by .15 to .5 %.
MIN_EYES_PX = 16.0
# Fewer second differences give no stable spread: about one second of frames.
MIN_TRIPLES = 24


@lru_cache(maxsize=1)
def aligned_shape() -> NDArray[np.float64]:
    """The 68 points of the mean face in a face's picture: (68, 2) in its pixels, iBUG order."""
    shape: NDArray[np.float64] = (MEAN_SHAPE - FACE_MIDDLE) * (FACE_PX / FACE_UNITS) + (FACE_PX - 1) / 2
    shape.flags.writeable = False
    return shape


@lru_cache(maxsize=1)
def skin_regions() -> dict[str, NDArray[np.bool_]]:
    """Where bare skin lies in a face's picture that hardly moves in speech: masks (64, 64) by name.

    The forehead, from above the brows to half way up to the hair; the cheeks, below the eyes and beside the nose.
    """
    points = aligned_shape()
    brows, lifted = points[17:27], lifted_brows(points, 0.14)
    eyes, nose, mouth = points[36:48], points[31:36], points[48:68]
    low, high = float(eyes[:, 1].max()) + 3, float(mouth[:, 1].min()) - 1
    regions = {
        "forehead": np.concatenate([brows[[1, 8]] - (0, 3), lifted[[7, 2]]]),
        "left cheek": _box(float(points[1:4, 0].mean()) + 4, low, float(nose[0, 0]) - 1, high),
        "right cheek": _box(float(nose[-1, 0]) + 1, low, float(points[13:16, 0].mean()) - 4, high),
    }
    return {name: _filled(corners) for name, corners in regions.items()}


def face_mask() -> NDArray[np.bool_]:
    """The face itself in its picture, from the jaw to the middle of the forehead: (64, 64)."""
    points = aligned_shape()
    hull = cv2.convexHull(np.concatenate([points, lifted_brows(points, 0.25)]).astype(np.float32))
    return _filled(np.asarray(hull[:, 0], np.float64))


def eye_distance_px(track: FaceThroughTime) -> float:
    """Median distance of the eyes in pixels of the decoded frames; 0 for an empty track."""
    if len(track.landmarks) == 0:
        return 0.0
    distances = np.linalg.norm(track.landmarks[:, 1].astype(np.float64) - track.landmarks[:, 0], axis=1)
    return float(np.median(distances))


def large_faces(clip: Clip) -> list[FaceThroughTime]:
    """Tracks whose eyes are MIN_EYES_PX apart or more: in smaller faces noise of pixels and landmarks outweighs the
    rest."""
    return [track for track in clip.tracks if eye_distance_px(track) >= MIN_EYES_PX]


def triples(track: FaceThroughTime, is_repeat: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions in a track, (m, 3), of three successive observations of new frames: what a second difference is taken
    over.

    is_repeat (frames of the clip,): frames that show the one before again; they are stepped over. Three that span more
    time than MAX_TRIPLE_STEPS usual steps have a gap between them and are left out.
    """
    new = np.flatnonzero(~is_repeat[track.frames])
    if len(new) < 3:
        return np.zeros((0, 3), np.int64)
    times = track.times_s[new]
    found = np.column_stack([new[:-2], new[1:-1], new[2:]])
    spans = times[2:] - times[:-2]
    return np.asarray(found[spans <= MAX_TRIPLE_STEPS * float(np.median(np.diff(times)))], np.int64)


def state_of(statistic: float, suspicious_from: float, inconsistent_from: float) -> State:
    """What a statistic that grows with how unusual a clip is says of it."""
    if statistic >= inconsistent_from:
        return "inconsistent"
    return "suspicious" if statistic >= suspicious_from else "consistent"


def robust_sd(values: NDArray[Any]) -> float:
    """Median absolute deviation on the scale of a normal's standard deviation; 0 for no values."""
    if values.size == 0:
        return 0.0
    return MAD_TO_SD * float(np.median(np.abs(values - np.median(values))))


def _box(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _filled(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    mask = np.zeros((FACE_PX, FACE_PX), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
    return mask.astype(bool)
