"""Flicker of a face against its surroundings.

A swap is made anew for every frame: its light and colour are fitted to the frame each time, a little differently. Lamps
and a camera's exposure change the face and what is around it together, and movement changes both slowly. So what is
looked at is the change from frame to frame of the face's brightness and colour that its surroundings do not share: second
differences of logarithms, less the part that goes with the surroundings, and their robust spread.
After the observation that frame-wise manipulations leave temporal inconsistencies: Sabir et al., Recurrent Convolutional
Strategies for Face Manipulation Detection in Videos (CVPR workshops 2019), arXiv 1905.00582; the measure here is our own.
Limits: thresholds were set far above what five real clips and two fakes show (see RESTING), which is too few to know
rates from; swaps that are smoothed over time or light the face by one rule for the whole clip do not flicker.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forensics.analysis.face_tracks import (
    MIN_EYES_PX,
    MIN_TRIPLES,
    large_faces,
    robust_sd,
    skin_regions,
    state_of,
    triples,
)
from forensics.analysis.protocol import Analysis, Clip, FaceThroughTime, Finding, Plot, inconclusive, not_applicable
from forensics.analysis.repetition import repeated_frames

SIGNALS = ("brightness", "red to green", "blue to green")
# Flicker of real faces that is ordinary, in per cent of brightness, per signal. In five real clips with eyes 18 to 53
# pixels apart, found by MTCNN and by YuNet, it is .15 to .47, .10 to .32 and .13 to .31; in two fakes .26 to .70, .15 to
# .22, .20 to .34.
RESTING = np.array([0.5, 0.35, 0.35])
# Surroundings that flicker themselves in a way that the face does not share (a busy background, flashes) excuse this
# share.
EXCUSED = 0.5
# How much of the surroundings' flicker a face may take part in: all values that are tried.
SHARED = np.linspace(0.0, 1.5, 16)
# A mean of less light than this (of 255) changes by a per cent for reasons of rounding.
MIN_LIGHT = 12.0
SUSPICIOUS_FROM = 2.0
INCONSISTENT_FROM = 4.0
SQRT_6 = 6**0.5  # a second difference of white noise has the square root of six times its spread


@dataclass(frozen=True, eq=False)
class Flicker:
    """Spreads from frame to frame, (3,) for SIGNALS, in per cent: of the face, of its surroundings, and of what the face
    does not share with them; ratio: the largest of the last to what is ordinary."""

    face: NDArray[np.float64]
    around: NDArray[np.float64]
    alone: NDArray[np.float64]
    ratio: float


def light_and_colour(rgb: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean RGB (n, 3) in 0 .. 255 as logarithms of brightness, red to green and blue to green: (n, 3)."""
    logs = np.log(np.asarray(rgb, np.float64) + 1.0)
    return np.column_stack([logs.mean(1), logs[:, 0] - logs[:, 1], logs[:, 2] - logs[:, 1]])


def skin_means(track: FaceThroughTime) -> NDArray[np.float64]:
    """Mean RGB of forehead and cheeks: (n, 3)."""
    skin = np.any(list(skin_regions().values()), axis=0)
    return np.asarray(track.faces[:, skin].mean(1, np.float64))


def second_differences(values: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """values (n, ...) at triples (m, 3): (m, ...), scaled so that white noise keeps its spread."""
    return np.asarray((values[at[:, 0]] - 2 * values[at[:, 1]] + values[at[:, 2]]) / SQRT_6, np.float64)


def measure_flicker(track: FaceThroughTime, is_repeat: NDArray[np.bool_]) -> Flicker | None:
    """Flicker of a track; None where it is too short or too dark. is_repeat: of the clip's frames."""
    at = triples(track, is_repeat)
    skin = skin_means(track)
    if len(at) < MIN_TRIPLES or min(np.median(skin.mean(1)), np.median(track.around.mean(1))) < MIN_LIGHT:
        return None
    face = second_differences(light_and_colour(skin), at)
    around = second_differences(light_and_colour(track.around), at)
    alone = np.array([_alone(face[:, k], around[:, k]) for k in range(3)])
    spread = np.array([[robust_sd(values[:, k]) for k in range(3)] for values in (face, around)])
    ratio = float(np.max(alone / np.hypot(RESTING / 100, EXCUSED * spread[1])))
    return Flicker(100 * spread[0], 100 * spread[1], 100 * alone, ratio)


def _alone(face: NDArray[np.float64], around: NDArray[np.float64]) -> float:
    """Spread of what is left of the face when the best share of the surroundings is taken off."""
    return min(robust_sd(face - share * around) for share in SHARED)


def examine(clip: Clip) -> Finding:
    """The face that flickers most against its surroundings; see the module."""
    if not clip.tracks:
        return not_applicable("No face was followed through the frames.")
    is_repeat = repeated_frames(clip.gray)
    found = [(measure_flicker(track, is_repeat), track) for track in large_faces(clip)]
    judged = [(flicker, track) for flicker, track in found if flicker is not None]
    if not judged:
        return inconclusive(
            f"No face with eyes {MIN_EYES_PX:.0f} pixels apart is followed, in enough light, for {MIN_TRIPLES + 2} frames.",
            {"faces": len(clip.tracks), "faces judged": 0},
        )
    flicker, track = max(judged, key=lambda pair: pair[0].ratio)
    state = state_of(flicker.ratio, SUSPICIOUS_FROM, INCONSISTENT_FROM)
    measures: dict[str, float | int | str | bool | None] = {"faces judged": len(judged), "face": track.id}
    for k, name in enumerate(SIGNALS):
        measures[f"{name}: face (%)"] = round(float(flicker.face[k]), 3)
        measures[f"{name}: surroundings (%)"] = round(float(flicker.around[k]), 3)
        measures[f"{name}: face alone (%)"] = round(float(flicker.alone[k]), 3)
    words = {
        "inconsistent": "inconsistent with one light on both",
        "suspicious": "more than is usual, for which movement may be the cause",
    }.get(state, "consistent with one light on both")
    observation = (
        f"From frame to frame, face {track.id} changes in brightness by {flicker.alone[0]:.2f} % that its surroundings do"
        f" not share, and in colour by {max(flicker.alone[1:]):.2f} %. That is {flicker.ratio:.1f} times what is"
        f" ordinary: {words}."
    )
    return Finding(state, observation, measures, flicker.ratio, plots=(_plot(track),))


def _plot(track: FaceThroughTime) -> Plot:
    curves = {}
    for name, rgb in (("face", skin_means(track)), ("surroundings", track.around)):
        light = light_and_colour(rgb)[:, 0]
        curves[name] = 100 * (light - np.median(light))
    caption = "Brightness of the face and of the ring around it, as change from its median."
    return Plot(f"flicker-face-{track.id}", track.times_s, curves, "time (s)", "brightness (%)", caption)


ANALYSIS: Analysis[Clip] = Analysis(
    name="flicker",
    title="Flicker of the face",
    family="content",
    needs="clip",
    question="Does a face change in light or colour from frame to frame as its surroundings do?",
    method=(
        "Brightness and colour of forehead and cheeks are compared with those of a ring around the face. What changes"
        " slowly and what both share is taken off; the spread of the rest is compared with that of real faces."
    ),
    citation=(
        "after Sabir, Cheng, Jaiswal, AbdAlmageed, Masi, Natarajan (2019): Recurrent Convolutional Strategies for Face"
        " Manipulation Detection in Videos, CVPR workshops, arXiv 1905.00582; the measure is this tool's own"
    ),
    limits=(
        "Thresholds lie well above five real clips, too few to give rates of error. Swaps that are smooth in time do not"
        " flicker; small, dark and fast faces are not judged well."
    ),
    benign=(
        "light that moves over the face alone: a screen, flashes, leaves, a passing lamp",
        "fast turns of the head, hands or hair before the face",
        "strong compression that re-draws the face from frame to frame",
        "a beauty filter",
    ),
    parameters={
        "suspicious from": SUSPICIOUS_FROM,
        "inconsistent from": INCONSISTENT_FROM,
        "ordinary brightness (%)": float(RESTING[0]),
        "ordinary red to green (%)": float(RESTING[1]),
        "ordinary blue to green (%)": float(RESTING[2]),
        "excused share of the surroundings' flicker": EXCUSED,
        "least distance of the eyes (pixels)": MIN_EYES_PX,
        "least light (grey levels)": MIN_LIGHT,
    },
    examine=examine,
)
