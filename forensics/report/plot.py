"""Geometry of a finding's plot: curves over one axis, with marks. Positions only; `plot.svg.j2` draws them."""

import math
from dataclasses import dataclass

from forensics.report.findings import PlotPart

# Units of the drawing (CSS pixels at full size).
WIDTH, HEIGHT = 720.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 46.0
MARK_ROWS = 3
MAX_TICKS = 7


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A polyline's points as SVG has them; number: which of the page's line styles."""

    name: str
    number: int
    points: str


@dataclass(frozen=True)
class Drawing:
    """All positions of a plot."""

    part: PlotPart
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Tick, ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def lay_out_plot(part: PlotPart) -> Drawing | None:
    """Positions; None for a plot without two points."""
    values = [y for curve in part.curves.values() for y in curve]
    if len(part.x) < 2 or not values:
        return None
    x_low, x_high = min(part.x), max(part.x)
    y_low, y_high = min(values), max(values)
    margin = 0.06 * (y_high - y_low) or 0.5
    y_low, y_high = y_low - margin, y_high + margin
    if x_high <= x_low:
        return None

    def x_at(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def y_at(y: float) -> float:
        return round(HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1)

    curves = tuple(
        Curve(name, number, " ".join(f"{x_at(x)},{y_at(y)}" for x, y in zip(part.x, ys, strict=True)))
        for number, (name, ys) in enumerate(part.curves.items())
    )
    return Drawing(
        part=part,
        curves=curves,
        x_ticks=tuple(Tick(x_at(value), f"{value:g}") for value in tick_values(x_low, x_high)),
        y_ticks=tuple(Tick(y_at(value), f"{value:g}") for value in tick_values(y_low, y_high)),
        marks=tuple(Tick(x_at(mark.x), mark.label) for mark in part.marks if x_low <= mark.x <= x_high),
    )


def tick_values(low: float, high: float) -> list[float]:
    """At most MAX_TICKS round numbers (1, 2 or 5 times a power of ten apart) between two."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return []
    power = 10.0 ** math.floor(math.log10(span / MAX_TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if span / (factor * power) <= MAX_TICKS)
    first = math.ceil(low / step)
    return [round((first + i) * step, 10) for i in range(int(math.floor(high / step) - first) + 1)]
