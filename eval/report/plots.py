"""The figures of a benchmark page, each an SVG of its own, so that a page can lay them out for any width.

Every detector has one look everywhere: a colour, a dash and a marker, so that no difference rests on colour alone.
Colours: Okabe and Ito, Color Universal Design (2008), without the yellow, which white paper swallows. Axis titles lie
flat above the axis they name. All text is at least 11 px at full size; the SVGs scale down to a phone's width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.patches import PathPatch
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from eval.report.curves import DET_TICKS, Histogram, Scored, det_limits, deviates, probit_grid, thin_curve
from eval.report.svg import INK, LINE, MUTED, drawing, inline_svg, new_figure, place_holder
from eval.statistics import Reliability, roc_curve
from forensics.common.metrics import Estimate, share_with_interval

Floats = NDArray[np.float64]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7", "#e69f00", "#56b4e9")
# Lengths of dashes and gaps in line widths; in number coprime with the colours, so that pairs repeat late.
DASHES = (
    (0, ()), (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)),
)  # fmt: skip
# With the size at which each looks as large as the others.
MARKERS = {"o": 1.0, "s": 0.95, "^": 1.2, "D": 0.9, "v": 1.2, "P": 1.25, "X": 1.2, "p": 1.2}
# Reals and fakes in histograms; they also lie on different sides of the axis.
REAL, FAKE = "#1c6a50", "#a12c1f"
MARKER_PX = 7
# Square axes: left, bottom, right, top margins in pixels.
CURVE_SIZE, CURVE_MARGINS = (380, 388), (48, 44, 24, 36)
# Labels of a DET axis that lie closer than this share of it would touch.
CLOSEST_TICKS = 0.075
MAX_NAME = 17


@dataclass(frozen=True)
class Look:
    """How a detector is drawn."""

    colour: str
    dash: tuple[int, tuple[float, ...]]
    marker: str


@dataclass(frozen=True, eq=False)
class Operated:
    """A detector's scored items with its threshold, to be drawn as a curve with a mark at the threshold."""

    look: Look
    scored: Scored
    threshold: float


@dataclass(frozen=True)
class IntervalRow:
    """One bar: a detector and its figure; an undefined one is None."""

    look: Look
    name: str
    estimate: Estimate | None


@dataclass(frozen=True)
class StrengthLine:
    """One detector over rising strength: an estimate per step, the clean one first; an undefined one is None."""

    look: Look
    estimates: Sequence[Estimate | None]


def looks_of(detectors: Sequence[str]) -> dict[str, Look]:
    """A look per detector, by its place in the order."""
    return {
        name: Look(COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], tuple(MARKERS)[i % len(MARKERS)])
        for i, name in enumerate(detectors)
    }


def plot_swatch(look: Look) -> Markup:
    """The look alone, for legends; without ids, so that one page can show it many times."""
    with drawing():
        width, height = 34, 14
        figure = new_figure(width, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, width), ylim=(0, height))
        ends, middle = [1, width - 1], [height / 2] * 2
        axes.plot(ends, middle, color=look.colour, linestyle=look.dash, linewidth=2, clip_on=False)
        style = MarkerStyle(look.marker)
        shape = style.get_path().transformed(style.get_transform())
        place = Affine2D().scale(MARKER_PX * MARKERS[look.marker]).translate(width / 2, height / 2)
        axes.add_patch(
            PathPatch(
                shape.transformed(place),
                facecolor=look.colour,
                edgecolor="white",
                linewidth=0.7,
                clip_on=False,
                zorder=3,
            )
        )
        return inline_svg(figure, "swatch", "")


def plot_roc(curves: Sequence[Operated], prefix: str, alternative: str) -> Markup:
    """TPR over FPR, one curve per detector with both classes, its threshold marked."""
    with drawing():
        figure, axes = _panel(*CURVE_SIZE, CURVE_MARGINS)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        ticks = np.linspace(0, 1, 6)
        axes.set_xticks(ticks, [f"{100 * t:.0f} %" for t in ticks])
        axes.set_yticks(ticks, [f"{100 * t:.0f} %" for t in ticks])
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, zorder=1.5)
        for curve in curves:
            points = roc_curve(curve.scored.labels, curve.scored.scores)
            _curve(axes, curve.look, *thin_curve(points.x, points.y))
        for curve in curves:
            if curve.scored.has_both:
                fpr, fnr = curve.scored.rates(curve.threshold)
                _mark(axes, curve.look, fpr, 1 - fnr)
        _titles(figure, axes, "TPR: fakes found", "FPR: reals called fake")
        return inline_svg(figure, prefix, alternative)


def plot_det(curves: Sequence[Operated], prefix: str, alternative: str) -> Markup:
    """FNR over FPR on normal-deviate axes, one curve per detector with both classes, its threshold marked."""
    found = [roc_curve(curve.scored.labels, curve.scored.scores) for curve in curves]
    errors = [(points.x, 1 - points.y) for points in found]
    n_smallest = min((min(c.scored.n_real, c.scored.n_fake) for c in curves if c.scored.has_both), default=1)
    low, high = det_limits(errors, n_smallest)
    first, last = (float(v) for v in deviates(np.array([low, high])))
    ticks = det_ticks(low, high)
    places = deviates(np.array(ticks))
    with drawing():
        figure, axes = _panel(*CURVE_SIZE, CURVE_MARGINS)
        axes.set(xlim=(first, last), ylim=(first, last))
        axes.set_xticks(places, [f"{100 * tick:g}" for tick in ticks])
        axes.set_yticks(places, [f"{100 * tick:g} %" for tick in ticks])
        grid = probit_grid(low, high)
        axes.plot(grid, grid, color=LINE, linewidth=1, zorder=1.5)
        axes.plot(grid, [-v for v in grid], color=LINE, linewidth=1, linestyle=(0, (2, 3)), zorder=1.5)
        for curve, (fpr, fnr) in zip(curves, errors, strict=True):
            x, y = deviates(fpr), deviates(fnr)
            # Thinned as it is drawn: in units of the axes.
            thin_x, thin_y = thin_curve((x - first) / (last - first), (y - first) / (last - first))
            _curve(axes, curve.look, first + thin_x * (last - first), first + thin_y * (last - first))
        for curve in curves:
            if curve.scored.has_both:
                point = np.clip(deviates(np.array(curve.scored.rates(curve.threshold))), first, last)
                _mark(axes, curve.look, float(point[0]), float(point[1]))
        _titles(figure, axes, "FNR: fakes missed", "FPR: reals called fake (%)")
        return inline_svg(figure, prefix, alternative)


def det_ticks(low: float, high: float) -> list[float]:
    """The marks of DET_TICKS between two rates that have room for their labels; both ends stay."""
    inside = [tick for tick in DET_TICKS if low <= tick <= high]
    places = dict(zip(inside, deviates(np.array(inside)), strict=True))
    closest = CLOSEST_TICKS * (places[inside[-1]] - places[inside[0]])
    kept = [inside[0]]
    for tick in inside[1:-1]:
        if min(places[tick] - places[kept[-1]], places[inside[-1]] - places[tick]) >= closest:
            kept.append(tick)
    return [*kept, inside[-1]]


def plot_histogram(histogram: Histogram, threshold: float, prefix: str, alternative: str) -> Markup:
    """Fakes above the axis, reals below it; what lies on the wrong side of the threshold is solid."""
    with drawing():
        figure, axes = _panel(340, 230, (46, 40, 12, 30))
        left, widths = histogram.edges[:-1], np.diff(histogram.edges)
        for wrong, right, colour, sign in (
            (histogram.fake_wrong, histogram.fake_right, FAKE, 1),
            (histogram.real_wrong, histogram.real_right, REAL, -1),
        ):
            axes.bar(left, sign * wrong, widths, align="edge", color=colour, linewidth=0, zorder=3)
            axes.bar(
                left, sign * right, widths, bottom=sign * wrong, align="edge", facecolor=_tint(colour, 0.25),
                edgecolor=colour, linewidth=0.6, zorder=3,
            )  # fmt: skip
        top = max(
            float((histogram.fake_wrong + histogram.fake_right).max()),
            float((histogram.real_wrong + histogram.real_right).max()),
            1e-9,
        )
        axes.set(xlim=(0, 1), ylim=(-1.12 * top, 1.12 * top))
        axes.set_xticks(np.linspace(0, 1, 5), ["0", "0.25", "0.5", "0.75", "1"])
        step = _round_step(top)
        shares = [k * step for k in range(1, int(top / step) + 1)]
        places = [*(-s for s in reversed(shares)), 0.0, *shares]
        axes.set_yticks(places, [f"{100 * abs(place):.3g} %" for place in places])
        axes.axhline(0, color=MUTED, linewidth=0.8, zorder=4)
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=5)
        # Where a detector that works has no bars.
        axes.text(0.03, 0.9, "fakes", transform=axes.transAxes, color=FAKE, fontweight="bold", ha="left", va="center")
        axes.text(0.97, 0.1, "reals", transform=axes.transAxes, color=REAL, fontweight="bold", ha="right", va="center")
        _titles(figure, axes, "Share of the class", f"score (threshold {threshold:.3g})")
        axes.spines["bottom"].set_visible(False)
        return inline_svg(figure, prefix, alternative)


def plot_reliability(own: Reliability, even: Reliability | None, look: Look, prefix: str, alternative: str) -> Markup:
    """Share of fakes over mean score per bin with 95 % Wilson intervals; `even`: the same, classes weighing alike."""
    with drawing():
        figure, axes = _panel(340, 350, (46, 112, 12, 30))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        ticks = np.linspace(0, 1, 5)
        axes.set_xticks(ticks, ["0", "0.25", "0.5", "0.75", "1"])
        axes.set_yticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, zorder=1.5)
        filled = own.counts > 0
        mean, share = own.mean_probability[filled], own.share_fake[filled]
        intervals = [share_with_interval(round(p * n), int(n)) for p, n in zip(share, own.counts[filled], strict=True)]
        axes.vlines(
            mean, [i.low for i in intervals], [i.high for i in intervals], color=look.colour, linewidth=1.4, alpha=0.55
        )
        axes.plot(mean, share, color=look.colour, linewidth=1, alpha=0.55, zorder=3)
        for x, y in zip(mean, share, strict=True):
            _mark(axes, look, float(x), float(y))
        if even is not None:
            there = even.counts > 0
            axes.plot(even.mean_probability[there], even.share_fake[there], color=INK, linewidth=1.1,
                      linestyle=(0, (1.2, 1.6)), zorder=3.5)  # fmt: skip
        counts = figure.add_axes((46 / 340, 44 / 350, (340 - 58) / 340, 40 / 350))
        _plain(counts)
        counts.set(xlim=(0, 1), ylim=(0, max(1, int(own.counts.max())) * 1.05))
        counts.bar(own.edges[:-1], own.counts, np.diff(own.edges), align="edge", color=_tint(look.colour, 0.45),
                   edgecolor="white", linewidth=0.6, zorder=3)  # fmt: skip
        counts.set_xticks([])
        counts.set_yticks([int(own.counts.max())], [f"{int(own.counts.max()):,}"])
        _titles(figure, axes, "Fakes among them", "")
        figure.text(0.5, 12 / 350, "mean score of the bin, and how many items", ha="center", va="baseline", color=MUTED)
        return inline_svg(figure, prefix, alternative)


def interval_limits(estimates: Sequence[Estimate | None]) -> tuple[float, float]:
    """One AUC axis for all panels: from a round number below everything, at most 0.5, up to 1."""
    known = [bound for e in estimates if e is not None for bound in (e.low, e.value)]
    lowest = min((bound for bound in known if np.isfinite(bound)), default=0.5)
    return max(0.0, min(0.5, float(np.floor(lowest * 10 + 1e-9) / 10))), 1.0


def plot_intervals(rows: Sequence[IntervalRow], limits: tuple[float, float], prefix: str, alternative: str) -> Markup:
    """AUC per detector as a bar from 0.5 (guessing) with its 95 % interval; names on the left, values on the right."""
    height = 56 + 22 * len(rows)
    with drawing():
        figure, axes = _panel(340, height, (128, 34, 46, 10))
        axes.set(xlim=limits, ylim=(len(rows) - 0.5, -0.5))
        ticks = np.linspace(limits[0], limits[1], round((limits[1] - limits[0]) * 10) + 1)
        every = 1 if len(ticks) <= 6 else 2
        ticks = ticks[::-1][::every][::-1]
        axes.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])
        axes.set_yticks(range(len(rows)), [place_holder(i) for i in range(len(rows))])
        axes.tick_params(axis="y", labelcolor=INK, pad=8)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.axvline(0.5, color=MUTED, linewidth=1, zorder=2)
        for place, row in enumerate(rows):
            if row.estimate is None:
                axes.text(sum(limits) / 2, place, "undefined", ha="center", va="center_baseline", color=MUTED)
                continue
            estimate, colour = row.estimate, row.look.colour
            axes.barh(place, estimate.value - 0.5, 0.5, left=0.5, color=_tint(colour, 0.28), zorder=3)
            if np.isfinite(estimate.low):
                axes.hlines(place, estimate.low, estimate.high, color=colour, linewidth=2, zorder=4)
            _mark(axes, row.look, estimate.value, place)
            axes.annotate(f"{estimate.value:.3f}", (1, place), xycoords=("axes fraction", "data"), xytext=(8, 0),
                          textcoords="offset points", ha="left", va="center_baseline", annotation_clip=False)  # fmt: skip
        return inline_svg(figure, prefix, alternative, [_shortened(row.name) for row in rows])


def plot_strengths(
    lines: Sequence[StrengthLine], steps: Sequence[str], limits: tuple[float, float], prefix: str, alternative: str
) -> Markup:
    """AUC over the steps of one perturbation, the clean one first, a line per detector with its 95 % interval as a band."""
    with drawing():
        figure, axes = _panel(340, 236, (38, 24, 14, 28))
        places = np.arange(len(steps) + 1, dtype=np.float64)
        axes.set(xlim=(-0.25, len(steps) + 0.25), ylim=(limits[0], limits[1] + 0.015))
        axes.set_xticks(places, ["clean", *(place_holder(i) for i in range(len(steps)))])
        ticks = np.linspace(limits[0], limits[1], round((limits[1] - limits[0]) * 10) + 1)
        axes.set_yticks(ticks, [f"{tick:.1f}" for tick in ticks])
        axes.axhline(0.5, color=MUTED, linewidth=1, zorder=1.5)
        axes.axvline(0.5, color=LINE, linewidth=1, linestyle=(0, (2, 3)), zorder=1.5)
        for line in lines:
            known = [e if e is not None else Estimate(np.nan, np.nan, np.nan) for e in line.estimates]
            value, low, high = (np.array([getattr(e, key) for e in known]) for key in ("value", "low", "high"))
            axes.fill_between(places, low, high, color=line.look.colour, alpha=0.13, linewidth=0, zorder=2)
            axes.plot(places, value, color=line.look.colour, linestyle=line.look.dash, linewidth=1.8, zorder=3)
        for line in lines:
            for place, e in zip(places, line.estimates, strict=True):
                if e is not None:
                    _mark(axes, line.look, float(place), e.value, size=6)
        _titles(figure, axes, "AUC", "")
        return inline_svg(figure, prefix, alternative, [_shortened(step) for step in steps])


def _panel(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure with one plain axes; margins left, bottom, right, top in pixels."""
    figure = new_figure(width, height)
    left, bottom, right, top = margins
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    _plain(axes)
    axes.grid(True, zorder=0)
    return figure, axes


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, pad=5)
    axes.set_axisbelow(True)


def _titles(figure: Figure, axes: Axes, upright: str, across: str) -> None:
    """The title of the upright axis flat above it, that of the other one below its middle."""
    box = axes.get_position()
    height = figure.get_figheight() * 72
    figure.text(
        6 / (figure.get_figwidth() * 72), 1 - 12 / height, upright, ha="left", va="center_baseline", color=MUTED
    )
    figure.text((box.x0 + box.x1) / 2, 8 / height, across, ha="center", va="baseline", color=MUTED)


def _curve(axes: Axes, look: Look, x: Floats, y: Floats) -> None:
    axes.plot(x, y, color=look.colour, linestyle=look.dash, linewidth=1.8, zorder=3)


def _mark(axes: Axes, look: Look, x: float, y: float, size: float = MARKER_PX) -> None:
    axes.plot([x], [y], look.marker, color=look.colour, markersize=size * MARKERS[look.marker],
              markeredgecolor="white", markeredgewidth=0.7, zorder=6, clip_on=False)  # fmt: skip


def _tint(colour: str, share: float) -> tuple[float, float, float]:
    """The colour mixed with white, opaque, so that grid lines do not show through."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 1 - share * (1 - red), 1 - share * (1 - green), 1 - share * (1 - blue)


def _round_step(top: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that marks an axis up to `top` one to three times."""
    power = 10.0 ** np.floor(np.log10(top))
    return float(next(power * factor for factor in (0.5, 1.0, 2.0, 5.0) if top / (power * factor) <= 3))


def _shortened(name: str) -> str:
    """A name that fits beside a bar: the whole one stands in the legend."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
