"""curves.png of a run: losses, how often the discriminator is right, diversity, KID with its interval and the best step.

Colours: Okabe and Ito, Color Universal Design (2008); lines differ in dash, too. The same rows give the same bytes with
the same Matplotlib.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from forensics.common.files import write_atomic
from generators.monitor.health import COLLAPSED_BELOW
from generators.monitor.log import QualityRow, Row

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#777777"
SIZE_INCHES, DPI = (9.0, 6.4), 110
# By hand: a layout engine takes as long as the drawing.
MARGINS = {"left": 0.07, "right": 0.965, "bottom": 0.075, "top": 0.95, "wspace": 0.2, "hspace": 0.3}
# With fewer points a line alone would be short or invisible.
MARKED_UP_TO = 12
SMOOTHED_FROM = 40


def draw_curves(rows: Sequence[Row], qualities: Sequence[QualityRow], path: Path) -> None:
    """Write the PNG atomically. Works from no rows on; values that are not finite leave a gap."""
    steps = [row.step for row in rows]
    end = max([1, *steps, *(row.step for row in qualities)])
    titles = (
        "Losses (of a game: low is not good)", "How often the discriminator is right", "Diversity of the samples",
        "KID (lower is better)",
    )  # fmt: skip
    with draw_panels(path, titles, end) as (losses, accuracy, diversity, kid):
        draw_line(losses, steps, [row.loss_d for row in rows], "discriminator", BLUE, "-")
        draw_line(losses, steps, [row.loss_g for row in rows], "generator", ORANGE, "--")
        draw_line(accuracy, steps, [100 * row.accuracy_real for row in rows], "on reals", BLUE, "-")
        draw_line(accuracy, steps, [100 * row.accuracy_fake for row in rows], "on fakes", ORANGE, "--")
        accuracy.axhline(50, color=GREY, linewidth=0.8, linestyle=":")
        accuracy.text(end, 51, "guessing", color=GREY, ha="right", va="bottom", fontsize=8)
        accuracy.set(ylim=(-2, 102), ylabel="%")
        draw_line(diversity, steps, [100 * row.diversity for row in rows], "", GREEN, "-")
        diversity.axhline(100 * COLLAPSED_BELOW, color=GREY, linewidth=0.8, linestyle=":")
        diversity.text(
            end, 100 * COLLAPSED_BELOW + 1, "collapsed below", color=GREY, ha="right", va="bottom", fontsize=8
        )
        top = max((100 * row.diversity for row in rows if math.isfinite(row.diversity)), default=100)
        diversity.set(ylim=(0, max(110, 1.1 * top)), ylabel="% of the reals'")
        _draw_kid(kid, qualities)
        for axes in (losses, accuracy):
            if rows:
                axes.legend(loc="best", frameon=False)


@contextmanager
def draw_panels(path: Path, titles: tuple[str, str, str, str], end: int) -> Iterator[tuple[Axes, Axes, Axes, Axes]]:
    """Four panels over the steps 0 to `end`, to be drawn into; the PNG is written at the end, atomically."""
    with mpl.rc_context():  # whatever the user's own Matplotlib is set to
        mpl.rcdefaults()
        mpl.rcParams.update({"font.size": 9, "axes.titlesize": 10})
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI)
        FigureCanvasAgg(figure)
        figure.subplots_adjust(**MARGINS)
        a, b, c, d = figure.subplots(2, 2).flat
        for axes, title in zip((a, b, c, d), titles, strict=True):
            _plain(axes, title, end)
        yield a, b, c, d
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomic(path, buffer.getvalue())


def best_of(qualities: Sequence[QualityRow]) -> QualityRow | None:
    """The row with the lowest finite KID, the first of equals; None where there is none."""
    return min((row for row in qualities if math.isfinite(row.kid)), key=lambda row: row.kid, default=None)


def _draw_kid(axes: Axes, qualities: Sequence[QualityRow]) -> None:
    best = best_of(qualities)
    if best is None:
        axes.text(0.5, 0.5, "not measured yet", transform=axes.transAxes, ha="center", va="center", color=GREY)
        axes.set_yticks([])
        return
    # KIDs of different extractors are different scales: only those of the last one are drawn.
    extractor = qualities[-1].extractor
    drawn = [row for row in qualities if row.extractor == extractor and math.isfinite(row.kid)]
    best = best_of(drawn) or best
    steps = [row.step for row in drawn]
    axes.fill_between(
        steps, [row.low for row in drawn], [row.high for row in drawn], color=BLUE, alpha=0.2, linewidth=0
    )
    axes.vlines(steps, [row.low for row in drawn], [row.high for row in drawn], color=BLUE, linewidth=1, alpha=0.6)
    axes.plot(steps, [row.kid for row in drawn], color=BLUE, marker="o", markersize=3, linewidth=1.3)
    axes.plot([best.step], [best.kid], marker="*", markersize=13, color=ORANGE, linestyle="none", zorder=5)
    axes.set_title(f"KID [{extractor}] (lower is better): best {best.kid:.4g} at step {best.step}", loc="left")


def draw_line(axes: Axes, steps: Sequence[int], values: Sequence[float], label: str, colour: str, dash: str) -> None:
    """One line; points where there are few, a smoothed line over a faint one where there are many."""
    shown = [value if math.isfinite(value) else math.nan for value in values]
    marker = "o" if len(shown) <= MARKED_UP_TO else None
    is_long = len(shown) >= SMOOTHED_FROM
    axes.plot(steps, shown, color=colour, linestyle=dash, marker=marker, markersize=3, linewidth=0.7 if is_long else 1.3,
              alpha=0.35 if is_long else 1, label=None if is_long else label)  # fmt: skip
    if is_long:
        axes.plot(steps, _smoothed(shown), color=colour, linestyle=dash, linewidth=1.5, label=label)


def _smoothed(values: Sequence[float]) -> list[float]:
    """Exponential mean that forgets over a twentieth of the points, gaps left out."""
    keep = 1 - 1 / max(1, len(values) / 20)
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        out.append(mean / weight if weight else math.nan)
    return out


def _plain(axes: Axes, title: str, end: int) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, loc="left")
    axes.set(xlim=(0, end), xlabel="step")
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
