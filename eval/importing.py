"""Scores of any other tool -> the same results.json, scores.csv and reports as a run of our own."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from eval.benchmark import (
    CLUSTERS,
    REPORT_HTML,
    REPORT_MD,
    RESULTS_FILE,
    SCORES_FILE,
    clock_part,
    data_counts,
    write_reports,
)
from eval.blocks import Judging, detector_part
from eval.config import ImportConfig
from eval.results import DatasetPart, ProvenancePart, Results
from eval.score_table import ScoreRow, read_scores, scores_text
from forensics import __version__
from forensics.common.errors import ManifestError
from forensics.common.files import sha256_of_file, sha256_of_text
from forensics.common.progress import Progress
from forensics.report.store import OutputFolder


def import_scores(config: ImportConfig, source: Path, output: Path, progress: Progress) -> Results:
    """Read, measure, write. Raises ManifestError for a table that cannot be judged, with the line."""
    started, clock = datetime.now(UTC), time.monotonic()
    folder = OutputFolder(output, config.overwrite)
    folder.check([RESULTS_FILE, SCORES_FILE, REPORT_MD, REPORT_HTML])
    rows = read_scores(source, config.detector)
    if not rows:
        raise ManifestError(f"{source} holds no scores", "one row per item and detector under the header")
    by_detector: dict[str, list[ScoreRow]] = {}
    for row in rows:
        by_detector.setdefault(row.detector, []).append(row)
    parts = {}
    with progress.task("figures", len(by_detector)) as bar:
        for name, own in by_detector.items():
            judging = Judging(config.threshold, config.draws, config.seed)
            origin = f"given with the import: {config.threshold:g}"
            parts[name] = detector_part(own, judging, f"scores imported from {source.name}", "", origin)
            bar(1)
    results = Results(
        detectors=parts,
        dataset=_dataset(rows, source),
        provenance=ProvenancePart(
            tool_version=__version__,
            options=config.model_dump(mode="json", exclude={"quiet", "overwrite"}),
            weights={},
            weights_trained_on="unknown: imported scores",
            seed=config.seed,
            bootstrap_draws=config.draws,
            clusters=CLUSTERS,
            environment={},
            clock=clock_part(started, clock),
        ),
    )
    folder.write(SCORES_FILE, scores_text(rows))
    files = {row.path: path for row in rows if (path := _beside(source, row.path)) is not None}
    write_reports(folder, results, rows, files, progress)
    return results


def _beside(source: Path, name: str) -> Path | None:
    """A picture that lies with the table: what a stranger's table names elsewhere is not shown on a page."""
    folder = source.parent.resolve()
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, a loop of links, a NUL byte
        return None


def _dataset(rows: Sequence[ScoreRow], source: Path) -> DatasetPart:
    """Each item once, however many detectors scored it. Raises ManifestError where they do not agree on its label."""
    items: dict[str, ScoreRow] = {}
    for row in rows:
        if items.setdefault(row.path, row).label != row.label:
            raise ManifestError(f"{source}: {row.path} is labelled both real and fake", "labels are 1 = fake, 0 = real")
    splits = sorted({row.split for row in items.values()} - {""})
    return DatasetPart(
        layout="scores",
        split=", ".join(splits) or "all",
        limit=None,
        sha256=sha256_of_text("\n".join(sorted(f"{row.sha256} {row.label}" for row in items.values())))
        if all(row.sha256 for row in items.values())
        else "",
        notes=[f"imported from {source.name}, SHA-256 {sha256_of_file(source)}"],
        **data_counts(list(items.values())),
    )
