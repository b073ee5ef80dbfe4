"""What became of the inputs, what it would mean to count failures as wrong, and what to know before reading figures."""

from collections.abc import Mapping

from eval.report.figures import (
    ACCURACY,
    AUC,
    FNR,
    FPR,
    Family,
    Measure,
    families_of,
    figure_cell,
    format_figure,
    format_rate,
    span_of,
)
from eval.report.tables import ABSENT, FEW_CLUSTERS, UNDEFINED, UNNAMED, Cell, Notes, Row, Table
from eval.results import CoverageBlock, FailuresBlock, MetricsBlock, Results

COVERAGE_MEANING = (
    "Every input is accounted for; what was not scored is no part of the figures, except where failures count as wrong."
)
FAILURES_MEANING = (
    "A failed fake counts as missed and a failed real as falsely called fake; in parentheses the figure on what was scored "
    "alone."
)
FAILURE_RATES = (AUC, ACCURACY, FPR, FNR)


def coverage_table(results: Results) -> Table:
    """What became of the inputs: a row per detector, a column per outcome."""
    return _coverage(
        "Coverage", COVERAGE_MEANING, {("", name): part.coverage for name, part in results.detectors.items()}
    )


def coverage_by_data_set(results: Results) -> Table | None:
    """The same per data set; None for fewer than two."""
    data_sets = list(dict.fromkeys(name for part in results.detectors.values() for name in part.coverage_by_dataset))
    if len(data_sets) < 2:
        return None
    blocks = {
        (data_set or UNNAMED, name): part.coverage_by_dataset[data_set]
        for data_set in data_sets
        for name, part in results.detectors.items()
        if data_set in part.coverage_by_dataset
    }
    return _coverage("Coverage per data set", "", blocks)


def verdicts_table(results: Results) -> Table | None:
    """What the detectors that give verdicts called the reals and the fakes; None where none does."""
    given = {name: v for name, part in results.detectors.items() if (v := part.coverage.verdicts)}
    if not given:
        return None
    columns = tuple(
        dict.fromkeys(label for verdicts in given.values() for counts in verdicts.values() for label in counts)
    )
    rows = []
    for name, verdicts in given.items():
        for kind, counts in verdicts.items():
            total = sum(counts.values())
            cells = tuple(_share_cell(counts.get(label, 0), total) for label in columns)
            rows.append(Row(name, kind, (f"{total:,}",), cells))
    meaning = "How many of each class were called what; an abstention is neither right nor wrong."
    return Table("Verdicts", meaning, "Class", ("n",), columns, tuple(rows))


def cautions_of(results: Results) -> list[str]:
    """What a reader must know before believing a figure, one sentence each."""
    cautions = []
    dataset = results.dataset
    if dataset.n_real == 0 or dataset.n_fake == 0:
        there, missing = ("fakes", "real") if dataset.n_real == 0 else ("reals", "fake")
        cautions.append(
            f"All inputs are {there}: figures that compare both classes are undefined without a {missing} one."
        )
    few = _few_clusters(results)
    if few:
        shown = ", ".join(f"{label} ({count})" for label, count in few)
        cautions.append(
            f"Few independent groups: the intervals of {shown} rest on fewer than {FEW_CLUSTERS} clusters and are rough, "
            "more likely too narrow than too wide."
        )
    shares = [part.coverage.share for part in results.detectors.values()]
    known = [share for share in shares if share is not None]
    if known and min(known) < 1:
        span = span_of(known, "{:.1%}").replace("%", " %")
        cautions.append(
            f"Not everything was scored: detectors scored {span} of the inputs, so their figures need not rest on the same "
            "items; see the figures with failures counted as wrong."
        )
    partial = max((part.coverage.n_partial for part in results.detectors.values()), default=0)
    if partial:
        cautions.append(
            f"{partial} {'input is' if partial == 1 else 'inputs are'} damaged or cut off: scored on what could be decoded."
        )
    if dataset.limit is not None:
        cautions.append(f"Not the whole set: --limit {dataset.limit} was given.")
    return cautions


def failures_table(results: Results) -> Table | None:
    """Pooled figures with failures counted as wrong; None where nothing failed."""
    pooled = families_of(results)[-1]
    return _failures(results, "With failures counted as wrong, pooled", FAILURES_MEANING, {"": pooled})


def failures_by_family(results: Results) -> Table | None:
    """The same for every family in which something failed; None where nothing did."""
    families = {f"{family.kind} {family.label}": family for family in families_of(results)[:-1]}
    return _failures(results, "With failures counted as wrong, per family", "", families)


def _failures(results: Results, title: str, meaning: str, families: Mapping[str, Family]) -> Table | None:
    """families: by the title of their group of rows."""
    rows: list[Row] = []
    notes = Notes()
    for group, family in families.items():
        blocks = [family.block(part) for part in results.detectors.values()]
        if not any(block is not None and block.failures_counted_wrong is not None for block in blocks):
            continue
        rows.append(Row(group, "failed reals, fakes", (), tuple(_failed_cell(block) for block in blocks)))
        rows += [
            Row(group, measure.title, (), tuple(_failure_cell(block, measure, notes) for block in blocks))
            for measure in FAILURE_RATES
        ]
    if not rows:
        return None
    return Table(title, meaning, "Figure", (), tuple(results.detectors), tuple(rows), notes.texts)


def _coverage(title: str, meaning: str, blocks: Mapping[tuple[str, str], CoverageBlock]) -> Table:
    """A row per (group, detector)."""
    outcomes = sorted({key for block in blocks.values() for key in block.outcomes} - {"scored"})
    columns = ("scored", "share scored", "reals scored", "fakes scored", *(_words(outcome) for outcome in outcomes))
    rows = tuple(
        Row(group, name, (f"{block.n:,}",), _coverage_cells(block, outcomes)) for (group, name), block in blocks.items()
    )
    return Table(title, meaning, "Detector", ("inputs",), columns, rows)


def _failed_cell(block: MetricsBlock | None) -> Cell:
    failures = block.failures_counted_wrong if block is not None else None
    if block is None:
        return Cell(ABSENT)
    return Cell("0, 0" if failures is None else f"{failures.n_failed_real:,}, {failures.n_failed_fake:,}")


def _failure_cell(block: MetricsBlock | None, measure: Measure, notes: Notes) -> Cell:
    if block is None:
        return Cell(ABSENT)
    scored = figure_cell(block, measure, Notes())  # its own notes stand where it is shown for itself
    failures: FailuresBlock | None = block.failures_counted_wrong
    value: float | None = getattr(failures if failures is not None else block, measure.key)
    if value is None:
        return Cell(UNDEFINED, note=notes.number(block.undefined.get(measure.key, "a class is missing")))
    return Cell(format_figure(value, measure), f"({scored.text})")


def _coverage_cells(block: CoverageBlock, outcomes: list[str]) -> tuple[Cell, ...]:
    share = ABSENT if block.share is None else format_rate(block.share)
    return (
        Cell(f"{block.n_scored:,}"),
        Cell(share),
        Cell(_scored_of(block.real)),
        Cell(_scored_of(block.fake)),
        *(Cell(f"{block.outcomes.get(outcome, 0):,}") for outcome in outcomes),
    )


def _scored_of(outcomes: Mapping[str, int]) -> str:
    return f"{outcomes.get('scored', 0):,} of {sum(outcomes.values()):,}"


def _share_cell(count: int, total: int) -> Cell:
    return Cell(f"{count:,}", f"({format_rate(count / total)})" if total else "")


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")


def _few_clusters(results: Results) -> list[tuple[str, int]]:
    """Families with too few clusters for an interval, with the smallest number that any detector has there."""
    few = []
    for family in families_of(results):
        blocks = [block for part in results.detectors.values() if (block := family.block(part)) is not None]
        counts = [block.n_clusters for block in blocks if block.n_real + block.n_fake]
        if counts and min(counts) < FEW_CLUSTERS:
            few.append((family.label, min(counts)))
    return few
