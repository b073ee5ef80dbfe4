"""How training of a swap goes, in words: how well faces are drawn, and whether more steps are worth their time.

Unlike a GAN's, the loss of an autoencoder means what it says. What it does not say is whether the swap looks right: that is
in the preview, and in `forensics generate faceswap quality`.
"""

import math
from collections.abc import Sequence
from statistics import fmean

from generators.monitor.log import ReconstructionRow, SwapRow

# Rows in each half of what is compared: one row scatters by the poses that its batches drew.
WINDOW_ROWS = 5
# A gain of SSIM between two windows that the eye does not see any more.
SMALL_GAIN = 0.002
# A critic that is never wrong teaches nothing; one that guesses has nothing left to teach.
CRITIC_WINS, CRITIC_GUESSES = 0.97, 0.53


def assess(rows: Sequence[SwapRow], measured: Sequence[ReconstructionRow] = ()) -> str:
    """One line about a run by its rows so far."""
    if not rows:
        return "starting: nothing to judge yet"
    last = rows[-1]
    if not math.isfinite(last.loss):
        return "the loss is not finite; hint: a lower --learning-rate, or --precision float32"
    words = [f"faces are drawn with SSIM {last.ssim:.3f}, off by {255 * last.l1:.1f} grey levels"]
    trend = _trend(rows)
    if trend:
        words.append(trend)
    if math.isfinite(last.accuracy):
        words.append(_critic(fmean(row.accuracy for row in rows[-WINDOW_ROWS:])))
    if measured:
        held_out = (measured[-1].source_ssim + measured[-1].target_ssim) / 2
        words.append(
            f"faces it never saw {held_out:.3f}"
            + (f" at step {measured[-1].step}" if measured[-1].step < last.step else "")
        )
    return "; ".join(words)


def _trend(rows: Sequence[SwapRow]) -> str:
    if len(rows) < 2 * WINDOW_ROWS:
        return ""
    before, now = rows[-2 * WINDOW_ROWS : -WINDOW_ROWS], rows[-WINDOW_ROWS:]
    gain = fmean(row.ssim for row in now) - fmean(row.ssim for row in before)
    steps = now[-1].step - before[-1].step
    if gain < -SMALL_GAIN:
        return f"worse by {-gain:.3f} in {steps} steps"
    return (
        f"still improving ({gain:+.3f} in {steps} steps)" if gain > SMALL_GAIN else f"hardly improving in {steps} steps"
    )


def _critic(accuracy: float) -> str:
    if accuracy > CRITIC_WINS:
        return f"the critic wins ({accuracy:.0%} right); hint: a lower --adversarial-weight"
    if accuracy < CRITIC_GUESSES:
        return f"the critic is guessing ({accuracy:.0%} right)"
    return f"the critic is right {accuracy:.0%} of the time"
