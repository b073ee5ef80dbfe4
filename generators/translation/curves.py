"""curves.png of a translator's run: losses, the discriminator's accuracy, PSNR and SSIM on pictures it never saw."""

from collections.abc import Sequence
from pathlib import Path

from generators.monitor.curves import BLUE, GREY, ORANGE, draw_line, draw_panels
from generators.monitor.log import LikenessRow, TranslationRow


def draw_curves(rows: Sequence[TranslationRow], likenesses: Sequence[LikenessRow], path: Path) -> None:
    """Write the PNG atomically. Works from no rows on; values that are not finite leave a gap."""
    steps, measured = [row.step for row in rows], [row.step for row in likenesses]
    end = max([1, *steps, *measured])
    titles = (
        "L1 of training pictures", "How often the discriminator is right", "PSNR on unseen pictures (higher is better)",
        "SSIM on unseen pictures",
    )  # fmt: skip
    with draw_panels(path, titles, end) as (losses, accuracy, likeness, structure):
        draw_line(losses, steps, [row.l1 for row in rows], "", BLUE, "-")
        draw_line(accuracy, steps, [100 * row.accuracy for row in rows], "", BLUE, "-")
        accuracy.axhline(50, color=GREY, linewidth=0.8, linestyle=":")
        accuracy.set(ylim=(-2, 102), ylabel="%")
        for axes, after, before, unit in (
            (likeness, [row.psnr_db for row in likenesses], [row.before_psnr_db for row in likenesses], "dB"),
            (structure, [row.ssim for row in likenesses], [row.before_ssim for row in likenesses], ""),
        ):
            draw_line(axes, measured, after, "outputs", BLUE, "-")
            draw_line(axes, measured, before, "inputs", ORANGE, "--")
            axes.set(ylabel=unit)
            if likenesses:
                axes.legend(loc="best", frameon=False)
