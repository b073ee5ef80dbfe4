"""A face whose appearance jumps while its surroundings stay.

Within a shot a face turns, speaks and blinks, but it does not become another from one frame to the next. Looked for is a
frame at which the aligned face changes at once, and stays changed for half a second, while neither the picture as a whole
nor what lies around the face does: where a swap begins, ends, or fails for a while.
The face is described by the low frequencies of the logarithm of its luma, without mean and slope, at unit length: light
from one side and exposure leave it nearly as it was (Chen, Er, Wu: Illumination Compensation and Normalization for Robust
Face Recognition Using Discrete Cosine Transform in Logarithm Domain, IEEE Trans. SMC-B 36(2), 2006). Before and after are
compared by medians of windows, as in a test for a change of location (Page 1955, A Test for a Change in a Parameter
Occurring at an Unknown Point).
Limits: this is no face recognition, and who it is is not asked; a swap that lasts from cut to cut shows no jump, and an
identity that drifts slowly is not told from a turning head. Thresholds rest on five real clips.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from forensics.analysis.face_tracks import MIN_EYES_PX, aligned_shape, large_faces, state_of
from forensics.analysis.jitter import regions
from forensics.analysis.protocol import Analysis, Clip, FaceThroughTime, Finding, Plot, inconclusive, not_applicable
from forensics.analysis.repetition import frame_steps

WINDOW = 12  # frames before and after: longer than a blink, shorter than a sentence
FREQUENCIES = 8  # of each direction, of a face reduced to SIDE pixels
SIDE = 32
# Added to luma before the logarithm, in grey levels: below it noise is most of what there is.
LOG_FLOOR = 8.0
# Added to the length of a description: a flat face has no appearance to jump.
LENGTH_FLOOR = 1.0
# At a jump one single step does this share of the change, before and after are that much calmer than the change is large,
# and the surroundings move by no more than this many times their median.
MIN_SUDDEN = 0.6
MAX_UNREST = 0.6
MAX_OUTER = 3.0
MAX_WHOLE = 3.0
# Difference of the medians before and after a frame where nothing happens: the track's own median, but at least this. It
# is .10 to .43 in clips with one face, and .72 to 1.09 between the faces of two clips.
LEAST_USUAL = 0.2
# With these controls five real clips stay below 1.8 under MTCNN and YuNet. Where half of a clip got the face of another
# one, 31 of 40 pairs reach the second threshold under MTCNN and 23 under YuNet, whose landmarks are restless.
SUSPICIOUS_FROM = 2.5
INCONSISTENT_FROM = 3.0
MAX_GAP_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Jump:
    """The most unusual place of a track: its position there, how far the appearance moved (0 .. 2), and that in units of
    what is usual. changes (n,): difference of before and after at every position, 0 at the ends."""

    position: int
    distance: float
    ratio: float
    changes: NDArray[np.float64]


def appearance(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Faces (n, 64, 64, 3) as descriptions (n, 64) of at most unit length, from above the brows to the upper lip."""
    points = aligned_shape()
    top, bottom = int(points[17:27, 1].mean()) - 2, int(points[51, 1]) + 3
    left, right = int(points[17, 0]), int(points[26, 0]) + 1
    rows = np.zeros((len(faces), FREQUENCIES**2))
    for row, face in zip(rows, faces, strict=True):
        luma = cv2.cvtColor(face[top:bottom, left:right], cv2.COLOR_RGB2GRAY).astype(np.float32)
        resized = cv2.resize(np.log(luma + LOG_FLOOR), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        waves = np.asarray(dctn(resized, norm="ortho"), np.float64)[:FREQUENCIES, :FREQUENCIES]
        waves[0, 0] = waves[0, 1] = waves[1, 0] = 0.0
        row[:] = waves.ravel() / (np.linalg.norm(waves) + LENGTH_FLOOR)
    return rows


def outer_steps(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much the surroundings of the face change from the picture before, brightness apart: (n,) grey levels, first
    0."""
    outside = regions()[1] > 0
    luma = [cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)[outside] for face in faces]
    values = np.stack(luma).astype(np.float32)
    values -= values.mean(1, keepdims=True)
    return np.append(0.0, np.abs(np.diff(values, axis=0)).mean(1, dtype=np.float64))


def find_jump(track: FaceThroughTime, whole_steps: NDArray[np.float64]) -> Jump | None:
    """The largest sudden and lasting change of a track; None where it is shorter than four windows.

    whole_steps (frames of the clip,): how much each frame differs from the one before.
    """
    n = len(track.frames)
    if n < 4 * WINDOW:
        return None
    described = appearance(track.faces)
    windows = np.lib.stride_tricks.sliding_window_view(described, WINDOW, axis=0)  # (n - W + 1, 64, W)
    medians = np.median(windows, axis=2)
    unrest = np.median(np.linalg.norm(windows - medians[:, :, None], axis=1), axis=1)
    places = np.arange(WINDOW, n - WINDOW + 1)
    change = medians[places] - medians[places - WINDOW]
    size = np.linalg.norm(change, axis=1)
    step = described[places] - described[places - 1]
    sudden = (change * step).sum(1) / np.maximum(size**2, 1e-12)
    restless = np.maximum(unrest[places], unrest[places - WINDOW]) / np.maximum(size, 1e-12)
    outer, whole = outer_steps(track.faces), whole_steps[track.frames]
    is_calm = (outer <= MAX_OUTER * max(float(np.median(outer)), 1e-6)) & (
        whole <= MAX_WHOLE * max(float(np.median(whole)), 1e-6)
    )
    gaps = np.append(0, np.diff(track.frames)) > MAX_GAP_FRAMES
    counts = (sudden >= MIN_SUDDEN) & (restless <= MAX_UNREST) & is_calm[places] & ~gaps[places]
    changes = np.zeros(n)
    changes[places] = size
    jumps = np.where(counts, size, 0.0)
    best = int(np.argmax(jumps))
    usual = max(LEAST_USUAL, float(np.median(size)))
    return Jump(int(places[best]), float(jumps[best]), float(jumps[best]) / usual, changes)


def examine(clip: Clip) -> Finding:
    """The face whose appearance jumps most; see the module."""
    if not clip.tracks:
        return not_applicable("No face was followed through the frames.")
    whole = np.append(0.0, frame_steps(clip.gray))
    found = [(find_jump(track, whole), track) for track in large_faces(clip)]
    judged = [(jump, track) for jump, track in found if jump is not None]
    if not judged:
        return inconclusive(
            f"No face with eyes {MIN_EYES_PX:.0f} pixels apart is followed for {4 * WINDOW} frames.",
            {"faces": len(clip.tracks), "faces judged": 0},
        )
    jump, track = max(judged, key=lambda pair: pair[0].ratio)
    state = state_of(jump.ratio, SUSPICIOUS_FROM, INCONSISTENT_FROM)
    time_s = float(track.times_s[jump.position])
    measures: dict[str, float | int | str | bool | None] = {
        "faces judged": len(judged),
        "face": track.id,
        "change of appearance (0 .. 2)": round(jump.distance, 3),
        "in usual changes": round(jump.ratio, 3),
        "time (s)": round(time_s, 3) if jump.distance > 0 else None,
    }
    if jump.distance == 0:
        observation = (
            f"The appearance of face {track.id} never changes at once and for long while its surroundings stay."
        )
    else:
        words = {
            "inconsistent": "inconsistent with one face that moves on",
            "suspicious": "more than is usual, for which a hand or a change of light may be the cause",
        }.get(state, "consistent with one face that moves on")
        observation = (
            f"The largest change of face {track.id} from one frame to the next that lasts, while its surroundings stay,"
            f" is at {time_s:.2f} s: {jump.distance:.2f}, or {jump.ratio:.1f} times what is usual in this clip, {words}."
        )
    return Finding(state, observation, measures, jump.ratio, plots=(_plot(track, jump),))


def _plot(track: FaceThroughTime, jump: Jump) -> Plot:
    marks = ((float(track.times_s[jump.position]), "largest jump"),) if jump.distance > 0 else ()
    caption = f"Difference in appearance between the {WINDOW} frames before and the {WINDOW} frames from each frame on."
    curves = {"change": jump.changes}
    name = f"identity-face-{track.id}"
    return Plot(name, track.times_s, curves, "time (s)", "change of appearance", caption, marks)


ANALYSIS: Analysis[Clip] = Analysis(
    name="identity",
    title="Appearance along a face's track",
    family="content",
    needs="clip",
    question="Does a face become another from one frame to the next while its surroundings stay?",
    method=(
        "The aligned face is described by coarse waves of its light and dark, with exposure taken off. Looked for is a"
        " frame at which this changes at once and stays changed for half a second, while the rest of the picture does"
        " not."
    ),
    citation=(
        "Chen, Er, Wu (2006): Illumination Compensation and Normalization for Robust Face Recognition Using Discrete"
        " Cosine Transform in Logarithm Domain, IEEE Trans. SMC-B 36(2); Page (1955): A Test for a Change in a Parameter"
        " Occurring at an Unknown Point, Biometrika 42"
    ),
    limits=(
        "No face recognition: only a jump of appearance within one shot is looked for, so a swap that lasts from cut to"
        " cut shows none, and slow drift is not told from a turning head. Thresholds rest on five real clips, too few for"
        " rates."
    ),
    benign=(
        "a hand, a microphone or glasses that appear before the face within one frame",
        "a lamp that is switched on beside the face",
        "landmarks that jump to another place and stay",
        "an invisible edit of an interview in which only the head has moved",
    ),
    parameters={
        "suspicious from": SUSPICIOUS_FROM,
        "inconsistent from": INCONSISTENT_FROM,
        "window (frames)": WINDOW,
        "least share of one step": MIN_SUDDEN,
        "most unrest": MAX_UNREST,
        "most change beside the face": MAX_OUTER,
        "most change of the picture": MAX_WHOLE,
        "least usual change": LEAST_USUAL,
        "least distance of the eyes (pixels)": MIN_EYES_PX,
    },
    examine=examine,
)
