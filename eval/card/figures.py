"""The figures of one benchmark in a card: data sets and generators before the pooled line, then verdicts, calibration,
abstention, and the other detectors on the same items.
"""

from collections.abc import Mapping

from eval.report.coverage import cautions_of, failures_by_family, failures_table
from eval.report.figures import (
    AUC,
    CALIBRATION,
    CALIBRATION_MEANING,
    DATA_SET,
    FNR,
    FPR,
    GENERATOR,
    TPR_AT_5,
    Family,
    counts_of,
    families_of,
    figure_cell,
    format_interval,
    format_rate,
)
from eval.report.markdown import INTERVALS, bullets, markdown_section
from eval.report.tables import ABSENT, UNDEFINED, Cell, Notes, Row, Table
from eval.results import DetectorPart, Results, RiskBlock
from forensics.common.metrics import share_with_interval
from forensics.report.markdown import markdown_text

COUNTS = ("reals", "fakes", "groups", "share scored")
MEASURES = (AUC, TPR_AT_5, FPR, FNR)
LIKELY_FAKE, LIKELY_REAL, INCONCLUSIVE, NO_VERDICT = "likely fake", "likely real", "inconclusive", "no verdict"
WILSON = "Intervals: Wilson's, items taken as independent."
ALL = "all together"


def figures_section(results: Results, detector: str, level: int) -> list[str]:
    """What was judged, the figures of the detector, its verdicts, and what failures do to them."""
    part = results.detectors[detector]
    own = results.model_copy(update={"detectors": {detector: part}})
    provenance, dataset = results.provenance, results.dataset
    blocks = [
        f"Split {markdown_text(dataset.split)}, {dataset.n_real:,} real and {dataset.n_fake:,} fake; detector "
        f"{markdown_text(detector)} at its threshold {part.threshold:.3f} ({markdown_text(part.threshold_origin)}). "
        + INTERVALS.format(draws=provenance.bootstrap_draws, clusters=markdown_text(provenance.clusters)),
        bullets(map(markdown_text, [*cautions_of(own), *dataset.notes])),
        *markdown_section(_families_table(own, part), level),
    ]
    verdicts = _verdicts_table(part)
    tables = (verdicts, failures_by_family(own), failures_table(own))
    blocks += [text for table in tables if table is not None for text in markdown_section(table, level)]
    return [block for block in blocks if block]


def calibration_section(results: Results, detector: str, level: int) -> list[str]:
    """ECE and Brier per data set, then pooled."""
    part, notes = results.detectors[detector], Notes()
    rows = tuple(
        Row("", family.label, (), tuple(figure_cell(family.block(part), measure, notes) for measure in CALIBRATION))
        for family in _sets_first(results)
        if family.kind != GENERATOR
    )
    columns = tuple(measure.title for measure in CALIBRATION)
    table = Table("Calibration", CALIBRATION_MEANING, "Data set", (), columns, rows, notes.texts)
    return markdown_section(table, level)


def abstention_section(results: Results, detector: str, level: int) -> list[str]:
    """Error over coverage per data set, then pooled; empty for results that have no such figures."""
    blocks = risk_blocks(results.detectors[detector])
    if not blocks:
        return []
    coverages = [point.coverage for point in next(iter(blocks.values())).points]
    rows = []
    for name, block in blocks.items():
        cells = []
        for point in block.points:
            if point.error is None:
                cells.append(Cell(UNDEFINED, note=1))
                continue
            interval = None if point.low is None or point.high is None else (point.low, point.high)
            cells.append(Cell(format_rate(point.error), format_interval(interval, FPR)))
        area = UNDEFINED if block.aurc is None else f"{block.aurc:.3f}"
        every = UNDEFINED if block.error_scored is None else format_rate(block.error_scored)
        rows.append(Row("", name, (format_rate(block.scored), every), (*cells, Cell(area))))
    meaning = (
        "Error among what is decided, if the least sure inputs are left undecided until the share in the column's head is "
        "left. A call is fake at 0.5 or more, and sure by its distance from 0.5; both classes weigh one half (or the only "
        "one everything), and an input without a score is the first to be left out. AURC: the mean over all coverages "
        "(Geifman and El-Yaniv 2017). What the shipped thresholds decide is in the table of verdicts."
    )
    notes = ("fewer inputs than this have a score",) if any(c.note for row in rows for c in row.cells) else ()
    columns = (*(f"{coverage:.0%}".replace("%", " %") for coverage in coverages), "AURC")
    table = Table(
        "Coverage against error", meaning, "Data set", ("scored", "error of all scored"), columns, tuple(rows), notes
    )
    return markdown_section(table, level)


def risk_blocks(part: DetectorPart) -> dict[str, RiskBlock]:
    """Data sets of which anything was scored, then all together where there are several."""
    found = {name: block for name, block in part.risk_by_dataset.items() if block.aurc is not None}
    if len(found) > 1 and part.risk is not None:
        found[ALL] = part.risk
    return found


def detectors_section(results: Results, level: int) -> list[str]:
    """AUC and TPR at FPR 5 % of every detector on the same items; empty for a single detector."""
    if len(results.detectors) < 2:
        return []
    blocks = []
    for measure in (AUC, TPR_AT_5):
        notes, rows = Notes(), []
        for family in _sets_first(results):
            of_detectors = [family.block(part) for part in results.detectors.values()]
            cells = tuple(figure_cell(block, measure, notes) for block in of_detectors)
            rows.append(Row(family.kind, family.label, counts_of(of_detectors), cells))
        columns = tuple(results.detectors)
        title = f"All detectors on the same items: {measure.title}"
        table = Table(title, measure.meaning, "Family", COUNTS[:3], columns, tuple(rows), notes.texts)
        blocks += markdown_section(table, level)
    described = [f"**{markdown_text(name)}**: {markdown_text(p.description)}" for name, p in results.detectors.items()]
    return [*blocks, bullets(described)]


def _sets_first(results: Results) -> list[Family]:
    """Data sets, generators, everything pooled."""
    families = families_of(results)
    of_sets = [family for family in families if family.kind == DATA_SET]
    return [*of_sets, *(family for family in families if family.kind == GENERATOR), families[-1]]


def _families_table(results: Results, part: DetectorPart) -> Table:
    notes, rows = Notes(), []
    for family in _sets_first(results):
        block = family.block(part)
        coverage = part.coverage_by_dataset.get(family.name) if family.kind == DATA_SET else None
        if family.kind not in (DATA_SET, GENERATOR):
            coverage = part.coverage
        scored = ABSENT if coverage is None or coverage.share is None else format_rate(coverage.share)
        cells = tuple(figure_cell(block, measure, notes) for measure in MEASURES)
        rows.append(Row(family.kind, family.label, (*counts_of([block]), scored), cells))
    meaning = (
        "A generator's fakes are judged against all reals of the data sets that hold fakes of it. "
        + " ".join(f"{measure.title}: {measure.meaning}" for measure in MEASURES)
        + " A fake that is called inconclusive counts as missed here."
    )
    columns = tuple(measure.title for measure in MEASURES)
    return Table("Figures per family", meaning, "Family", COUNTS, columns, tuple(rows), notes.texts)


def _verdicts_table(part: DetectorPart) -> Table | None:
    """Per data set and class, then pooled; None for a detector without verdicts."""
    given = {name: block.verdicts for name, block in part.coverage_by_dataset.items() if block.verdicts}
    if not given:
        return None
    if len(given) > 1 and part.coverage.verdicts:
        given[ALL] = part.coverage.verdicts
    rows = [
        Row(name, f"{kind}s", (f"{n:,}",), _verdict_cells(counts, n, LIKELY_FAKE if kind == "real" else LIKELY_REAL))
        for name, verdicts in given.items()
        for kind, counts in verdicts.items()
        if (n := sum(count for verdict, count in counts.items() if verdict != NO_VERDICT))
    ]
    meaning = (
        "What a scan says at the shipped thresholds, of all inputs that got a verdict. Decided: called one or the other. "
        f"Wrong among decided: reals called likely fake, fakes called likely real. {WILSON}"
    )
    columns = (LIKELY_FAKE, LIKELY_REAL, INCONCLUSIVE, "decided", "wrong among decided")
    return Table("Verdicts", meaning, "Class", ("n",), columns, tuple(rows))


def _verdict_cells(counts: Mapping[str, int], n: int, wrong: str) -> tuple[Cell, ...]:
    decided = counts.get(LIKELY_FAKE, 0) + counts.get(LIKELY_REAL, 0)
    shares = [
        *((counts.get(verdict, 0), n) for verdict in (LIKELY_FAKE, LIKELY_REAL, INCONCLUSIVE)),
        (decided, n),
        (counts.get(wrong, 0), decided),
    ]
    return tuple(share_cell(hits, total) for hits, total in shares)


def share_cell(hits: int, n: int) -> Cell:
    """A share with Wilson's interval."""
    if n == 0:
        return Cell(ABSENT)
    share = share_with_interval(hits, n)
    return Cell(format_rate(share.value), format_interval((share.low, share.high), FPR))
