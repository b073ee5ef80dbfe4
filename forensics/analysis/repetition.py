"""Frames that are shown again: at once, at a rhythm, or as a stretch that comes back.

Wang, Farid: Exposing Digital Forgeries in Video by Detecting Duplication (ACM MM&Sec 2007), where stretches are
compared by correlations; here by distances, each against those of the neighbours in time.
Limits: blind where nothing moves.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

# Mean difference of successive grey pictures, in grey levels: below the first nothing moves that could be compared, and a
# repeated frame differs by less than the share of what moves around it (an encoder skips it, or re-draws some noise).
MIN_MOTION = 0.35
REPEAT_SHARE = 0.2
MAX_STILL = 0.25  # and by no more than this, whatever moves
NEIGHBOURS = 6  # frames to each side that say how much moves
# Rhythm: how sharply the places of repeats lie on one period (length of the mean of unit vectors, in that of places that
# are only rounded), how many of the repeats that the period asks for are there, and how many there must be at least.
MIN_SHARPNESS = 0.9
RHYTHM_COVERAGE = (0.7, 1.4)
MIN_REPEATS = 8
# A stretch that returns: windows of so many frames, nearer to their copy than this share of the distance to the copy's
# neighbours, which must be far enough to tell (root mean square, in grey levels). In eight real clips the nearest that
# two stretches come by themselves is .74 of it; in seven of them .94.
MIN_RETURN_FRAMES = 8
RETURN_SHARE = 0.6
MIN_RETURN_MOTION = 0.8
RETURN_PX = 48  # longer side of the pictures that are compared with all others


@dataclass(frozen=True)
class Rhythm:
    """New pictures at a lower rate than frames: `share` of the frames are new (0 .. 1), at one period, with the sharpness
    of their places (about 1 for an exact one)."""

    share: float
    sharpness: float


@dataclass(frozen=True)
class Return:
    """Frames `first` .. first + length - 1 that are shown again `lag` frames later."""

    first: int
    length: int
    lag: int


def frame_steps(gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean absolute difference of successive pictures (n, h, w), in grey levels: (n - 1,), (0,) for none or one."""
    steps = [float(cv2.absdiff(a, b).mean()) for a, b in pairwise(gray)]
    return np.array(steps, np.float64)


def find_repeats(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a frame shows its predecessor again while its surroundings move: (n,) for n - 1 steps."""
    motion = usual_motion(steps)
    repeats = (steps <= np.minimum(MAX_STILL, REPEAT_SHARE * motion)) & (motion >= MIN_MOTION)
    return np.append(False, repeats)


def repeated_frames(gray: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`find_repeats` of pictures (n, h, w): (n,)."""
    return find_repeats(frame_steps(gray)) if len(gray) else np.zeros(0, bool)


def usual_motion(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much moves around each step (n,): the third largest of the 13 about it, in grey levels.

    A cut or two are not motion, and where three of four frames are repeats the fourth still says what moves.
    """
    if not len(steps):
        return steps
    padded = np.pad(steps, NEIGHBOURS, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    return np.asarray(np.sort(windows, axis=1)[:, -3], np.float64)


def find_rhythm(is_repeat: NDArray[np.bool_], moves: NDArray[np.bool_]) -> Rhythm | None:
    """The period of repeated frames, None where they have none.

    is_repeat, moves (n,): moves says where a repeat could have been seen. The rarer of repeats and new frames come every
    T frames, at k T + phase rounded up: the mean of exp(2 pi i place / T) is long. Only periods near the one that their
    number asks for are tried: a divisor of the true one would do as well.
    """
    repeats, new = np.flatnonzero(is_repeat), np.flatnonzero(moves & ~is_repeat)
    places = min(repeats, new, key=len)
    if len(places) < MIN_REPEATS:
        return None
    usual = len(places) / int((moves | is_repeat).sum())
    low, high = (usual / share for share in RHYTHM_COVERAGE[::-1])
    frequencies = np.arange(low, min(high, 0.5) + 1e-9, 1 / (8 * len(is_repeat)))
    # Rounding to whole frames spreads the phases evenly over `frequency` of a turn: that alone leaves its sinc.
    sharpness = np.abs(np.exp(2j * np.pi * np.outer(frequencies, places)).mean(1)) / np.sinc(frequencies)
    best = int(np.argmax(sharpness))
    if sharpness[best] < MIN_SHARPNESS:
        return None
    rate = float(frequencies[best])
    return Rhythm(rate if places is new else 1 - rate, float(sharpness[best]))


def find_return(gray: NDArray[np.uint8], steps: NDArray[np.float64]) -> Return | None:
    """The longest stretch that comes back later, None for none.

    gray: (n, h, w). A copy is nearer to its original than to the original's neighbours in time; two moments that merely
    look alike are equally far from both. Distances are root mean squares in grey levels of pictures of RETURN_PX,
    averaged over MIN_RETURN_FRAMES successive frames. Time and memory grow with n squared: 0.1 GB for 1,800 frames.
    """
    n = len(gray)
    if n < 3 * MIN_RETURN_FRAMES:
        return None
    distance = _distances(gray)
    moves = _windowed(np.append(steps, 0.0)) >= MIN_MOTION
    best: Return | None = None
    for lag in range(MIN_RETURN_FRAMES, n - MIN_RETURN_FRAMES):
        # Frame i + lag against i, and against what comes after either of them.
        here = _windowed(distance.diagonal(lag)[:-1])
        beside = np.minimum(_windowed(distance.diagonal(lag - 1)[1:-1]), _windowed(distance.diagonal(lag + 1)))
        is_copy = (here <= RETURN_SHARE * beside) & (beside >= MIN_RETURN_MOTION) & moves[: len(here)]
        for first, run in runs(is_copy):
            length = run + MIN_RETURN_FRAMES - 1
            if best is None or length > best.length:
                best = Return(first, length, lag)
    return best


def _windowed(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Means over MIN_RETURN_FRAMES successive values, by the first of them: shorter by that number less one."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray((sums[MIN_RETURN_FRAMES:] - sums[:-MIN_RETURN_FRAMES]) / MIN_RETURN_FRAMES, np.float64)


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and length of every unbroken run of flags, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]


def _distances(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Root mean square difference between all pairs of pictures, brightness apart: (n, n) in grey levels."""
    height, width = gray.shape[1:]
    factor = max(1.0, max(height, width) / RETURN_PX)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    small = np.stack([cv2.resize(g, size, interpolation=cv2.INTER_AREA).ravel() for g in gray]).astype(np.float32)
    small -= small.mean(1, keepdims=True)
    small -= small.mean(0)  # small numbers lose less in the product below
    power = (small.astype(np.float64) ** 2).sum(1)
    squared = power[:, None] + power - 2.0 * (small @ small.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0) / small.shape[1]), np.float32)
