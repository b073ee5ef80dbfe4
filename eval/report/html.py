"""The page of a benchmark: one file, no script, no request, readable by somebody who has never seen one.

Per family first, then pooled; every figure says in a sentence how to read it; every figure that is drawn stands in a
table too. The same results, rows and thumbnails give the same bytes. Limits: at most MAX_CURVE_SETS data sets get ROC and
DET curves of their own (the largest), and pictures end at THUMBNAIL_BYTES, so that the page can be sent by mail.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from markupsafe import Markup

from eval.report.coverage import (
    cautions_of,
    coverage_by_data_set,
    coverage_table,
    failures_by_family,
    failures_table,
    verdicts_table,
)
from eval.report.curves import Scored, histogram_of, scored_of
from eval.report.figures import (
    GENERATOR,
    Family,
    calibration_by_data_set,
    calibration_table,
    detector_table,
    families_of,
    family_tables,
    levels_table,
    pooled_table,
)
from eval.report.mistakes import Mistakes, mistakes_of
from eval.report.page import page_environment
from eval.report.plots import (
    IntervalRow,
    Look,
    Operated,
    interval_limits,
    looks_of,
    plot_det,
    plot_histogram,
    plot_intervals,
    plot_reliability,
    plot_roc,
    plot_swatch,
)
from eval.report.robustness import Panel, RobustnessTable, detectors_of, family_parts
from eval.report.tables import UNNAMED
from eval.results import MetricsBlock, Results
from eval.score_table import ScoreRow
from eval.statistics import even_prior_weights, reliability_bins
from forensics.common.errors import UsageError
from forensics.common.metrics import Estimate

MAX_CURVE_SETS = 6
THUMBNAIL_BYTES = 2_500_000
# A set whose share of fakes lies further from one half also shows calibration with both classes weighing alike.
EVEN_WITHIN = 0.05
PICTURE = "data:image/"


@dataclass(frozen=True)
class CurvePair:
    """ROC and DET of all detectors on one data set."""

    title: str
    note: str
    roc: Markup | None
    det: Markup | None


def render_report(
    results: Results,
    rows: Sequence[ScoreRow],
    thumbnails: Mapping[str, str],
    robustness: RobustnessTable | None = None,
) -> str:
    """The page.

    rows: the scores that the results come from; rows of detectors that the results do not name are left out. thumbnails:
    picture data URIs by the rows' `path` (see mistakes.paths_shown); those that are missing are said to be.
    Raises UsageError for a thumbnail that is anything else.
    """
    for path, uri in thumbnails.items():
        if not uri.startswith(PICTURE):
            raise UsageError(f"the thumbnail of {path} is no picture", f"thumbnails begin with {PICTURE}")
    looks = looks_of(list(dict.fromkeys([*results.detectors, *(detectors_of(robustness) if robustness else [])])))
    by_detector: dict[str, list[ScoreRow]] = {name: [] for name in results.detectors}
    for row in rows:
        if row.detector in by_detector:
            by_detector[row.detector].append(row)
    scored = {name: scored_of(own) for name, own in by_detector.items()}
    mistakes = mistakes_of(results, rows)
    families = family_tables(results)
    return (
        page_environment()
        .get_template("benchmark.html.j2")
        .render(
            results=results,
            dataset=results.dataset,
            provenance=results.provenance,
            detectors=list(results.detectors),
            cautions=cautions_of(results),
            swatches={name: plot_swatch(look) for name, look in looks.items()},
            families=families,
            generators=generator_panels(results, looks),
            pooled=pooled_table(results),
            curves=curve_pairs(results, by_detector, looks),
            curve_sets_left_out=max(0, len(results.dataset.datasets) - MAX_CURVE_SETS),
            histograms=histogram_panels(results, scored),
            reliability=reliability_panels(results, scored, looks),
            calibration=calibration_table(results),
            calibration_by_data_set=calibration_by_data_set(results),
            mistakes=mistakes,
            thumbnails=chosen_thumbnails(mistakes, thumbnails),
            coverage=coverage_table(results),
            coverage_by_data_set=coverage_by_data_set(results),
            failures=failures_table(results),
            failures_by_family=failures_by_family(results),
            levels=levels_table(results),
            verdicts=verdicts_table(results),
            details={name: detector_table(results, name) for name in results.detectors},
            robustness=family_parts(robustness, looks) if robustness is not None else [],
            robustness_about=robustness.about if robustness is not None else {},
            robustness_detectors=detectors_of(robustness) if robustness is not None else [],
        )
    )


def generator_panels(results: Results, looks: Mapping[str, Look]) -> list[Panel]:
    """One panel of AUC bars per generator, all on one axis."""
    generators = [family for family in families_of(results) if family.kind == GENERATOR]
    found = {family: [_auc_of(family, results, name) for name in results.detectors] for family in generators}
    limits = interval_limits([estimate for estimates in found.values() for estimate in estimates])
    panels = []
    for number, (family, estimates) in enumerate(found.items()):
        bars = [
            IntervalRow(looks[name], name, estimate)
            for name, estimate in zip(results.detectors, estimates, strict=True)
        ]
        alternative = f"AUC of each detector on fakes of {family.label}; the figures are in the table."
        blocks = [block for part in results.detectors.values() if (block := family.block(part)) is not None]
        svg = plot_intervals(bars, limits, f"generator-{number}", alternative)
        panels.append(Panel(family.label, _counted(blocks), svg))
    return panels


def curve_pairs(
    results: Results, by_detector: Mapping[str, Sequence[ScoreRow]], looks: Mapping[str, Look]
) -> list[CurvePair]:
    """ROC and DET per data set (the largest ones), then pooled where there are several."""
    sizes = {name: sum(counts.values()) for name, counts in results.dataset.datasets.items()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:MAX_CURVE_SETS]
    chosen: list[str | None] = [name for name in sizes if name in largest]
    if len(sizes) != 1:
        chosen.append(None)
    pairs = []
    for number, data_set in enumerate(chosen):
        title = "All data sets pooled" if data_set is None else data_set
        curves = []
        for name, rows in by_detector.items():
            own = scored_of([row for row in rows if data_set is None or (row.dataset or UNNAMED) == data_set])
            if own.has_both:
                curves.append(Operated(looks[name], own, results.detectors[name].threshold))
        if not curves:
            pairs.append(CurvePair(title, "No curve: no detector scored both reals and fakes here.", None, None))
            continue
        missing = len(by_detector) - len(curves)
        note = f"{missing} of {len(by_detector)} detectors did not score both classes: no curve." if missing else ""
        alternative = f"{{}} curves of {len(curves)} detectors on {title}; rates at their thresholds are in the tables."
        pairs.append(
            CurvePair(
                title,
                note,
                plot_roc(curves, f"roc-{number}", alternative.format("ROC")),
                plot_det(curves, f"det-{number}", alternative.format("DET")),
            )
        )
    return pairs


def histogram_panels(results: Results, scored: Mapping[str, Scored]) -> list[Panel]:
    """Scores of reals and fakes per detector that scored anything."""
    panels = []
    for number, (name, own) in enumerate(scored.items()):
        if not len(own.labels):
            continue
        threshold = results.detectors[name].threshold
        fpr, fnr = own.rates(threshold)
        wrong = ", ".join(
            text
            for text in (
                "" if own.n_real == 0 else f"{100 * fpr:.1f} % of reals called fake",
                "" if own.n_fake == 0 else f"{100 * fnr:.1f} % of fakes missed",
            )
            if text
        )
        svg = plot_histogram(
            histogram_of(own, threshold), threshold, f"histogram-{number}", f"Scores of {name}: {wrong}."
        )
        panels.append(Panel(name, wrong, svg))
    return panels


def reliability_panels(results: Results, scored: Mapping[str, Scored], looks: Mapping[str, Look]) -> list[Panel]:
    """Reliability diagram per detector that scored anything, pooled."""
    panels = []
    for number, (name, own) in enumerate(scored.items()):
        if not len(own.labels):
            continue
        even = None
        if own.has_both and abs(own.n_fake / len(own.labels) - 0.5) > EVEN_WITHIN:
            even = reliability_bins(own.labels, own.scores, weights=even_prior_weights(own.labels))
        overall = results.detectors[name].overall
        note = "" if overall.ece is None else f"ECE {overall.ece:.3f}"
        if overall.ece_even_prior is not None:
            note += f", at even prior {overall.ece_even_prior:.3f}"
        bins = reliability_bins(own.labels, own.scores)
        svg = plot_reliability(bins, even, looks[name], f"reliability-{number}", f"Reliability of {name}: {note}.")
        panels.append(Panel(name, note, svg))
    return panels


def chosen_thumbnails(mistakes: Sequence[Mistakes], thumbnails: Mapping[str, str]) -> dict[str, str]:
    """The pictures that the page shows, everybody's worst ones first, until it is THUMBNAIL_BYTES larger by them."""
    groups = [group for one in mistakes for group in (one.reals, one.fakes)]
    showings = Counter(row.path for group in groups for row in group)
    chosen: dict[str, str] = {}
    left = THUMBNAIL_BYTES
    for rows in zip_longest(*groups):
        for path in [row.path for row in rows if row is not None]:
            size = showings[path] * len(thumbnails.get(path, ""))
            if path in thumbnails and path not in chosen and size <= left:
                chosen[path] = thumbnails[path]
                left -= size
    return chosen


def _auc_of(family: Family, results: Results, detector: str) -> Estimate | None:
    block = family.block(results.detectors[detector])
    if block is None or block.auc is None:
        return None
    missing = float("nan")
    low, high = block.auc_low, block.auc_high
    return Estimate(block.auc, missing if low is None else low, missing if high is None else high)


def _counted(blocks: Sequence[MetricsBlock]) -> str:
    """The most that any detector scored, in words."""
    return f"{max(b.n_fake for b in blocks):,} fakes, {max(b.n_real for b in blocks):,} reals"
