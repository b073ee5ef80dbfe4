"""Results as a table on standard output: each data set and generator before the pooled line."""

from pathlib import Path

import click

from eval.cli.tables import figure, percent, show_table, with_interval
from eval.results import CoverageBlock, MetricsBlock, Results

HEADER = ("set", "detector", "real/fake", "scored", "AUC [95 %]", "TPR at FPR 5 %", "FPR", "FNR", "ECE")
FEW_CLUSTERS = 30


def print_results(results: Results, output: Path) -> None:
    """Print figures of all detectors and say where the rest is."""
    rows = []
    for name in results.dataset.names:
        for detector, part in results.detectors.items():
            if name in part.by_dataset:
                rows.append(_row(name, detector, part.by_dataset[name], part.coverage_by_dataset.get(name)))
    generators = sorted({name for part in results.detectors.values() for name in part.by_generator})
    if len(generators) > 1:
        for name in generators:
            for detector, part in results.detectors.items():
                if name in part.by_generator:
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
