"""Whether a GAN's training goes well, in words for a person who cannot tell from its losses.

Losses of a GAN say little: they are those of a game whose opponent changes. What can be read is how often the
discriminator D is right (Goodfellow et al. 2014, arXiv 1406.2661: half of the time once the generator G draws the data's
distribution), whether G's loss runs away (Arjovsky and Bottou 2017, arXiv 1701.04862: an almost perfect D leaves G
without a gradient), and whether the samples of one batch look alike (mode collapse; Salimans et al. 2016, arXiv
1606.03498, section 3.2).
Limits: rules of thumb over a window of rows, not a measure of quality: that is KID (`forensics generate quality`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median

import torch
from torch.nn import functional as F

from generators.monitor.log import Row

# Rows that the judgement averages over: one alone is a few dozen pictures, whose accuracy scatters by 5 points.
WINDOW_ROWS = 10
# Fewer rows than this say nothing about a direction.
MIN_ROWS_FOR_TREND = 4
# D guesses at 50 %. Up to here, a batch or two of 64 do not tell it from guessing (two standard errors are 6 points).
GUESSING_BELOW = 0.56
# DCGANs that go well stay between 70 and 95 %; above this, G's gradient is that of a few lucky pictures.
WINNING_ABOVE = 0.97
# Nothing gets through at all: the direction of G's loss does not matter any more.
WON_ABOVE = 0.995
# G's loss in the second half of the window over that in the first: what is called rising. In standard deviations of a row.
RISING_BY_DEVIATIONS = 1.0
# Diversity of a batch as a share of the real pictures'. Faces drawn by a DCGAN that goes well have 70 to 110 %.
COLLAPSED_BELOW = 0.15
ALIKE_BELOW = 0.4
# A generator with first weights draws one grey picture: it has not collapsed, it has not begun. Collapsed is what was
# diverse before, and is not, row after row: going back then leads to a better place.
HAD_DIVERSITY = 0.5
COLLAPSED_ROWS = 3
# A generator whose samples are alike for longer than this will not begin by itself.
BEGUN_STEP = 2000
# Side that pictures are pooled to before they are compared: what they show, without their noise, and cheap.
POOLED_PX = 16


class State(StrEnum):
    """What `assess` finds; the first that applies, from the worst."""

    NOT_FINITE = "not finite"
    COLLAPSED = "collapsed"
    WINNING = "discriminator wins"
    GUESSING = "discriminator guesses"
    ALIKE = "samples alike"
    STARTING = "starting"
    HEALTHY = "healthy"


@dataclass(frozen=True)
class Health:
    """`text` is one line: the state, the figures it rests on, and what to do."""

    state: State
    text: str


def assess(rows: Sequence[Row]) -> Health:
    """Judge a run by its rows so far: the last WINDOW_ROWS are averaged, those before only say what has been.

    Pass all rows of the run that are at hand. No rows are a run that is starting.
    """
    window = rows[-WINDOW_ROWS:]
    if not window:
        return Health(State.STARTING, "starting: nothing to judge yet")
    wrong = next((row for row in reversed(window) if not _is_finite(row)), None)
    if wrong is not None:
        return Health(
            State.NOT_FINITE,
            f"the loss is not finite (step {wrong.step}); hint: begin again in another --output with a lower "
            "--learning-rate-g and --learning-rate-d, or with --precision float32",
        )
    known = [row.diversity for row in window if math.isfinite(row.diversity)]
    likeness = median(known) if known else math.nan
    accuracy = fmean((row.accuracy_real + row.accuracy_fake) / 2 for row in window)
    right = f"D is right {accuracy:.0%} of the time"
    seen = f"diversity {likeness:.0%} of the real pictures'"
    if _has_collapsed(rows):
        return _collapsed(f"diversity {rows[-1].diversity:.0%} of the real pictures'")
    if likeness < COLLAPSED_BELOW and not _was_diverse(rows):
        return _not_begun(rows[-1].step, seen, right)
    alike = f"samples look rather alike ({seen}); {right}; hint: watch the grid, modes may be going"
    fine = f"healthy: {right}" + (f"; {seen}" if known else "")
    otherwise = Health(State.ALIKE, alike) if likeness < ALIKE_BELOW else Health(State.HEALTHY, fine)
    return _of_game(window, accuracy) or otherwise


def _collapsed(seen: str) -> Health:
    return Health(
        State.COLLAPSED,
        f"collapsed: the samples look alike ({seen}); hint: if it does not recover, begin again in another --output with "
        "--spectral-norm, --r1-gamma 10 or a lower --learning-rate-d",
    )


def _not_begun(step: int, seen: str, right: str) -> Health:
    if step < BEGUN_STEP:
        return Health(State.STARTING, f"starting: the samples still look alike ({seen}); {right}")
    hint = "hint: a lower --learning-rate-d, --augment 0.5, or --objective non_saturating"
    return Health(State.ALIKE, f"the samples have looked alike from the start ({seen}); {right}; {hint}")


def _of_game(window: Sequence[Row], accuracy: float) -> Health | None:
    """Where one side of the game has the upper hand."""
    rising = _rise([row.loss_g for row in window]) > RISING_BY_DEVIATIONS
    if accuracy > WON_ABOVE or (accuracy > WINNING_ABOVE and rising):
        trend = "rising" if rising else "not rising"
        return Health(
            State.WINNING,
            f"discriminator wins ({_detail(window, accuracy)}, generator loss {trend}); hint: G learns little from a D "
            "that is never wrong: --augment 0.8 with few pictures, --spectral-norm, --r1-gamma 10, or a lower "
            "--learning-rate-d",
        )
    if accuracy < GUESSING_BELOW:
        return Health(
            State.GUESSING,
            f"discriminator is guessing ({_detail(window, accuracy)}); hint: fine if the samples look real, which is "
            "where the game ends; if they do not, D is too weak: --d-steps 2, a lower --learning-rate-g, weaker --augment",
        )
    return None


def diversity(fake: torch.Tensor, real: torch.Tensor) -> float:
    """Mean distance of two fakes over mean distance of two reals: about 1 where G draws all that the data have.

    fake, real: (N, 3, H, W) of one range, N at least 2 each; compared at POOLED_PX by average pooling, Euclidean.
    0 where all fakes are one picture; NaN where the reals are, or where a fake is not finite. Raises ValueError for N < 2.
    """
    if min(len(fake), len(real)) < 2:
        raise ValueError(f"diversity needs two pictures of each kind, not {len(fake)} and {len(real)}")
    of_real = _mean_distance(real)
    return _mean_distance(fake) / of_real if of_real > 0 else math.nan


@torch.no_grad()
def _mean_distance(pictures: torch.Tensor) -> float:
    side = min(POOLED_PX, *pictures.shape[-2:])
    flat = F.adaptive_avg_pool2d(pictures.detach().float(), side).flatten(1)  # (N, 3 * side^2)
    # Not by a matrix product: it cancels digits just where pictures are alike.
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    n = len(flat)
    return float(distances.sum() / (n * (n - 1)))


def _is_finite(row: Row) -> bool:
    return math.isfinite(row.loss_d) and math.isfinite(row.loss_g)


def _was_diverse(rows: Sequence[Row]) -> bool:
    return any(row.diversity >= HAD_DIVERSITY for row in rows)


def _has_collapsed(rows: Sequence[Row]) -> bool:
    last = rows[-COLLAPSED_ROWS:]
    return len(last) == COLLAPSED_ROWS and all(row.diversity < COLLAPSED_BELOW for row in last) and _was_diverse(rows)


def _rise(losses: Sequence[float]) -> float:
    """Mean of the second half less that of the first, in standard deviations within the halves; 0 for too few."""
    if len(losses) < MIN_ROWS_FOR_TREND:
        return 0.0
    half = len(losses) // 2
    scale = max(map(abs, losses)) or 1.0  # squares of huge losses would overflow
    scaled = [value / scale for value in losses]
    first, last = scaled[:half], scaled[-half:]
    before, after = fmean(first), fmean(last)
    spread = math.sqrt(fmean([*((v - before) ** 2 for v in first), *((v - after) ** 2 for v in last)]))
    if spread == 0:
        return math.inf if after > before else 0.0
    return (after - before) / spread


def _detail(window: Sequence[Row], accuracy: float) -> str:
    real, fake = fmean(row.accuracy_real for row in window), fmean(row.accuracy_fake for row in window)
    return f"{accuracy:.0%}: {real:.0%} of reals, {fake:.0%} of fakes"
