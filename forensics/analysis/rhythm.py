"""Rhythms in a sequence: the period and phase at which values are highest, and whether the phase moves midway.

The values are ranked and the ranks taken as quantiles of the normal distribution (van der Waerden 1952), so that no single
value decides. How surprising a rhythm is, is counted as a number of false alarms (Desolneux, Moisan, Morel 2000): the tail
probability of the sum of scores at one period and phase, times the number of periods and phases that were tried.

Limits: values that depend on their neighbours make chance rhythms a little likelier than is counted, or less so.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri
from scipy.stats import rankdata

# Shorter rhythms come from hierarchical prediction (2, 4, 8) and from a converted frame rate (4, 5, 6).
MIN_PERIOD, MAX_PERIOD = 9, 250
MIN_REPEATS = 6
# Judged frames at one phase; fewer say nothing.
MIN_JUDGED = 4
# A lost step: each side must show its own phase at this many deviations, and the other's at no more than that.
MIN_SIDE_Z, MAX_OTHER_Z = 2.5, 2.0
SIDE_REPEATS = 5
MAX_STEP_PERIOD = 64
# Frames by which a phase must move to be another one: encoders move a key frame by one or two for a better picture.
MIN_STEP = 3


@dataclass(frozen=True)
class Rhythm:
    """The clearest rhythm: period and phase in frames, strength = -log10 of the number of false alarms."""

    period: int
    phase: int
    strength: float


@dataclass(frozen=True)
class LostStep:
    """A rhythm with one phase before frame `place` (to within a period) and another behind it; strength as above."""

    period: int
    phases: tuple[int, int]
    place: int
    strength: float


def normal_scores(residue: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of the finite values as quantiles of the normal distribution, with a variance of 1; nan stays."""
    scores = np.full(len(residue), np.nan)
    judged = np.isfinite(residue)
    if judged.any():
        scores[judged] = ndtri((rankdata(residue[judged]) - 0.5) / judged.sum())
        spread = scores[judged].std()
        scores[judged] = scores[judged] / spread if spread > 0 else 0.0
    return scores


def find_rhythm(scores: NDArray[np.float64]) -> Rhythm | None:
    """The period and phase at which scores (n,) are highest; None for too few frames, and for scores that are all zero.

    Periods below MIN_PERIOD are tried too, so that a short rhythm is not taken for its multiple.
    """
    longest = min(MAX_PERIOD, len(scores) // MIN_REPEATS)
    if longest < MIN_PERIOD or not np.nan_to_num(scores).any():
        return None
    best = Rhythm(0, 0, -np.inf)
    tests = np.log10(sum(range(2, longest + 1)))
    for period in range(2, longest + 1):
        strengths = phase_strengths(scores, period) - tests
        phase = int(np.argmax(strengths))
        if strengths[phase] > best.strength:
            best = Rhythm(period, phase, float(strengths[phase]))
    return best


def phase_strengths(scores: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    """-log10 of the tail probability of the sum of scores at each phase: (period,); 0 where fewer than four are judged."""
    judged = np.isfinite(scores)
    phases = np.arange(len(scores)) % period
    count = np.bincount(phases, judged, minlength=period)
    total = np.bincount(phases, np.where(judged, scores, 0.0), minlength=period)
    n = judged.sum()
    # Drawn without replacement from n scores of mean 0 and variance 1.
    spread = np.sqrt(np.maximum(count * (n - count) / max(n - 1, 1), 1e-12))
    strengths = -log_ndtr(-total / spread) / np.log(10.0)
    return np.where((count >= MIN_JUDGED) & (count < n), strengths, 0.0)


def find_lost_step(scores: NDArray[np.float64]) -> LostStep | None:
    """The clearest rhythm that goes on at another phase from some place on; None where there is none.

    Each side must show its own phase, and not the other's. Places are multiples of the period, SIDE_REPEATS periods or more
    from either end; the strength pays for periods, places and pairs of phases.
    """
    n = len(scores)
    longest = min(MAX_STEP_PERIOD, n // (2 * SIDE_REPEATS))
    best: LostStep | None = None
    tests = sum(period**2 * (n // period - 2 * SIDE_REPEATS + 1) for period in range(MIN_PERIOD, longest + 1))
    for period in range(MIN_PERIOD, longest + 1):
        rows = n // period
        folded = scores[: rows * period].reshape(rows, period)
        counts = np.cumsum(np.isfinite(folded), axis=0)
        sums = np.cumsum(np.nan_to_num(folded), axis=0)
        for row in range(SIDE_REPEATS, rows - SIDE_REPEATS + 1):
            sides = ((sums[row - 1], counts[row - 1]), (sums[-1] - sums[row - 1], counts[-1] - counts[row - 1]))
            before, after = (total / np.sqrt(np.maximum(count, 1)) for total, count in sides)
            first, second = int(np.argmax(before)), int(np.argmax(after))
            distance = abs(first - second)
            is_clear = (
                min(before[first], after[second]) >= MIN_SIDE_Z and max(before[second], after[first]) <= MAX_OTHER_Z
            )
            if min(distance, period - distance) < MIN_STEP or not is_clear:
                continue
            total = sides[0][0][first] + sides[1][0][second]
            z = total / np.sqrt(sides[0][1][first] + sides[1][1][second])
            strength = float(-log_ndtr(-z) / np.log(10.0) - np.log10(tests))
            if best is None or strength > best.strength:
                best = LostStep(period, (first, second), row * period, strength)
    return best
