"""The figure of a card: error over coverage, a line per data set, as an SVG file of its own."""

from collections.abc import Mapping

import numpy as np

from eval.report.plots import looks_of
from eval.report.svg import HAIR, MUTED, drawing, inline_svg, new_figure, place_holder
from eval.results import RiskBlock

WIDTH, HEIGHT = 620, 330
LEFT, BOTTOM, RIGHT, TOP = 52, 44, 210, 30
LINE_PX = 17
# A name longer than this would leave the figure.
MAX_NAME = 26
# The axis of errors ends at a multiple of this.
STEP = 0.05
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" style="background: #fff" font-family="DejaVu Sans, sans-serif" '


def plot_risk_coverage(blocks: Mapping[str, RiskBlock], detector: str) -> str:
    """blocks: by data set, each with the same coverages. The same blocks give the same bytes."""
    names = list(blocks)
    highest = max((point.error for block in blocks.values() for point in block.points if point.error), default=STEP)
    top = STEP * np.ceil(highest / STEP + 1e-9)
    with drawing():
        figure = new_figure(WIDTH, HEIGHT)
        axes = figure.add_axes(
            (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - BOTTOM - TOP) / HEIGHT)
        )
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0, pad=5)
        axes.grid(True, color=HAIR, zorder=0)
        axes.set(xlim=(0, 1), ylim=(0, top))
        x_ticks, y_ticks = np.linspace(0, 1, 6), np.linspace(0, top, 6)
        axes.set_xticks(x_ticks, [f"{100 * tick:.0f} %" for tick in x_ticks])
        axes.set_yticks(y_ticks, [f"{100 * tick:.0f} %" for tick in y_ticks])
        for place, (look, block) in enumerate(zip(looks_of(names).values(), blocks.values(), strict=True)):
            known = [(point.coverage, point.error) for point in block.points if point.error is not None]
            coverages, errors = ([pair[i] for pair in known] for i in (0, 1))
            axes.plot(coverages, errors, color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4,
                      linewidth=1.8, zorder=3, clip_on=False)  # fmt: skip
            height = 1 - (TOP + LINE_PX * place) / HEIGHT
            ends = [(WIDTH - RIGHT + 14) / WIDTH, (WIDTH - RIGHT + 44) / WIDTH]
            key = axes.plot(ends, [height, height], color=look.colour, linestyle=look.dash, linewidth=1.8,
                            transform=figure.transFigure, clip_on=False)  # fmt: skip
            key[0].set_in_layout(False)
            figure.text((WIDTH - RIGHT + 52) / WIDTH, height, place_holder(place), va="center_baseline")
        figure.text(6 / WIDTH, 1 - 12 / HEIGHT, "error among what is decided", color=MUTED, va="center_baseline")
        middle = (LEFT + (WIDTH - LEFT - RIGHT) / 2) / WIDTH
        figure.text(middle, 8 / HEIGHT, "coverage: share that is decided", color=MUTED, ha="center")
        alternative = f"Error over coverage of the detector {detector}, a line per data set"
        svg = inline_svg(figure, "risk", alternative, [_short(name) for name in names])
    return str(svg).replace("<svg ", HEAD, 1) + "\n"


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
