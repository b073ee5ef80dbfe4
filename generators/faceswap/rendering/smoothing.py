"""Landmarks through time: smoothed so that a pasted face does not tremble, and filled in where a detection is missing.

Local linear regression with Gaussian weights in time (Cleveland, JASA 74, 1979; Fan and Gijbels 1996, section 3.2): a
point at rest and a point in uniform motion stay as they are, at the ends too, where an average would lag behind. Time is
the frames' own, however uneven. Nothing reaches across a cut or a gap.
"""

import numpy as np
from numpy.typing import NDArray

# A missing detection is bridged where both neighbours are at most this far away.
LONGEST_BRIDGE_S = 0.2
# Timestamps are sums of rounded fractions.
ROUNDING_S = 1e-6
# Beyond this many standard deviations the weight is below 4e-4.
REACH = 4.0


def smooth_landmarks(
    times_s: NDArray[np.float64], landmarks: NDArray[np.floating], sigma_s: float, is_after_cut: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The landmarks (T, 5, 2), each fitted with a straight line through its neighbours in time.

    times_s: (T,) rising. landmarks: NaN in frames without a face; they stay NaN and separate what is before from what is
    after, as do frames with `is_after_cut` (T,) and gaps longer than `LONGEST_BRIDGE_S`. sigma_s: standard deviation of the
    weights in seconds; 0 changes nothing. Raises ValueError for arrays of different lengths or times that do not rise.
    """
    times, points = _checked(times_s, landmarks, is_after_cut)
    out = points.copy()
    if sigma_s <= 0:
        return out
    for segment in _segments(times, points, is_after_cut):
        t, y = times[segment], points[segment].reshape(len(segment), -1)
        first = np.searchsorted(t, t - REACH * sigma_s)
        last = np.searchsorted(t, t + REACH * sigma_s, side="right")
        for i, frame in enumerate(segment):
            near = slice(first[i], last[i])
            out[frame] = _line_at_zero((t[near] - t[i]) / sigma_s, y[near]).reshape(points.shape[1:])
    return out


def fill_missing(
    times_s: NDArray[np.float64],
    landmarks: NDArray[np.floating],
    is_after_cut: NDArray[np.bool_],
    longest_s: float = LONGEST_BRIDGE_S,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The landmarks (T, 5, 2) with missing ones (NaN) filled in by straight lines, and which frames were (T,).

    Only where the last face before and the first after are both at most `longest_s` away, with no cut between them.
    """
    times, points = _checked(times_s, landmarks, is_after_cut)
    out, filled = points.copy(), np.zeros(len(times), np.bool_)
    shot = np.cumsum(is_after_cut)
    seen = np.flatnonzero(_is_seen(points))
    for missing in np.flatnonzero(~_is_seen(points)):
        after = int(np.searchsorted(seen, missing))
        if after in (0, len(seen)):
            continue
        a, b = seen[after - 1], seen[after]
        if shot[a] != shot[b] or max(times[missing] - times[a], times[b] - times[missing]) > longest_s + ROUNDING_S:
            continue
        share = (times[missing] - times[a]) / (times[b] - times[a])
        out[missing] = points[a] + share * (points[b] - points[a])
        filled[missing] = True
    return out, filled


def _line_at_zero(u: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Value at 0 of the weighted least-squares line through y (n, k) at u (n,), in standard deviations."""
    weights = np.exp(-np.square(u) / 2)
    s0, s1, s2 = weights.sum(), weights @ u, weights @ np.square(u)
    spread = s0 * s2 - s1 * s1
    if spread <= 1e-9 * s0 * s0:  # one frame, or all at one time: no slope can be told
        return np.asarray(weights @ y / s0, np.float64)
    return np.asarray((weights * (s2 - s1 * u)) @ y / spread, np.float64)


def _segments(
    times: NDArray[np.float64], points: NDArray[np.float64], is_after_cut: NDArray[np.bool_]
) -> list[NDArray[np.intp]]:
    """Indices of frames that belong together: all with a face, no cut and no gap between."""
    seen = _is_seen(points)
    starts = np.asarray(is_after_cut, np.bool_).copy()
    starts[1:] |= (np.diff(times) > LONGEST_BRIDGE_S + ROUNDING_S) | ~seen[:-1]
    numbers = np.cumsum(starts)
    return [np.flatnonzero(seen & (numbers == number)) for number in np.unique(numbers[seen])]


def _is_seen(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(points).all((1, 2)), np.bool_)


def _checked(
    times_s: NDArray[np.float64], landmarks: NDArray[np.floating], is_after_cut: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times, points = np.asarray(times_s, np.float64), np.asarray(landmarks, np.float64)
    if points.ndim != 3 or not len(times) == len(points) == len(is_after_cut):
        raise ValueError(
            f"{len(times)} times, landmarks {points.shape} and {len(is_after_cut)} cuts do not belong together"
        )
    if (np.diff(times) <= 0).any():
        raise ValueError("times do not rise")
    return times, points
