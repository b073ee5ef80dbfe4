"""`forensics bench run`: data sets in, scores through the scan path, figures and reports out.

load -> choose -> score (cached) -> scores.csv -> figures -> results.json, report.md, report.html
"""

import csv
import io
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from eval.blocks import UNNAMED, Finer, Judging, detector_part
from eval.config import BenchConfig
from eval.datasets import LoadedDataset, filter_items, load_dataset
from eval.report.html import render_report
from eval.report.markdown import render_markdown
from eval.report.mistakes import paths_shown
from eval.report.thumbnails import thumbnails_of
from eval.results import DatasetPart, DetectorPart, Level, ProvenancePart, Results
from eval.score_cache import ItemScore, ScoreCache
from eval.score_table import ScoreRow, scores_text
from eval.scoring import Scorer
from forensics import __version__
from forensics.common.errors import ManifestError
from forensics.common.files import sha256_of_file, sha256_of_text
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.common.text import csv_cell, printable
from forensics.detectors.devices import resolve_device
from forensics.detectors.model_set import DESCRIPTION, ModelSet
from forensics.environment import describe_environment
from forensics.media.sniff import VIDEO_SUFFIXES
from forensics.report.store import OutputFolder

CACHE_FILE = "scores-cache.jsonl"
RESULTS_FILE, SCORES_FILE = "results.json", "scores.csv"
TRACKS_FILE, FRAMES_FILE = "tracks.csv", "frames.csv"
REPORT_MD, REPORT_HTML = "report.md", "report.html"
MANIFEST = "manifest"  # the layout in which a person named the data sets
CLUSTERS = "groups of items that share a source or an identity"


class DataCounts(TypedDict):
    """The counting part of a DatasetPart."""

    names: list[str]
    n: int
    n_real: int
    n_fake: int
    generators: dict[str, int]
    datasets: dict[str, dict[str, int]]


@dataclass(frozen=True)
class ChosenData:
    """The items to judge on; `shown` (aligned) are their paths relative to the common root, unique and portable."""

    items: tuple[Item, ...]
    shown: tuple[str, ...]
    layouts: tuple[str, ...]
    notes: tuple[str, ...]


def run_bench(config: BenchConfig, data: Sequence[Path], output: Path, progress: Progress) -> Results:
    """Score, measure, write everything. Raises typed errors for what concerns the whole run, never for one item."""
    started, clock = datetime.now(UTC), time.monotonic()
    folder = OutputFolder(output, config.overwrite)
    folder.check([RESULTS_FILE, SCORES_FILE, TRACKS_FILE, FRAMES_FILE, REPORT_MD, REPORT_HTML])
    chosen = choose_data(config, data)
    for note in chosen.notes:
        progress.say(note)
    cache = open_cache(folder)
    try:
        scorer = Scorer(config, cache, progress, config.force)
        scores = scorer.score(chosen.items)
        hashes = scorer.hashes(chosen.items)
    finally:
        cache.close()
    rows = {name: rows_of(chosen, own, name, hashes) for name, own in scores.items()}
    every_row = [row for own in rows.values() for row in own]
    folder.write(SCORES_FILE, scores_text(every_row))
    if any(score.is_clip for own in scores.values() for score in own):
        folder.write(TRACKS_FILE, _tracks_text(rows, scores))
        folder.write(FRAMES_FILE, _frames_text(rows, scores))
    parts = {}
    with progress.task("figures", len(rows)) as bar:
        for name, own in rows.items():
            bar.describe(f"figures of {name}")
            parts[name] = _measured(scorer, name, chosen.items, own, scores[name], config)
            bar(1)
    results = Results(
        detectors=parts,
        dataset=dataset_part(chosen, rows[scorer.detectors[0]], config),
        provenance=provenance_part(config, scorer.model_set, scorer.folder, clock_part(started, clock)),
    )
    files = {shown: item.path for shown, item in zip(chosen.shown, chosen.items, strict=True)}
    write_reports(folder, results, every_row, files, progress)
    return results


def choose_data(config: BenchConfig, data: Sequence[Path]) -> ChosenData:
    """The rows of all data sets that the options name."""
    loaded = [load_dataset(path, config.layout, config.compression) for path in data]
    notes = [f"{one.root.name}: {note}" if len(loaded) > 1 else note for one in loaded for note in one.notes]
    roots = [Path(os.path.normpath(one.root.absolute())) for one in loaded]
    base = Path(os.path.commonpath(roots))
    everything = [
        item
        for one, root in zip(loaded, roots, strict=True)
        for item in (
            _set_apart(one, root, base, _names_elsewhere(loaded, roots, root)) if len(loaded) > 1 else one.items
        )
    ]
    different = _each_once(everything)
    if len(different) < len(everything):
        notes.append(f"{len(everything) - len(different)} items are named by more than one DATA: each is judged once")
    items = tuple(filter_items(different, config.split, config.limit, config.seed))
    return ChosenData(
        items, tuple(_shown(item.path, base) for item in items), tuple(one.layout for one in loaded), tuple(notes)
    )


def _names_elsewhere(loaded: Sequence[LoadedDataset], roots: Sequence[Path], root: Path) -> set[str]:
    """Names of the data sets below other roots."""
    return {item.dataset for one, other in zip(loaded, roots, strict=True) if other != root for item in one.items}


def _set_apart(one: LoadedDataset, root: Path, base: Path, elsewhere: set[str]) -> list[Item]:
    """Items of one of several DATA, made distinct from the others': frames of `a/v/1` and `b/v/1` are of two videos.

    A data set that got its name from a folder is another one where another DATA has the same name.
    """
    where = root.relative_to(base).as_posix()
    renamed = {} if one.layout == MANIFEST else {name: f"{where}/{name}" for name in elsewhere}
    return [
        replace(
            item,
            dataset=renamed.get(item.dataset, item.dataset) or where,
            extra={**item.extra, "video": f"{where}/{video}"} if (video := item.extra.get("video", "")) else item.extra,
        )
        for item in one.items
    ]


def _each_once(items: Sequence[Item]) -> list[Item]:
    """The first of rows that name the same file. Raises ManifestError where they do not agree on its label."""
    found: dict[str, Item] = {}
    for item in items:
        known = found.setdefault(os.path.normpath(item.path.absolute()), item)
        if known.label != item.label:
            raise ManifestError(
                f"{item.path} is real in one DATA and fake in another", "`forensics bench audit` finds such files"
            )
    return list(found.values())


def open_cache(folder: OutputFolder) -> ScoreCache:
    """The folder's scores of earlier runs."""
    return ScoreCache(folder.claim(CACHE_FILE))


def rows_of(chosen: ChosenData, scores: Sequence[ItemScore], detector: str, hashes: Sequence[str]) -> list[ScoreRow]:
    """scores.csv rows of one detector, in the items' order."""
    return [
        ScoreRow(
            path=shown,
            label=item.label,
            score=score.score,
            outcome=score.outcome,
            generator=item.generator,
            dataset=item.dataset,
            source=item.source,
            identity=item.identity,
            video=item.extra.get("video", "") or (Path(shown).with_suffix("").as_posix() if is_clip(item) else ""),
            track="" if score.track is None else str(score.track),
            split=item.split,
            detector=detector,
            sha256=sha256,
        )
        for item, shown, score, sha256 in zip(chosen.items, chosen.shown, scores, hashes, strict=True)
    ]


def dataset_part(chosen: ChosenData, rows: Sequence[ScoreRow], config: BenchConfig) -> DatasetPart:
    """What was judged on; rows: those of one detector."""
    return DatasetPart(
        layout=", ".join(dict.fromkeys(chosen.layouts)),
        split=config.split,
        limit=config.limit,
        sha256=sha256_of_text("\n".join(sorted(f"{row.sha256} {row.label}" for row in rows))),
        notes=list(chosen.notes),
        **data_counts(rows),
    )


def data_counts(rows: Sequence[ScoreRow]) -> DataCounts:
    """How many reals and fakes there are of what; rows: each item once."""
    datasets: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = datasets.setdefault(row.dataset or UNNAMED, {"real": 0, "fake": 0})
        counts["fake" if row.label else "real"] += 1
    return DataCounts(
        names=sorted(datasets),
        n=len(rows),
        n_real=sum(row.label == 0 for row in rows),
        n_fake=sum(row.label == 1 for row in rows),
        generators=dict(sorted(Counter(row.generator or UNNAMED for row in rows if row.label == 1).items())),
        datasets=dict(sorted(datasets.items())),
    )


def provenance_part(
    config: BenchConfig, model_set: ModelSet, folder: Path, clock: dict[str, str | float]
) -> ProvenancePart:
    """Options, weights, environment."""
    environment = describe_environment(str(resolve_device(config.device)))
    options = config.model_dump(mode="json", exclude={"quiet", "overwrite", "force", "workers"})
    options["weights"] = [path.name for path in config.weights]
    options["detector"] = [Path(name).name if name.endswith(".py") else name for name in config.detector]
    return ProvenancePart(
        tool_version=__version__,
        options=options,
        weights={DESCRIPTION: sha256_of_file(folder / DESCRIPTION), **model_set.hashes},
        weights_trained_on=model_set.trained_on,
        seed=config.seed,
        bootstrap_draws=config.draws,
        clusters=CLUSTERS,
        environment={
            "python": environment.python, "platform": environment.platform, "device": environment.device,
            **environment.libraries,
        },
        clock=clock,
    )  # fmt: skip


def clock_part(started: datetime, monotonic_s: float) -> dict[str, str | float]:
    """When a run began, and how long it took until now."""
    return {"started_utc": started.isoformat(timespec="seconds"), "wall_s": round(time.monotonic() - monotonic_s, 1)}


def write_reports(
    folder: OutputFolder, results: Results, rows: Sequence[ScoreRow], files: dict[str, Path], progress: Progress
) -> None:
    """results.json, report.md, report.html."""
    folder.write(RESULTS_FILE, results.to_json())
    folder.write(REPORT_MD, render_markdown(results))
    shown = {path: files[path] for path in paths_shown(results, rows) if path in files}
    by_file = thumbnails_of(list(dict.fromkeys(shown.values())), progress=progress)
    thumbnails = {path: by_file[str(file)] for path, file in shown.items() if str(file) in by_file}
    folder.write(REPORT_HTML, render_report(results, rows, thumbnails))


def _measured(
    scorer: Scorer,
    name: str,
    items: Sequence[Item],
    rows: Sequence[ScoreRow],
    scores: Sequence[ItemScore],
    config: BenchConfig,
) -> DetectorPart:
    clips = [is_clip(item) for item in items]
    finer: dict[Level, list[Finer]] = {}
    if any(clips):
        judged = zip(rows, scores, clips, strict=True)
        pairs = [(row, score) for row, score, clip in judged if clip and score.score is not None]
        if not all(clips):
            finer["video"] = [Finer(row, score.score) for row, score in pairs if score.score is not None]
        finer["track"] = [Finer(row, track.score) for row, score in pairs for track in score.tracks]
        finer["frame"] = [Finer(row, v) for row, score in pairs for track in score.tracks for _, v in track.frames]
    return detector_part(
        rows,
        Judging(scorer.thresholds[name], config.draws, config.seed),
        scorer.descriptions[name],
        scorer.fingerprints[name],
        scorer.threshold_origins[name],
        clips,
        [score.verdict for score in scores],
        {level: parts for level, parts in finer.items() if parts},
        [score.is_partial for score in scores],
    )


def is_clip(item: Item) -> bool:
    """By its name, so that what cannot be read, and what a FILE.py judges, is a clip too."""
    return item.path.suffix.lower() in VIDEO_SUFFIXES


def _shown(path: Path, base: Path) -> str:
    """Relative to the base, without leaving it where the file lies elsewhere."""
    absolute = Path(os.path.normpath(path.absolute()))
    shown = absolute.relative_to(base) if absolute.is_relative_to(base) else absolute
    return printable(shown.as_posix())


def _tracks_text(rows: dict[str, list[ScoreRow]], scores: dict[str, list[ItemScore]]) -> str:
    lines = [
        (csv_cell(row.path), row.label, name, track.id, f"{track.score:.9g}", len(track.frames))
        for name in rows
        for row, score in zip(rows[name], scores[name], strict=True)
        for track in score.tracks
    ]
    return _csv(("path", "label", "detector", "track", "score", "samples"), lines)


def _frames_text(rows: dict[str, list[ScoreRow]], scores: dict[str, list[ItemScore]]) -> str:
    lines = [
        (csv_cell(row.path), row.label, name, track.id, f"{time_s:.6f}", f"{value:.9g}")
        for name in rows
        for row, score in zip(rows[name], scores[name], strict=True)
        for track in score.tracks
        for time_s, value in track.frames
    ]
    return _csv(("path", "label", "detector", "track", "timestamp_s", "score"), lines)


def _csv(header: Sequence[str], lines: Sequence[Sequence[str | int]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return buffer.getvalue()
