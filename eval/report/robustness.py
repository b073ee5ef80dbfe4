"""Robustness: AUC over the strength of each perturbation, as small multiples and as tables of what was lost.

A page of its own, Markdown, and the parts that a benchmark page embeds. One panel per perturbation and family, all on
one AUC axis, so that panels compare by eye; strengths stand at even distances in the order given, mild to strong.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from eval.report.figures import AUC, format_figure, format_interval, shade_of, span_of
from eval.report.markdown import bullets, facts_of, markdown_section
from eval.report.page import page_environment
from eval.report.plots import Look, StrengthLine, interval_limits, looks_of, plot_strengths, plot_swatch
from eval.report.tables import ABSENT, UNDEFINED, Cell, Row, Table
from forensics.common.metrics import Estimate

# A drop this large stands as dark as a table's cell gets.
DARKEST_DROP = 0.25
CLEAN = "clean"
DROPS_MEANING = (
    "AUC of the unchanged items less that of the perturbed ones, on what was scored both times; above 0 something was "
    "lost. In brackets its 95 % interval, by draws that both have in common; it is for one cell, not for the table at once."
)
AUCS_MEANING = "AUC of what was scored, with its 95 % interval; the first row is of the unchanged items."
COUNT_TITLES = ("reals", "fakes", "share scored")
# The family that holds all data sets; so eval.robustness calls it.
ALL = "all"


@dataclass(frozen=True)
class RobustnessPoint:
    """One detector on one family under one perturbation of one strength; an undefined figure is None.

    auc, low, high: AUC with its 95 % interval. drop: clean AUC less this one (above 0: lost), with its paired interval.
    n_real, n_fake: scored items; share_scored: of all items of the family, in [0, 1]. unit: what `strength` counts.
    """

    detector: str
    family: str
    perturbation: str
    title: str
    unit: str
    strength: float | str
    auc: float | None
    low: float | None
    high: float | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    n_real: int
    n_fake: int
    share_scored: float | None

    @property
    def step(self) -> str:
        """The strength as text."""
        return self.strength if isinstance(self.strength, str) else f"{self.strength:g}"


@dataclass(frozen=True)
class RobustnessTable:
    """All points of one run, mild to strong; the clean AUC per (detector, family), NaN where undefined; its facts."""

    points: Sequence[RobustnessPoint]
    clean: Mapping[tuple[str, str], Estimate]
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """One plot with the text above it."""

    title: str
    note: str
    svg: Markup


@dataclass(frozen=True)
class FamilyPart:
    """What is shown of one family."""

    family: str
    panels: tuple[Panel, ...]
    drops: Table
    aucs: Table


def render_robustness(
    points: Sequence[RobustnessPoint], clean: Mapping[tuple[str, str], Estimate], about: Mapping[str, str]
) -> str:
    """One self-contained page, in the order of the points. The same input gives the same bytes.

    clean: AUC of the unchanged items per (detector, family), NaN where undefined. about: facts of the run, shown as given.
    """
    table = RobustnessTable(points, clean, about)
    looks = looks_of(detectors_of(table))
    return (
        page_environment()
        .get_template("robustness.html.j2")
        .render(
            about=about,
            families=family_parts(table, looks),
            detectors=list(looks),
            swatches={name: plot_swatch(look) for name, look in looks.items()},
            perturbations=list(dict.fromkeys(point.title for point in points)),
        )
    )


def render_robustness_markdown(
    points: Sequence[RobustnessPoint], clean: Mapping[tuple[str, str], Estimate], about: Mapping[str, str]
) -> str:
    """The tables of the page, drops first."""
    table = RobustnessTable(points, clean, about)
    blocks = ["# Robustness", bullets(facts_of(about.items()))]
    for family in families_in(table):
        drops, aucs = drops_table(table, family), aucs_table(table, family)
        blocks += [*markdown_section(drops, 2), *markdown_section(aucs, 2)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def detectors_of(table: RobustnessTable) -> list[str]:
    """Detectors, in the order in which they come up."""
    return list(dict.fromkeys([*(name for name, _ in table.clean), *(point.detector for point in table.points)]))


def families_in(table: RobustnessTable) -> list[str]:
    """Families, in the order in which they come up."""
    return list(dict.fromkeys([*(family for _, family in table.clean), *(point.family for point in table.points)]))


def family_parts(table: RobustnessTable, looks: Mapping[str, Look]) -> list[FamilyPart]:
    """Panels and tables per family; ids of the panels begin with `robust-`."""
    limits = interval_limits([*map(_estimate, table.points), *table.clean.values()])
    parts = []
    for number, family in enumerate(families_in(table)):
        panels = []
        for place, (name, own) in enumerate(_by_perturbation(table, family).items()):
            lines = [
                StrengthLine(looks[detector], _series(table, family, name, detector))
                for detector in detectors_of(table)
            ]
            title = own[0].title
            steps = list(dict.fromkeys(point.step for point in own))
            over = f"{own[0].unit} {', '.join(steps)}"
            alternative = f"{title}: AUC on {family_title(family)} over {over}; the figures are in the table."
            svg = plot_strengths(lines, steps, limits, f"robust-{number}-{place}", alternative)
            panels.append(Panel(title, own[0].unit, svg))
        parts.append(
            FamilyPart(family_title(family), tuple(panels), drops_table(table, family), aucs_table(table, family))
        )
    return parts


def drops_table(table: RobustnessTable, family: str) -> Table:
    """Lost AUC with intervals: rows are perturbations and strengths."""

    def cell(point: RobustnessPoint) -> Cell:
        if point.drop is None:
            return Cell(UNDEFINED)
        interval = None if point.drop_low is None or point.drop_high is None else (point.drop_low, point.drop_high)
        shade = round(min(1.0, max(0.0, point.drop / DARKEST_DROP)), 3)
        return Cell(_signed(format_figure(point.drop, AUC)), _signed(format_interval(interval, AUC)), shade)

    title, rows = f"Lost AUC: {family_title(family)}", tuple(_strength_rows(table, family, cell))
    return Table(title, DROPS_MEANING, "Strength", COUNT_TITLES, tuple(detectors_of(table)), rows, tone="bad")


def aucs_table(table: RobustnessTable, family: str) -> Table:
    """AUC with intervals: first the clean one, then perturbations and strengths."""

    def cell(point: RobustnessPoint) -> Cell:
        return _auc_cell(_estimate(point))

    detectors = detectors_of(table)
    clean = Row(CLEAN, "", (ABSENT,) * 3, tuple(_auc_cell(table.clean.get((name, family))) for name in detectors))
    rows = (clean, *_strength_rows(table, family, cell))
    title = f"AUC: {family_title(family)}"
    return Table(title, AUCS_MEANING, "Strength", COUNT_TITLES, tuple(detectors), rows, tone="good")


def family_title(family: str) -> str:
    """A data set's name, or that all are meant."""
    return "all data sets together" if family == ALL else family


def _strength_rows(table: RobustnessTable, family: str, cell: Callable[[RobustnessPoint], Cell]) -> list[Row]:
    rows = []
    for own in _by_perturbation(table, family).values():
        for step in dict.fromkeys(point.step for point in own):
            found = {point.detector: point for point in own if point.step == step}
            cells = tuple(cell(found[name]) if name in found else Cell(ABSENT) for name in detectors_of(table))
            group = f"{own[0].title}, {own[0].unit}" if own[0].unit else own[0].title
            rows.append(Row(group, step, _counts(list(found.values())), cells))
    return rows


def _by_perturbation(table: RobustnessTable, family: str) -> dict[str, list[RobustnessPoint]]:
    found: dict[str, list[RobustnessPoint]] = {}
    for point in table.points:
        if point.family == family:
            found.setdefault(point.perturbation, []).append(point)
    return found


def _series(table: RobustnessTable, family: str, perturbation: str, detector: str) -> list[Estimate | None]:
    """The clean estimate, then one per strength; None where undefined or not there."""
    own = _by_perturbation(table, family)[perturbation]
    found = {point.step: _estimate(point) for point in own if point.detector == detector}
    steps = dict.fromkeys(point.step for point in own)
    return [_defined(table.clean.get((detector, family))), *(found.get(step) for step in steps)]


def _estimate(point: RobustnessPoint) -> Estimate | None:
    if point.auc is None:
        return None
    low, high = (math.nan if bound is None else bound for bound in (point.low, point.high))
    return Estimate(point.auc, low, high)


def _defined(estimate: Estimate | None) -> Estimate | None:
    return None if estimate is None or math.isnan(estimate.value) else estimate


def _auc_cell(estimate: Estimate | None) -> Cell:
    estimate = _defined(estimate)
    if estimate is None:
        return Cell(UNDEFINED)
    interval = None if math.isnan(estimate.low) else (estimate.low, estimate.high)
    return Cell(format_figure(estimate.value, AUC), format_interval(interval, AUC), shade_of(estimate.value, AUC))


def _counts(points: Sequence[RobustnessPoint]) -> tuple[str, str, str]:
    shares = [point.share_scored for point in points if point.share_scored is not None]
    return (
        span_of([point.n_real for point in points], "{:,}"),
        span_of([point.n_fake for point in points], "{:,}"),
        span_of(shares, "{:.1%}").replace("%", " %"),
    )


def _signed(text: str) -> str:
    """With a minus sign in place of the hyphen; a rounded zero has no sign."""
    return text.replace("-0.000", "0.000").replace("-", "\N{MINUS SIGN}")
