"""curves.png of a translator's run: losses, the discriminator's accuracy, PSNR and SSIM on pictures it never saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from generators.monitor.curves import BLUE, GREY, ORANGE, draw_line, draw_panels
from generators.monitor.log import CycleRow, LikenessRow, RoundTripRow, TranslationRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        _draw_accuracy(accuracy, rows)
        for axes, after, before, unit in (
            (likeness, [row.psnr_db for row in likenesses], [row.before_psnr_db for row in likenesses], "dB"),
            (structure, [row.ssim for row in likenesses], [row.before_ssim for row in likenesses], ""),
        ):
            draw_line(axes, measured, after, "outputs", BLUE, "-")
            draw_line(axes, measured, before, "inputs", ORANGE, "--")
            axes.set(ylabel=unit)
            if axes is likeness and any(row.nlm_psnr_db is not None for row in likenesses):
                of_rival = [float("nan") if row.nlm_psnr_db is None else row.nlm_psnr_db for row in likenesses]
                draw_line(axes, measured, of_rival, "non-local means", GREY, ":")
            if likenesses:
                axes.legend(loc="best", frameon=False)


def _draw_accuracy(axes: "Axes", rows: Sequence[TranslationRow] | Sequence[CycleRow]) -> None:
    draw_line(axes, [row.step for row in rows], [100 * row.accuracy for row in rows], "", BLUE, "-")
    axes.axhline(50, color=GREY, linewidth=0.8, linestyle=":")
    axes.set(ylim=(-2, 102), ylabel="%")


def draw_cycle_curves(rows: Sequence[CycleRow], trips: Sequence[RoundTripRow], path: Path) -> None:
    """As `draw_curves`, of training without pairs. The last panel is empty where what is wanted is not known."""
    steps, measured = [row.step for row in rows], [row.step for row in trips]
    end = max([1, *steps, *measured])
    titles = (
        "L1 of training pictures, there and back", "How often the critics are right",
        "PSNR there and back, unseen pictures", "PSNR to what is wanted",
    )  # fmt: skip
    with draw_panels(path, titles, end) as (cycle, accuracy, round_trip, truth):
        draw_line(cycle, steps, [row.cycle for row in rows], "", BLUE, "-")
        _draw_accuracy(accuracy, rows)
        draw_line(round_trip, measured, [row.first_psnr_db for row in trips], "first set", BLUE, "-")
        draw_line(round_trip, measured, [row.second_psnr_db for row in trips], "second set", ORANGE, "--")
        known = [row for row in trips if row.psnr_db is not None and row.before_psnr_db is not None]
        at = [row.step for row in known]
        draw_line(truth, at, [row.psnr_db or 0.0 for row in known], "outputs", BLUE, "-")
        draw_line(truth, at, [row.before_psnr_db or 0.0 for row in known], "inputs", ORANGE, "--")
        for axes, has_lines in ((round_trip, bool(trips)), (truth, bool(known))):
            axes.set(ylabel="dB")
            if has_lines:
                axes.legend(loc="best", frameon=False)
