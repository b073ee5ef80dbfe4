"""The order of a clip's frames: repeated, left out, and shown a second time.

A camera gives a new picture for every frame, and what moves in it moves on. A frame that repeats its predecessor amid
motion was put in; a jump of about twice the usual motion, between frames that move smoothly, is where one was taken out;
a stretch that comes back, to within the compression, was copied.
Wang, Farid: Exposing Digital Forgeries in Video by Detecting Duplication (ACM MM&Sec 2007), see
`forensics.analysis.repetition`; Chao, Jiang, Sun: A Novel Video Inter-frame Forgery Model Detection Scheme Based on
Optical Flow Consistency (IWDW 2012), for the jumps: here with the mean difference of small grey pictures in the place of
optical flow, since it grows in proportion to a small motion.
Limits: blind where nothing moves, to frames taken out at a cut, to copies that were changed or cropped; not more than the
clip's first minute is seen.
"""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.face_tracks import state_of
from forensics.analysis.protocol import Analysis, Clip, Finding, Plot, inconclusive, not_applicable
from forensics.analysis.repetition import (
    MAX_STILL,
    MIN_MOTION,
    MIN_RETURN_FRAMES,
    NEIGHBOURS,
    REPEAT_SHARE,
    RETURN_SHARE,
    Return,
    Rhythm,
    find_repeats,
    find_return,
    find_rhythm,
    frame_steps,
    runs,
    usual_motion,
)
from forensics.faces.tracking import CUT_CORRELATION, CUT_DIFFERENCE, CUT_SIZE, Thumbnail, is_cut

MIN_FRAMES = 24
# A frame left out of smooth motion: the step is so many times the largest of the steps beside it, which agree to within
# SMOOTH_RATIO. A larger one is a cut or a jump within the scene, which editing explains.
JUMP_RATIO = (1.6, 3.0)
JUMP_NEIGHBOURS = 3
SMOOTH_RATIO = 1.3
MIN_JUMP_MOTION = 0.8
# A picture that stands still this long between moving ones counts as much as MIN_IRREGULAR.
FREEZE_FRAMES = 12
# The statistic: copied frames / MIN_RETURN_FRAMES; without a copy, IRREGULAR_WEIGHT for each irregular place, at most
# MAX_IRREGULAR: what cameras and networks do to a stream must not look like a copy.
IRREGULAR_WEIGHT = 0.2
MIN_IRREGULAR = 2
MAX_IRREGULAR = 0.9
SUSPICIOUS_FROM = 0.4
INCONSISTENT_FROM = 1.0


def find_cuts(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a new scene begins between successive pictures, by the rule of the face tracks: (n - 1,)."""
    reduced = [np.asarray(cv2.resize(g, CUT_SIZE, interpolation=cv2.INTER_AREA), np.int16) for g in gray]
    thumbnails = [Thumbnail(gray.shape[1:], luma) for luma in reduced]
    return np.array([is_cut(a, b) for a, b in pairwise(thumbnails)], bool)


def find_jumps(steps: NDArray[np.float64], is_repeat: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Frames before which one is missing by the motion: a single step of about twice its steady neighbours."""
    n = JUMP_NEIGHBOURS
    found = []
    for i in range(n, len(steps) - n):
        beside = np.concatenate([steps[i - n : i], steps[i + 1 : i + 1 + n]])
        is_steady = beside.min() >= MIN_JUMP_MOTION and beside.max() <= SMOOTH_RATIO * beside.min()
        if is_steady and JUMP_RATIO[0] * beside.max() <= steps[i] <= JUMP_RATIO[1] * beside.max():
            found.append(i + 1)
    return np.array([i for i in found if not is_repeat[max(i - 2, 0) : i + 3].any()], np.int64)


def find_freezes(steps: NDArray[np.float64]) -> list[tuple[int, int]]:
    """First frame and number of frames of every stretch that stands still for long, between frames that move."""
    found = []
    for first, run in runs(steps <= MAX_STILL):
        before, after = steps[max(first - NEIGHBOURS, 0) : first], steps[first + run : first + run + NEIGHBOURS]
        is_amid_motion = all(len(side) and float(np.median(side)) >= MIN_MOTION for side in (before, after))
        if run >= FREEZE_FRAMES and is_amid_motion:
            found.append((first + 1, run))
    return found


def examine(clip: Clip) -> Finding:
    """The order of the frames of a clip; see the module."""
    n = len(clip.times_s)
    if n < 2:
        return not_applicable("There is only one frame, so there is no order of frames to look at.")
    steps = frame_steps(clip.gray)
    if n < MIN_FRAMES:
        return inconclusive(f"There are {n} frames; fewer than {MIN_FRAMES} do not show a rhythm.", {"frames": n})
    moves = np.append(False, usual_motion(steps) >= MIN_MOTION)
    measures: dict[str, float | int | str | bool | None] = {
        "frames": n,
        "share of frames amid motion": round(float(moves.mean()), 3),
        "median step (grey levels)": round(float(np.median(steps)), 3),
    }
    if moves.sum() < MIN_FRAMES:
        still = f"Only {int(moves.sum())} of {n} frames lie amid motion: repeated and missing frames cannot be told."
        return inconclusive(still, measures)
    is_cut_here = find_cuts(clip.gray)
    is_repeat = find_repeats(steps)
    rhythm = find_rhythm(is_repeat, moves)
    jumps = find_jumps(steps, is_repeat)
    freezes = find_freezes(steps)
    copied = find_return(clip.gray, np.where(is_cut_here, 0.0, steps))
    irregular = len(jumps) + MIN_IRREGULAR * len(freezes)
    statistic = min(MAX_IRREGULAR, IRREGULAR_WEIGHT * irregular)
    if copied is not None:
        statistic = copied.length / MIN_RETURN_FRAMES
    measures |= {
        "cuts": int(is_cut_here.sum()),
        "repeated frames": int(is_repeat.sum()),
        "share of new frames by the rhythm": None if rhythm is None else round(rhythm.share, 4),
        "jumps in motion": len(jumps),
        "freezes": len(freezes),
        "gaps in time": _gaps(clip.times_s),
        "copied frames": 0 if copied is None else copied.length,
    }
    words = [
        _of_repeats(n, int(is_repeat.sum()), rhythm, clip.times_s),
        _of_places(jumps, freezes, clip.times_s),
        _of_copy(copied, clip.times_s),
    ]
    plot = _plot(clip.times_s, steps, jumps, freezes, copied)
    state = state_of(statistic, SUSPICIOUS_FROM, INCONSISTENT_FROM)
    return Finding(state, " ".join(words), measures, statistic, plots=(plot,))


def _gaps(times_s: NDArray[np.float64]) -> int:
    """Steps of time that are longer than 1.5 usual ones: frames that were not written, or a variable rate."""
    intervals = np.diff(times_s)
    return int((intervals > 1.5 * np.median(intervals)).sum())


def _of_repeats(n: int, repeats: int, rhythm: Rhythm | None, times_s: NDArray[np.float64]) -> str:
    if repeats == 0:
        return f"None of {n} frames repeats the one before while the picture moves."
    if rhythm is None:
        return f"{repeats} of {n} frames repeat the one before while the picture moves, at no fixed period."
    fps = 1 / float(np.median(np.diff(times_s)))
    return (
        f"{repeats} of {n} frames repeat the one before at a fixed rhythm: consistent with a conversion from"
        f" {fps * rhythm.share:.1f} to {fps:.1f} frames per second."
    )


def _of_places(jumps: NDArray[np.int64], freezes: list[tuple[int, int]], times_s: NDArray[np.float64]) -> str:
    places = ", ".join(f"{times_s[i]:.2f} s" for i in jumps[:5])
    words = f"The motion jumps by about twice its usual step at {len(jumps)} places" + (
        f" ({places})" if places else ""
    )
    longest = max((run for _, run in freezes), default=0)
    return words + (f", and stands still for up to {longest} frames between moving ones." if longest else ".")


def _of_copy(copied: Return | None, times_s: NDArray[np.float64]) -> str:
    if copied is None:
        return f"No stretch of {MIN_RETURN_FRAMES} frames or more is shown twice."
    first, second = times_s[copied.first], times_s[copied.first + copied.lag]
    return f"The {copied.length} frames from {first:.2f} s on are shown again from {second:.2f} s on."


def _plot(
    times_s: NDArray[np.float64],
    steps: NDArray[np.float64],
    jumps: NDArray[np.int64],
    freezes: list[tuple[int, int]],
    copied: Return | None,
) -> Plot:
    marks = [(float(times_s[i]), "jump") for i in jumps[:20]]
    marks += [(float(times_s[i]), "freeze") for i, _ in freezes[:20]]
    if copied is not None:
        marks += [(float(times_s[copied.first]), "shown"), (float(times_s[copied.first + copied.lag]), "shown again")]
    caption = "Mean difference of each frame from the one before; repeated frames touch zero."
    curves = {"step": steps}
    return Plot(
        "frame-steps", times_s[1:], curves, "time (s)", "difference (grey levels)", caption, tuple(sorted(marks))
    )


ANALYSIS: Analysis[Clip] = Analysis(
    name="frames",
    title="Order of frames",
    family="motion",
    needs="clip",
    question="Were frames repeated, left out, or shown a second time?",
    method=(
        "Each frame is compared with the one before and, reduced, with all others: repeats amid motion, steps of about"
        " twice the usual motion, and stretches that come back to within the compression are counted."
    ),
    citation=(
        "Wang, Farid (2007): Exposing Digital Forgeries in Video by Detecting Duplication, ACM MM&Sec; Chao, Jiang, Sun"
        " (2012): A Novel Video Inter-frame Forgery Model Detection Scheme Based on Optical Flow Consistency, IWDW"
    ),
    limits=(
        "Blind where nothing moves, to frames left out at a cut, to copies that were cropped, mirrored or slowed. Sees at"
        " most the clip's first minute, and pictures of 96 pixels: what moves less than a pixel there is not seen."
    ),
    benign=(
        "conversion of the frame rate",
        "a camera, network or screen recorder that drops or repeats frames",
        "a looped animation, an instant replay or repeated titles",
        "still pictures inside an edited clip",
    ),
    parameters={
        "suspicious from": SUSPICIOUS_FROM,
        "inconsistent from": INCONSISTENT_FROM,
        "copied frames for 1": MIN_RETURN_FRAMES,
        "weight of a jump": IRREGULAR_WEIGHT,
        "repeat below share of motion": REPEAT_SHARE,
        "least motion (grey levels)": MIN_MOTION,
        "copy below share of neighbours": RETURN_SHARE,
        "jump from ratio": JUMP_RATIO[0],
        "freeze from frames": FREEZE_FRAMES,
        "cut from difference": CUT_DIFFERENCE,
        "cut below correlation": CUT_CORRELATION,
    },
    examine=examine,
)
