"""Jitter of a face against its own head.

A swap is laid on every frame by landmarks of that frame, which are off by a fraction of a pixel, each time differently:
the inner face trembles against hair, ears and jaw, which are the film's own. A head moves as one piece. Two measures:
  - the pictures: from one frame to the next, how far eyes and nose have moved, less how far what surrounds the face has
    (a step of Lucas and Kanade for each; an error of the alignment moves both alike and drops out);
  - the landmarks: how they move against each other when position, size and rotation of the face are taken off.
Smooth movement is taken off both by second differences; what remains is a spread, robust against blinks.
Lucas, Kanade: An Iterative Image Registration Technique with an Application to Stereo Vision (IJCAI 1981), section 4; for
the trace, Yang, Li, Lyu: Exposing Deep Fakes Using Inconsistent Head Poses (ICASSP 2019), arXiv 1811.00661, which
compares inner and outer landmarks within a frame instead.
Limits: thresholds lie above what five real clips show (see RESTING), too few to know rates from. Blind to swaps that are
smoothed over time and to pictures in which the surroundings of the face have no texture.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.face_tracks import (
    FACE_PX,
    MIN_EYES_PX,
    MIN_TRIPLES,
    aligned_shape,
    face_mask,
    large_faces,
    robust_sd,
    state_of,
    triples,
)
from forensics.analysis.flicker import second_differences
from forensics.analysis.protocol import Analysis, Clip, FaceThroughTime, Finding, Plot, inconclusive, not_applicable
from forensics.analysis.repetition import repeated_frames
from forensics.faces.mean_shape import five_of
from forensics.faces.similarity import similarity

# Ordinary jitter, in per cent of the distance of the eyes. Five real clips with eyes 18 to 53 pixels apart show .38 to
# .91 of the pictures and .19 to .39 of the landmarks, under MTCNN and YuNet; of two fakes, one swap shows .94 where its
# original shows .38 and .45.
RESTING_PICTURE = 1.0
RESTING_LANDMARKS = 0.7
SUSPICIOUS_FROM = 2.0
INCONSISTENT_FROM = 3.5
# A blur makes the linear step of Lucas and Kanade hold for movements of about as many pixels.
BLUR_PX = 1.5
# Smaller eigenvalue of the mean gradient products, in squared grey levels per pixel: below it a direction has no texture.
MIN_TEXTURE = 4.0
AT_ONCE = 100  # pairs of pictures in memory together
RIM_PX = 3  # not looked at: the edge of the picture, where the frame may have ended


@dataclass(frozen=True, eq=False)
class Jitter:
    """Spreads in per cent of the distance of the eyes: of the pictures (None without texture) and of the landmarks;
    ratio: the larger one in ordinary ones; steps (n - 1, 2): of the pictures, in pixels, 0 without texture."""

    picture: float | None
    landmarks: float
    ratio: float
    steps: NDArray[np.float64]


@lru_cache(maxsize=1)
def regions() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Masks (64, 64), 0 or 1, of the inner face, brows to the tip of the nose, and of what lies around the face."""
    points = aligned_shape()
    inner = np.zeros((FACE_PX, FACE_PX), np.float32)
    top, bottom = int(points[17:27, 1].mean()) - 1, int(points[33, 1]) + 1
    inner[top:bottom, int(points[36, 0]) - 3 : int(points[45, 0]) + 4] = 1
    outer = np.asarray(1 - cv2.dilate(face_mask().astype(np.float32), np.ones((3, 3), np.uint8)), np.float32)
    outer[:RIM_PX] = outer[-RIM_PX:] = 0
    outer[:, :RIM_PX] = outer[:, -RIM_PX:] = 0
    for mask in (inner, outer):
        mask.flags.writeable = False
    return inner, outer


def relative_shifts(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far the inner face moves against its surroundings from each picture to the next: (n, 64, 64, 3) -> (n - 1, 2)
    in pixels (x, y); not finite where either has no texture."""
    found = [np.zeros((0, 2))]
    for start in range(0, len(faces) - 1, AT_ONCE):
        luma = np.stack([_blurred_luma(face) for face in faces[start : start + AT_ONCE + 1]])
        middle, change = (luma[1:] + luma[:-1]) / 2, luma[1:] - luma[:-1]
        fields = np.stack([np.gradient(middle, axis=2), np.gradient(middle, axis=1), change], axis=1)
        inner, outer = (_translations(fields[:, :, mask > 0]) for mask in regions())
        found.append(inner - outer)
    return np.concatenate(found)


def _blurred_luma(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), BLUR_PX), np.float32)


def _translations(fields: NDArray[np.float32]) -> NDArray[np.float64]:
    """One step of Lucas and Kanade for each of n pairs, whatever their brightness: gradients across and down and the
    change (n, 3, pixels) -> (n, 2), not finite without texture."""
    fields = fields - fields.mean(2, keepdims=True)
    products = (fields @ fields.transpose(0, 2, 1)).astype(np.float64) / fields.shape[2]
    xx, xy, yy = products[:, 0, 0], products[:, 0, 1], products[:, 1, 1]
    xt, yt = products[:, 0, 2], products[:, 1, 2]
    smaller = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)  # eigenvalue of the two by two
    determinant = np.where(smaller >= MIN_TEXTURE, xx * yy - xy**2, np.nan)
    return np.asarray(np.column_stack([xy * yt - yy * xt, xy * xt - xx * yt]) / determinant[:, None], np.float64)


def shape_residual(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Landmarks (n, 5, 2) laid on the mean face by a similarity each: (n, 10), in pixels of a face's picture. Rows of
    landmarks that coincide are not finite."""
    target = five_of(aligned_shape())
    rows = []
    for points in np.asarray(landmarks, np.float64):
        try:
            rows.append((np.column_stack([points, np.ones(5)]) @ similarity(points, target).T).ravel())
        except ValueError:
            rows.append(np.full(10, np.nan))
    return np.array(rows, np.float64).reshape(-1, 10)


def measure_jitter(track: FaceThroughTime, is_repeat: NDArray[np.bool_]) -> Jitter | None:
    """Jitter of a track; None where it is too short. is_repeat: of the clip's frames."""
    at = triples(track, is_repeat)
    if len(at) < MIN_TRIPLES:
        return None
    unit = 100 / float(np.linalg.norm(np.subtract(*five_of(aligned_shape())[:2])))
    # Positions by summing steps: their second differences over a triple are differences of its two steps.
    shifts = relative_shifts(track.faces)
    bare = np.concatenate([[0], np.cumsum(~np.isfinite(shifts).all(1))])
    textured = bare[at[:, 2]] == bare[at[:, 0]]
    steps = np.nan_to_num(shifts)
    positions = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    trembles = second_differences(positions, at[textured])
    shape = second_differences(shape_residual(track.landmarks), at)
    shape = shape[np.isfinite(shape).all(1)]
    if len(shape) < MIN_TRIPLES:
        return None
    landmarks = unit * robust_sd(shape)
    ratio = landmarks / RESTING_LANDMARKS
    if len(trembles) < MIN_TRIPLES:
        return Jitter(None, landmarks, ratio, steps)
    # The worse direction: a face that slips along one axis is as unusual as one that slips along both.
    picture = unit * max(robust_sd(trembles[:, 0]), robust_sd(trembles[:, 1]))
    return Jitter(picture, landmarks, max(ratio, picture / RESTING_PICTURE), steps)


def examine(clip: Clip) -> Finding:
    """The face that trembles most against its head; see the module."""
    if not clip.tracks:
        return not_applicable("No face was followed through the frames.")
    is_repeat = repeated_frames(clip.gray)
    found = [(measure_jitter(track, is_repeat), track) for track in large_faces(clip)]
    judged = [(jitter, track) for jitter, track in found if jitter is not None]
    if not judged:
        return inconclusive(
            f"No face with eyes {MIN_EYES_PX:.0f} pixels apart is followed for {MIN_TRIPLES + 2} frames.",
            {"faces": len(clip.tracks), "faces judged": 0},
        )
    jitter, track = max(judged, key=lambda pair: pair[0].ratio)
    state = state_of(jitter.ratio, SUSPICIOUS_FROM, INCONSISTENT_FROM)
    measures: dict[str, float | int | str | bool | None] = {
        "faces judged": len(judged),
        "face": track.id,
        "inner face against surroundings (% of the eyes' distance)": _rounded(jitter.picture),
        "landmarks against each other (% of the eyes' distance)": round(jitter.landmarks, 3),
    }
    against = (
        "could not be measured against its surroundings, which have too little texture"
        if jitter.picture is None
        else f"trembles against its surroundings by {jitter.picture:.2f} % of the distance of the eyes"
    )
    words = {
        "inconsistent": "inconsistent with one head that moves as one piece",
        "suspicious": "more than is usual, for which fast movement may be the cause",
    }.get(state, "consistent with one head that moves as one piece")
    observation = (
        f"From frame to frame, the inner part of face {track.id} {against}, and its landmarks against each other by"
        f" {jitter.landmarks:.2f} %. That is {jitter.ratio:.1f} times what is ordinary: {words}."
    )
    return Finding(state, observation, measures, jitter.ratio, plots=(_plot(track, jitter.steps),))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _plot(track: FaceThroughTime, steps: NDArray[np.float64]) -> Plot:
    caption = (
        "Steps of eyes and nose against what lies around the face, in pixels of a face of 64 pixels; 0 without texture."
    )
    curves = {"across": steps[:, 0], "down": steps[:, 1]}
    return Plot(f"jitter-face-{track.id}", track.times_s[1:], curves, "time (s)", "step (pixels)", caption)


ANALYSIS: Analysis[Clip] = Analysis(
    name="jitter",
    title="Jitter of the face",
    family="motion",
    needs="clip",
    question="Does the inner face move with its head, as one piece?",
    method=(
        "From one frame to the next, the movement of eyes and nose is compared with that of hair, ears and neck, and the"
        " five landmarks with each other. Smooth movement is taken off; the spread of the rest is compared with that of"
        " real faces."
    ),
    citation=(
        "Lucas, Kanade (1981): An Iterative Image Registration Technique with an Application to Stereo Vision, IJCAI;"
        " trace after Yang, Li, Lyu (2019): Exposing Deep Fakes Using Inconsistent Head Poses, ICASSP, arXiv 1811.00661"
    ),
    limits=(
        "Thresholds lie above five real clips, too few to give rates of error. Landmarks of another face detector may be"
        " noisier. Swaps that are smooth in time do not tremble; without texture around the face only landmarks are"
        " compared."
    ),
    benign=(
        "a background that moves fast behind the head, or a shaking camera close to a bright background",
        "hair, hands or glasses that move over the face",
        "strong compression that moves blocks of the face apart",
        "small or dark faces, whose landmarks are uncertain",
    ),
    parameters={
        "suspicious from": SUSPICIOUS_FROM,
        "inconsistent from": INCONSISTENT_FROM,
        "ordinary jitter of pictures (%)": RESTING_PICTURE,
        "ordinary jitter of landmarks (%)": RESTING_LANDMARKS,
        "least texture": MIN_TEXTURE,
        "least distance of the eyes (pixels)": MIN_EYES_PX,
    },
    examine=examine,
)
