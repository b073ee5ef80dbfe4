"""The figures of detectors as tables: per family, pooled, calibration, other levels, everything of one detector.

A table has one column per detector; its rows are families (a generator, a data set, everything pooled) or figures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.report.tables import ABSENT, UNDEFINED, UNNAMED, Cell, Notes, Row, Table, Tone
from eval.results import DetectorPart, MetricsBlock, Results

GENERATOR, DATA_SET, POOLED = "generator", "data set", "pooled"
COUNT_TITLES = ("reals", "fakes", "groups")


@dataclass(frozen=True)
class Measure:
    """One figure of a MetricsBlock and how it is shown; a rate is shown in percent."""

    key: str
    title: str
    meaning: str
    is_rate: bool = False
    is_error: bool = False


AUC = Measure(
    "auc", "AUC", "Area under the ROC curve: the chance that a fake scores above a real; 0.5 is guessing, 1 is perfect."
)
TPR_AT_5 = Measure(
    "tpr_at_fpr_5",
    "TPR at FPR 5 %",
    "Share of fakes found where at most 5 % of the reals are called fake.",
    is_rate=True,
)
FNR = Measure("fnr", "FNR", "Share of fakes below the detector's threshold, so missed.", is_rate=True, is_error=True)
FPR = Measure(
    "fpr",
    "FPR",
    "Share of reals at or above the detector's threshold, so falsely called fake.",
    is_rate=True,
    is_error=True,
)
FAMILY_MEASURES = (AUC, TPR_AT_5, FNR, FPR)

AVERAGE_PRECISION = Measure(
    "ap", "Average precision", "Area under the precision-recall curve at the set's own share of fakes."
)
EER = Measure("eer", "EER", "Equal error rate, where FPR and FNR meet.", is_rate=True, is_error=True)
TPR_AT_1 = Measure(
    "tpr_at_fpr_1", "TPR at FPR 1 %", "As at 5 %, with at most 1 % of the reals called fake.", is_rate=True
)
ACCURACY = Measure(
    "accuracy", "Accuracy", "Share called right at the threshold, at the set's own share of fakes.", is_rate=True
)
ALL_MEASURES = (AUC, AVERAGE_PRECISION, EER, TPR_AT_1, TPR_AT_5, FPR, FNR, ACCURACY)
CALIBRATION = (
    Measure("ece", "ECE", ""),
    Measure("brier", "Brier score", ""),
    Measure("ece_even_prior", "ECE, even prior", ""),
    Measure("brier_even_prior", "Brier score, even prior", ""),
)
POOLED_MEANING = (
    "All data sets together. Pooling mixes families: a detector whose scores shift between data sets looks different here "
    "than in any one of them."
)
CALIBRATION_MEANING = (
    "ECE (expected calibration error) is the mean distance between score and share of fakes over 15 equal bins, the Brier "
    "score the mean squared distance between score and label; 0 is perfect. At the set's own share of fakes, or at even "
    "prior with both classes weighing one half. Few items per bin push the ECE upwards, and the draws behind its interval "
    "more so."
)
NO_WIDTH = (
    "every draw gives this same figure, so the interval has no width; that is no certainty (where none of n independent "
    "items is an error, the true rate may still be about 3/n)"
)


@dataclass(frozen=True)
class Family:
    """What a row of figures is about: one generator, one data set, or everything pooled."""

    kind: str
    name: str

    @property
    def label(self) -> str:
        return self.name or UNNAMED

    def block(self, part: DetectorPart) -> MetricsBlock | None:
        """The detector's figures on this family; None where it has none."""
        if self.kind == GENERATOR:
            return part.by_generator.get(self.name)
        return part.by_dataset.get(self.name) if self.kind == DATA_SET else part.overall


def families_of(results: Results) -> list[Family]:
    """Generators, data sets, then everything pooled: the order of the detectors' figures, each family once."""
    families: dict[Family, None] = {}
    for part in results.detectors.values():
        families |= {Family(GENERATOR, name): None for name in part.by_generator}
    for part in results.detectors.values():
        families |= {Family(DATA_SET, name): None for name in part.by_dataset}
    return [*families, Family(POOLED, "everything pooled")]


def family_tables(results: Results) -> list[Table]:
    """Family x detector, one table per measure of FAMILY_MEASURES."""
    return [_family_table(results, measure) for measure in FAMILY_MEASURES]


def pooled_table(results: Results) -> Table:
    """All measures of everything pooled: rows are measures."""
    others = " ".join(f"{m.title}: {m.meaning}" for m in ALL_MEASURES if m not in FAMILY_MEASURES)
    return _measure_table(results, "Everything pooled", f"{POOLED_MEANING} {others}", ALL_MEASURES)


def calibration_table(results: Results) -> Table:
    """Calibration errors of everything pooled: rows are measures."""
    return _measure_table(results, "Calibration, pooled", CALIBRATION_MEANING, CALIBRATION)


def calibration_by_data_set(results: Results) -> Table | None:
    """Calibration errors per data set; None for fewer than two."""
    notes = Notes()
    data_sets = [family for family in families_of(results) if family.kind == DATA_SET]
    if len(data_sets) < 2:
        return None
    rows = [
        Row(measure.title, family.label, (), _cells(results.detectors.values(), family, measure, notes))
        for measure in CALIBRATION
        for family in data_sets
    ]
    title, columns = "Calibration per data set", tuple(results.detectors)
    return Table(title, "", "Data set", (), columns, tuple(rows), notes.texts)


def levels_table(results: Results) -> Table | None:
    """AUC and rates at the other levels (frames and tracks of videos), pooled; None where there are none."""
    levels = list(dict.fromkeys(level for part in results.detectors.values() for level in part.by_level))
    if not levels:
        return None
    notes = Notes()
    rows = []
    for level in levels:
        blocks = [part.by_level.get(level) for part in results.detectors.values()]
        for measure in FAMILY_MEASURES:
            cells = tuple(figure_cell(block, measure, notes) for block in blocks)
            rows.append(Row(f"per {level}", measure.title, counts_of(blocks), cells))
    title, meaning = (
        "Other levels",
        "The same figures with one row per frame, track or video, pooled over all data sets.",
    )
    return Table(title, meaning, "Figure", COUNT_TITLES, tuple(results.detectors), tuple(rows), notes.texts)


def detector_table(results: Results, detector: str) -> Table:
    """Everything about one detector: rows are families, columns are measures."""
    part, notes = results.detectors[detector], Notes()
    measures = (*ALL_MEASURES, *CALIBRATION)
    rows = []
    for family in families_of(results):
        block = family.block(part)
        cells = tuple(figure_cell(block, measure, notes) for measure in measures)
        rows.append(Row(family.kind, family.label, counts_of([block]), cells))
    return Table(
        detector, part.description, "Family", COUNT_TITLES, tuple(m.title for m in measures), tuple(rows), notes.texts
    )


def figure_cell(block: MetricsBlock | None, measure: Measure, notes: Notes) -> Cell:
    """One measure of one block with its interval; undefined ones with a note."""
    if block is None:
        return Cell(ABSENT)
    value: float | None = getattr(block, measure.key)
    if value is None:
        return Cell(UNDEFINED, note=notes.number(block.undefined.get(measure.key, "no reason was recorded")))
    interval = block.intervals.get(measure.key)
    if measure.key == AUC.key and block.auc_low is not None and block.auc_high is not None:
        interval = (block.auc_low, block.auc_high)
    note = notes.number(NO_WIDTH) if interval is not None and interval[0] == interval[1] else None
    return Cell(format_figure(value, measure), format_interval(interval, measure), shade_of(value, measure), note)


def shade_of(value: float, measure: Measure) -> float:
    """An AUC begins to count at 0.5; everything else is a share already."""
    return round(max(0.0, 2 * value - 1) if measure.key == AUC.key else value, 3)


def format_figure(value: float, measure: Measure) -> str:
    """A share with three decimals, or a rate in percent with one."""
    return format_rate(value) if measure.is_rate else f"{value:.3f}"


def format_rate(value: float) -> str:
    """A share in [0, 1] as percent with one decimal."""
    return f"{100 * value:.1f} %"


def format_interval(interval: tuple[float, float] | None, measure: Measure) -> str:
    """`[low, high]` in the digits and unit of the figure; empty where there is none."""
    if interval is None:
        return ""
    low, high = interval
    return f"[{100 * low:.1f}, {100 * high:.1f}]" if measure.is_rate else f"[{low:.3f}, {high:.3f}]"


def _family_table(results: Results, measure: Measure) -> Table:
    notes = Notes()
    rows = []
    for family in families_of(results):
        blocks = [family.block(part) for part in results.detectors.values()]
        cells = tuple(figure_cell(block, measure, notes) for block in blocks)
        rows.append(Row(family.kind, family.label, counts_of(blocks), cells))
    columns = tuple(results.detectors)
    tone: Tone = "bad" if measure.is_error else "good"
    return Table(measure.title, measure.meaning, "Family", COUNT_TITLES, columns, tuple(rows), notes.texts, tone)


def _measure_table(results: Results, title: str, meaning: str, measures: Iterable[Measure]) -> Table:
    notes, pooled = Notes(), families_of(results)[-1]
    rows = tuple(
        Row("", measure.title, (), _cells(results.detectors.values(), pooled, measure, notes)) for measure in measures
    )
    return Table(title, meaning, "Figure", (), tuple(results.detectors), rows, notes.texts)


def _cells(parts: Iterable[DetectorPart], family: Family, measure: Measure, notes: Notes) -> tuple[Cell, ...]:
    return tuple(figure_cell(family.block(part), measure, notes) for part in parts)


def counts_of(blocks: Iterable[MetricsBlock | None]) -> tuple[str, str, str]:
    """Reals, fakes and clusters of a row; a span where the detectors differ."""
    there = [block for block in blocks if block is not None]
    return (
        span_of([block.n_real for block in there], "{:,}"),
        span_of([block.n_fake for block in there], "{:,}"),
        span_of([block.n_clusters for block in there], "{:,}"),
    )


def span_of(values: Sequence[float], form: str) -> str:
    """`low to high` in the given format; one of them where they read the same."""
    if not values:
        return ABSENT
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"
