"""Geometry of the score-over-time plot: small multiples, one row per face track over a common axis of seconds.

Each row has the same bands (likely fake, inconclusive, likely real), so that a row is read without the others; the
track that the verdict rests on comes first and is drawn large. This module computes positions only; the template
`timeline.svg.j2` draws them.
Limits: at most MAX_ROWS tracks; a sample without a score is not drawn, and the curve is interrupted where a face was
out of sight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from forensics.detectors.model_set import FUSIONS
from forensics.report.record import DetectorPart, MomentPart, OperatingPoint, Record, SamplePart, TrackPart

# More rows than this are a wall, not a plot; the table of tracks lists all.
MAX_ROWS = 8

# A pause longer than this many usual sampling steps is a face out of sight: no line is drawn over it.
GAP_STEPS = 2.5

# A sample and the moment that shows it come from one timestamp, apart from rounding; frames lie further apart.
SAME_TIME_S = 0.002

# Units of the drawing (CSS pixels at full size).
WIDTH, LEFT, RIGHT = 760.0, 34.0, 108.0
FIRST_ROW_HEIGHT, ROW_HEIGHT = 190.0, 62.0
TITLE_HEIGHT, PIN_LANE, ROW_GAP, AXIS_HEIGHT = 20.0, 24.0, 14.0, 40.0
PIN_WIDTH, PIN_GAP = 18.0, 3.0
BAND_LABEL_HEIGHT = 30.0
MAX_TICKS = 9
TICK_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class Point:
    """A sample at its time and score; `moment` is the number of the picture that shows it, if one does."""

    x: float
    y: float
    timestamp_s: float
    score: float
    moment: int | None


@dataclass(frozen=True)
class Pin:
    """The numbered link of a moment, moved aside where two would overlap; (point_x, point_y) is what it points to."""

    x: float
    y: float
    point: Point


@dataclass(frozen=True)
class Band:
    """A range of scores with the verdict that it means. `bound` is its threshold; None for the band between."""

    label: str
    bound: float | None
    y: float
    height: float
    label_y: float


@dataclass(frozen=True)
class Row:
    """One track. `segments` are runs of points that a line connects; y and height are of the plotting area."""

    track: TrackPart
    is_top: bool
    title_y: float
    y: float
    height: float
    bands: tuple[Band, ...]
    segments: tuple[tuple[Point, ...], ...]
    pins: tuple[Pin, ...]


@dataclass(frozen=True)
class Tick:
    """A mark of the time axis; `in_minutes` where the axis is long enough to be read in minutes."""

    x: float
    timestamp_s: float
    in_minutes: bool


@dataclass(frozen=True)
class Timeline:
    """Everything that the template draws. left_out counts tracks that have scores but no row."""

    width: float
    height: float
    left: float
    right: float
    axis_y: float
    end_s: float
    detector: DetectorPart
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    left_out: int


def plotted_detector(record: Record) -> DetectorPart | None:
    """The detector whose scores are drawn: the fusion, else the calibrated one of most weight; None without scores."""
    named = {name for track in record.tracks for sample in track.samples for name in sample.scores}
    candidates = [detector for detector in record.detectors if detector.name in named]
    # max() keeps the first of equals, so the record's order decides between them.
    return max(candidates, key=lambda d: (d.name in FUSIONS, d.is_calibrated, abs(d.weight or 0.0)), default=None)


def moment_number(moments: Sequence[MomentPart], track: int, timestamp_s: float) -> int | None:
    """The number, from 1, of the moment of this track at this time; None if there is none."""
    for number, moment in enumerate(moments, 1):
        if moment.track == track and abs(moment.timestamp_s - timestamp_s) < SAME_TIME_S:
            return number
    return None


def lay_out_timeline(record: Record) -> Timeline | None:
    """The plot of a record; None for an image, and where fewer than two moments in time have a score."""
    detector = plotted_detector(record)
    if detector is None or (record.media is not None and record.media.kind == "image"):
        return None
    scored = {track.id: [s for s in track.samples if detector.name in s.scores] for track in record.tracks}
    times = {sample.timestamp_s for samples in scored.values() for sample in samples}
    if len(times) < 2 or max(times) <= 0:
        return None
    top = record.verdict.top_track if record.verdict is not None else None
    drawn = sorted((t for t in record.tracks if scored[t.id]), key=lambda t: _rank(t, top))
    end_s = max([*times, record.media.duration_s if record.media is not None else 0.0])
    point = record.verdict.operating_point if record.verdict is not None and detector.is_calibrated else None

    rows = []
    y = 0.0
    for index, track in enumerate(drawn[:MAX_ROWS]):
        height = FIRST_ROW_HEIGHT if index == 0 else ROW_HEIGHT
        shown = any(moment.track == track.id for moment in record.moments)
        plot_y = y + TITLE_HEIGHT + (PIN_LANE if shown else 0.0)
        points = []
        for sample in sorted(scored[track.id], key=lambda s: s.timestamp_s):
            moment = moment_number(record.moments, track.id, sample.timestamp_s)
            points.append(_place(sample, detector.name, end_s=end_s, y=plot_y, height=height, moment=moment))
        rows.append(
            Row(
                track=track,
                is_top=track.id == top,
                title_y=y + TITLE_HEIGHT - 7,
                y=plot_y,
                height=height,
                bands=_bands(point, plot_y, height),
                segments=split_at_gaps(points),
                pins=_pins(points, plot_y - PIN_LANE + 2),
            )
        )
        y = plot_y + height + ROW_GAP
    axis_y = y - ROW_GAP
    return Timeline(
        width=WIDTH,
        height=axis_y + AXIS_HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        axis_y=axis_y,
        end_s=end_s,
        detector=detector,
        rows=tuple(rows),
        ticks=_ticks(end_s),
        left_out=max(0, len(drawn) - MAX_ROWS),
    )


def split_at_gaps(points: Sequence[Point]) -> tuple[tuple[Point, ...], ...]:
    """Runs of points without a pause longer than GAP_STEPS usual steps; points are in order of time."""
    steps = [b.timestamp_s - a.timestamp_s for a, b in pairwise(points)]
    if not steps:
        return (tuple(points),)
    limit = GAP_STEPS * median(steps)
    runs: list[list[Point]] = [[points[0]]]
    for step, point in zip(steps, points[1:], strict=True):
        if step > limit:
            runs.append([])
        runs[-1].append(point)
    return tuple(tuple(run) for run in runs)


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending positions moved as little as two sweeps need to lie `gap` apart inside [low, high].

    Where they do not all fit, they begin at `low` and leave at `high`.
    """
    placed: list[float] = []
    for position in positions:
        placed.append(max(position, placed[-1] + gap if placed else low))
    limit = high
    for index in reversed(range(len(placed))):
        placed[index] = max(min(placed[index], limit), low + index * gap)
        limit = placed[index] - gap
    return placed


def _rank(track: TrackPart, top: int | None) -> tuple[bool, float, int]:
    """Sorts the verdict's track first, then by falling probability, those without one last."""
    return track.id != top, -track.probability if track.probability is not None else 1.0, track.id


def _x(timestamp_s: float, end_s: float) -> float:
    return round(LEFT + (WIDTH - RIGHT - LEFT) * timestamp_s / end_s, 1)


def _place(sample: SamplePart, detector: str, *, end_s: float, y: float, height: float, moment: int | None) -> Point:
    score = sample.scores[detector]
    shown = min(max(score, 0.0), 1.0)
    return Point(_x(sample.timestamp_s, end_s), round(y + (1 - shown) * height, 1), sample.timestamp_s, score, moment)


def _bands(point: OperatingPoint | None, y: float, height: float) -> tuple[Band, ...]:
    """From the top: fake, between, real; no bands without thresholds."""
    if point is None:
        return ()
    fake_y, real_y = (round(y + (1 - t) * height, 1) for t in (point.threshold_fake, point.threshold_real))
    edges = (
        ("likely fake", point.threshold_fake, y, fake_y),
        ("inconclusive", None, fake_y, real_y),
        ("likely real", point.threshold_real, real_y, y + height),
    )
    half = BAND_LABEL_HEIGHT / 2
    middles = spread([(a + b) / 2 for _, _, a, b in edges], BAND_LABEL_HEIGHT, y + half, y + height - half)
    return tuple(
        Band(label, bound, a, round(max(b - a, 0.0), 1), round(middle, 1))
        for (label, bound, a, b), middle in zip(edges, middles, strict=True)
    )


def _pins(points: Sequence[Point], y: float) -> tuple[Pin, ...]:
    shown = [point for point in points if point.moment is not None]
    half = PIN_WIDTH / 2
    places = spread([point.x for point in shown], PIN_WIDTH + PIN_GAP, LEFT + half, WIDTH - RIGHT - half)
    return tuple(Pin(round(x, 1), y, point) for x, point in zip(places, shown, strict=True))


def _ticks(end_s: float) -> tuple[Tick, ...]:
    # Beyond the table: whole hours.
    step = next((s for s in TICK_STEPS_S if end_s / s < MAX_TICKS), 3600.0 * (1 + end_s // (3600 * MAX_TICKS)))
    times = [round(index * step, 3) for index in range(int(end_s / step + 1e-9) + 1)]
    return tuple(Tick(_x(time, end_s), time, end_s >= 120) for time in times)
