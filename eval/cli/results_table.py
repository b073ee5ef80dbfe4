"""Results as a table on standard output: each data set and generator before the pooled line."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from eval.cli.tables import figure, percent, show_table, with_interval
from eval.report.tables import FEW_CLUSTERS
from eval.results import CoverageBlock, MetricsBlock, Results
from forensics.common.outcomes import Outcome

HEADER = ("set", "detector", "real/fake", "scored", "AUC [95 %]", "TPR at FPR 5 %", "FPR", "FNR", "ECE")


def print_results(results: Results, output: Path) -> None:
    """Print figures of all detectors and say where the rest is."""
    rows = []
    for name in results.dataset.names:
        for detector, part in results.detectors.items():
            if name in part.by_dataset:
                rows.append(_row(name, detector, part.by_dataset[name], part.coverage_by_dataset.get(name)))
    for name in _generators(results):
        for detector, part in results.detectors.items():
            rows.append(_row(f"fakes of {name}", detector, part.by_generator[name], None))
    if len(results.dataset.names) > 1:
        rows += [_row("all", name, part.overall, part.coverage) for name, part in results.detectors.items()]
    for name, part in results.detectors.items():
        rows += [_row(f"each {level}", name, block, None) for level, block in part.by_level.items()]
    show_table(HEADER, rows, numeric_from=2)
    clusters = min((part.overall.n_clusters for part in results.detectors.values()), default=0)
    if clusters < FEW_CLUSTERS:
        click.echo(f"only {clusters} independent groups: the intervals are rough")
    click.echo(f"split {results.dataset.split}; labels and scores 1 = fake; report in {output / 'report.html'}")


def _generators(results: Results) -> list[str]:
    """Generators whose figures are not those of a data set already: some data set has fakes of several."""
    part = next(iter(results.detectors.values()))
    of_sets = list(part.by_dataset.values())
    return [name for name, block in part.by_generator.items() if block not in of_sets]


def exit_status(outcomes: Iterable[Mapping[str, int]]) -> int:
    """Of counts of outcomes: 4 nothing was scored, 3 something could not be analysed, else 0."""
    counts: Counter[str] = Counter()
    for found in outcomes:
        counts.update(found)
    if counts[str(Outcome.SCORED)] == 0:
        return 4
    return 3 if any(count and not Outcome(name).analysed for name, count in counts.items()) else 0


def _row(name: str, detector: str, block: MetricsBlock, coverage: CoverageBlock | None) -> tuple[str, ...]:
    return (
        name,
        detector,
        f"{block.n_real}/{block.n_fake}",
        percent(coverage.share) if coverage else "",
        with_interval(block.auc, block.auc_low, block.auc_high),
        figure(block.tpr_at_fpr_5),
        percent(block.fpr),
        percent(block.fnr),
        figure(block.ece),
    )
