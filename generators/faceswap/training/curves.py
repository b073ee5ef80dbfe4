"""curves.png of a face swap: loss, how near the drawn faces come, faces that were not trained on, and the critic."""

import math
from collections.abc import Sequence
from pathlib import Path

from generators.monitor.curves import BLUE, GREEN, ORANGE, draw_line, draw_panels
from generators.monitor.log import ReconstructionRow, SwapRow


def draw_curves(rows: Sequence[SwapRow], measured: Sequence[ReconstructionRow], path: Path) -> None:
    """Write the PNG atomically. Works from no rows on; values that are not finite leave a gap."""
    steps, at = [row.step for row in rows], [row.step for row in measured]
    end = max([1, *steps, *at])
    has_critic = any(math.isfinite(row.accuracy) for row in rows)
    last = "How often the critic is right" if has_critic else "Mask heads: cross-entropy"
    titles = ("Loss", "SSIM of drawn faces (higher is better)", "PSNR of faces it never saw", last)
    with draw_panels(path, titles, end) as (loss, ssim, noise, fourth):
        draw_line(loss, steps, [row.loss for row in rows], "", BLUE, "-")
        draw_line(ssim, steps, [row.ssim for row in rows], "training", BLUE, "-")
        draw_line(ssim, at, [row.source_ssim for row in measured], "never seen: source", ORANGE, "--")
        draw_line(ssim, at, [row.target_ssim for row in measured], "never seen: target", GREEN, "-.")
        draw_line(noise, at, [row.source_psnr_db for row in measured], "source", ORANGE, "--")
        draw_line(noise, at, [row.target_psnr_db for row in measured], "target", GREEN, "-.")
        noise.set(ylabel="dB")
        if has_critic:
            draw_line(fourth, steps, [100 * row.accuracy for row in rows], "", BLUE, "-")
            fourth.set(ylim=(-2, 102), ylabel="%")
        else:
            draw_line(fourth, steps, [row.mask for row in rows], "", BLUE, "-")
        for axes in (ssim, noise):
            if rows and axes.get_legend_handles_labels()[0]:
                axes.legend(loc="best", frameon=False)
