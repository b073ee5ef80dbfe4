"""Colours of translated frames, steadied over time: the network's flicker goes, changes of light in the clip stay.

Of every frame, mean and standard deviation of each CIELAB channel are taken before and after the network. What the network
does to them - the difference of the means, the logarithm of the ratio of the deviations - should change slowly in a scene,
so it is averaged over time; the output is then shifted and scaled (Reinhard et al., Color Transfer between Images, IEEE
CG&A 21, 2001) to the input's statistics with the averaged change. The average is causal and exponential: a frame that is
t seconds old weighs exp(-t / smooth_s), relative to the sum of all weights, so that the first frames of a scene are not
taken for more than they are. It needs no frame but the present one, and begins anew at a cut.
Limits: one change for the whole frame: flicker of a part, or of texture, stays. A real change of what the network does
is followed smooth_s late. The first frames of a scene are steadied less than later ones.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from generators.faceswap.rendering.colour import LARGEST_GAIN, Picture, from_lab, to_lab

DEFAULT_SMOOTH_S = 0.25
# Euclidean distance between the six statistics of neighbouring inputs, in units of LAB. Within single shots of talking
# people, broadcasts and a street, 0.6 was the most in 2000 frames; between two scenes it is ten or more as a rule.
CUT_DISTANCE = 3.0
# A spread below this is rounding and noise of an encoder, of which no ratio means anything (1 level of 255 is 0.4 of L).
LEAST_DEVIATION = 1.0


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation (3,) float64 of the LAB channels of a picture; deviations are LEAST_DEVIATION or more."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def distance(self, other: "Statistics") -> float:
        """Euclidean, over means and deviations."""
        return math.hypot(*(self.mean - other.mean), *(self.deviation - other.deviation))


def statistics_of(lab: NDArray[np.float32]) -> Statistics:
    """Of a picture (H, W, 3) in LAB."""
    mean, deviation = (np.asarray(values, np.float64).ravel() for values in cv2.meanStdDev(lab))
    return Statistics(mean, np.maximum(deviation, LEAST_DEVIATION))


class Steadier:
    """Takes the frames of one clip in order; keeps their statistics, no pictures."""

    def __init__(self, smooth_s: float = DEFAULT_SMOOTH_S) -> None:
        """smooth_s: time constant of the average in seconds, 0 is off. Raises ValueError for less, and for no number."""
        if not (math.isfinite(smooth_s) and smooth_s >= 0):
            raise ValueError(f"colours are steadied over 0 seconds or more, not {smooth_s}")
        self._smooth_s = smooth_s
        self._last: tuple[float, Statistics] | None = None
        self._restart()

    def _restart(self) -> None:
        self._total, self._weight = np.zeros((2, 3)), 0.0

    def steadied(self, time_s: float, before: Picture, after: Picture) -> Picture:
        """`after` with its colours steadied.

        before: (H, W, 3) uint8 RGB, what went into the network; after: (sH, sW, 3) uint8 RGB of any size, what came out;
        time_s: seconds, not before the last frame's. Returns (sH, sW, 3) uint8; `after` itself where smoothing is off.
        """
        if self._smooth_s == 0:
            return after
        lab = to_lab(after)
        into, out = statistics_of(to_lab(before)), statistics_of(lab)
        if self._last is not None:
            last_s, last = self._last
            if into.distance(last) > CUT_DISTANCE:
                self._restart()
            kept = math.exp(-max(0.0, time_s - last_s) / self._smooth_s)
            self._total, self._weight = self._total * kept, self._weight * kept
        self._last = time_s, into
        self._total = self._total + np.stack([out.mean - into.mean, np.log(out.deviation / into.deviation)])
        self._weight += 1
        shift, log_ratio = self._total / self._weight
        gain = np.clip(into.deviation * np.exp(log_ratio) / out.deviation, 1 / LARGEST_GAIN, LARGEST_GAIN)
        return from_lab(((lab - out.mean) * gain + into.mean + shift).astype(np.float32))
