"""Rows of scores -> the blocks of results.json: coverage, and figures per family, per level, and pooled."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.results import ClipPart, CoverageBlock, DetectorPart, FailuresBlock, Level, MetricsBlock, RiskBlock, RiskPoint
from eval.score_table import ScoreRow
from eval.statistics import METRICS, bootstrap_metrics, clusters_of, rates_at, risk_coverage
from forensics.common.metrics import Estimate, auc, share_with_interval
from forensics.common.outcomes import Outcome

UNNAMED = "unnamed"
# FaceForensics++ at several compressions shows the same recordings: data sets `ffpp-c23`, `ffpp-c40`.
COMPRESSION = re.compile(r"-(raw|c0|c23|c40)$")
# Rates, and the labels of the rows that they are shares of.
RATES = {"fpr": (0,), "fnr": (1,), "accuracy": (0, 1), "tpr_at_fpr_1": (1,), "tpr_at_fpr_5": (1,)}
# Of more clips a reader would want scores.csv.
MAX_LISTED_CLIPS = 100
NO_INTERVAL = "every draw gives the same figure: too few independent groups, or all in order"
OF_ONE_CLASS = {"fpr": "no reals were scored", "fnr": "no fakes were scored"}


@dataclass(frozen=True)
class Judging:
    """What turns scores into figures beside the scores themselves."""

    threshold: float
    draws: int
    seed: int


@dataclass(frozen=True, eq=False)
class Columns:
    """Rows as arrays, all (N,): labels 1 = fake; scores NaN where there is none; clusters as integers."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    clusters: NDArray[np.int64]

    def where(self, rows: NDArray[np.bool_]) -> "Columns":
        """A part of the rows."""
        return Columns(self.labels[rows], self.scores[rows], self.clusters[rows])


@dataclass(frozen=True)
class Finer:
    """A score below the level of the file (a frame, a track) or above it (a video of frames); `row` is its file's."""

    row: ScoreRow
    score: float


def columns_of(rows: Sequence[ScoreRow]) -> Columns:
    """Arrays of rows. Clusters are groups that share a source or an identity within a data set (at any compression)."""

    def within(row: ScoreRow, name: str) -> str:
        return f"{COMPRESSION.sub('', row.dataset)}\n{name}" if name else ""

    clusters = clusters_of(
        [within(row, row.source or row.video) for row in rows],
        [within(row, row.identity) for row in rows],
        [row.path for row in rows],
    )
    scores = np.array([math.nan if row.score is None else row.score for row in rows], np.float64)
    return Columns(np.array([row.label for row in rows], np.int64), scores, clusters)


def coverage_block(
    rows: Sequence[ScoreRow], verdicts: Sequence[str | None] | None = None, n_partial: int = 0
) -> CoverageBlock:
    """What became of each input; `verdicts` (aligned with rows) where the detector gives them."""
    counts = Counter(str(row.outcome) for row in rows)
    by_label = [Counter(str(row.outcome) for row in rows if row.label == label) for label in (0, 1)]
    scored = counts[str(Outcome.SCORED)]
    called: dict[str, dict[str, int]] | None = None
    if verdicts is not None and any(verdicts):
        called = {
            name: dict(
                sorted(
                    Counter(
                        v or "no verdict" for v, row in zip(verdicts, rows, strict=True) if row.label == label
                    ).items()
                )
            )
            for name, label in (("real", 0), ("fake", 1))
        }
    return CoverageBlock(
        n=len(rows),
        n_scored=scored,
        share=round(scored / len(rows), 6) if rows else None,
        n_partial=n_partial,
        outcomes=dict(sorted(counts.items())),
        real=dict(sorted(by_label[0].items())),
        fake=dict(sorted(by_label[1].items())),
        verdicts=called,
    )


def metrics_block(columns: Columns, level: Level, judging: Judging, counts_failures: bool = True) -> MetricsBlock:
    """Figures of the rows that have a score, and of all with failures counted as wrong."""
    has_score = ~np.isnan(columns.scores)
    scored = columns.where(has_score)
    n_fake = int(scored.labels.sum())
    n_real = len(scored.labels) - n_fake
    found = (
        bootstrap_metrics(scored.labels, scored.scores, scored.clusters, judging.threshold, judging.draws, judging.seed)
        if len(scored.labels)
        else {}
    )
    values, intervals, undefined = {}, {}, {}
    for name in METRICS:
        estimate = found.get(name)
        values[name] = None if estimate is None else rounded(estimate.value)
        if values[name] is None:
            undefined[name] = _why_undefined(name, n_real, n_fake)
        elif estimate is not None and (interval := _interval(estimate, scored, RATES.get(name))):
            intervals[name] = (round(interval[0], 6), round(interval[1], 6))
        elif name == "auc":
            undefined |= dict.fromkeys(("auc_low", "auc_high"), NO_INTERVAL)
    auc_low, auc_high = intervals.pop("auc", (None, None))
    return MetricsBlock(
        level=level,
        n_real=n_real,
        n_fake=n_fake,
        n_clusters=len(np.unique(scored.clusters)),
        auc_low=auc_low,
        auc_high=auc_high,
        threshold=judging.threshold,
        intervals=intervals,
        undefined=undefined,
        failures_counted_wrong=_with_failures(columns, has_score, judging.threshold) if counts_failures else None,
        **values,
    )


def risk_block(columns: Columns, judging: Judging) -> RiskBlock:
    """Error against coverage of all rows, those without a score included."""
    found = risk_coverage(columns.labels, columns.scores, columns.clusters, judging.draws, judging.seed)
    drawn = is_drawn(columns.where(~np.isnan(columns.scores)))
    return RiskBlock(
        scored=round(found.scored, 6),
        error_scored=rounded(found.error_scored),
        aurc=rounded(found.aurc),
        points=[
            RiskPoint(
                coverage=coverage,
                error=rounded(error.value),
                low=rounded(error.low) if drawn and error.low < error.high else None,
                high=rounded(error.high) if drawn and error.low < error.high else None,
            )
            for coverage, error in zip(found.coverages, found.errors, strict=True)
        ],
    )


def clip_parts(
    rows: Sequence[ScoreRow], clips: Sequence[bool] | None, verdicts: Sequence[str | None] | None
) -> list[ClipPart]:
    """The clips among the rows (all aligned), or none where there are more than a reader would look at."""
    found = [
        ClipPart(
            path=row.path,
            label=row.label,
            dataset=row.dataset or UNNAMED,
            generator=row.generator,
            outcome=str(row.outcome),
            score=row.score,
            verdict=verdict,
        )
        for row, is_clip, verdict in zip(
            rows, clips or [False] * len(rows), verdicts or [None] * len(rows), strict=True
        )
        if is_clip
    ]
    return found if len(found) <= MAX_LISTED_CLIPS else []


def detector_part(
    rows: Sequence[ScoreRow],
    judging: Judging,
    description: str,
    fingerprint: str,
    threshold_origin: str,
    clips: Sequence[bool] | None = None,
    verdicts: Sequence[str | None] | None = None,
    finer: Mapping[Level, Sequence[Finer]] | None = None,
    partial: Sequence[bool] | None = None,
) -> DetectorPart:
    """All blocks of one detector. `clips` says which rows are clips; `finer` holds scores of their tracks and frames;
    `partial` which rows were scored on what could be decoded of a damaged file (all aligned with rows)."""
    columns = columns_of(rows)
    level = file_level(rows, clips)
    datasets, generators = np.array([row.dataset or UNNAMED for row in rows]), _generators(rows)
    of_generator = {}
    for name in sorted({str(g) for g in generators if g}):
        homes = set(datasets[generators == name])
        of_generator[name] = (generators == name) | ((columns.labels == 0) & np.isin(datasets, list(homes)))
    of_dataset = {name: datasets == name for name in sorted(set(map(str, datasets)))}
    by_level = {
        name: metrics_block(_columns_of_finer(parts), name, judging, False) for name, parts in (finer or {}).items()
    }
    videos = _videos_of_frames(rows) if level == "frame" else []
    if videos:
        by_level["video"] = metrics_block(_columns_of_finer(videos), "video", judging, False)

    def blocks(parts: Mapping[str, NDArray[np.bool_]]) -> dict[str, MetricsBlock]:
        return {name: metrics_block(columns.where(part), level, judging) for name, part in parts.items()}

    return DetectorPart(
        description=description,
        fingerprint=fingerprint,
        threshold=judging.threshold,
        threshold_origin=threshold_origin,
        coverage=coverage_block(rows, verdicts, sum(partial or ())),
        coverage_by_dataset={
            name: coverage_block(
                [row for row, wanted in zip(rows, part, strict=True) if wanted],
                None if verdicts is None else [v for v, wanted in zip(verdicts, part, strict=True) if wanted],
                sum(damaged for damaged, wanted in zip(partial or (), part, strict=False) if wanted),
            )
            for name, part in of_dataset.items()
        },
        by_generator=blocks(of_generator),
        by_dataset=blocks(of_dataset),
        by_level=by_level,
        overall=metrics_block(columns, level, judging),
        risk_by_dataset={name: risk_block(columns.where(part), judging) for name, part in of_dataset.items()},
        risk=risk_block(columns, judging),
        clips=clip_parts(rows, clips, verdicts),
    )


def file_level(rows: Sequence[ScoreRow], clips: Sequence[bool] | None) -> Level:
    """What one row is: a video where all are clips, a frame where all are pictures of videos, else an item."""
    if clips is not None and rows and all(clips):
        return "video"
    if rows and all(row.video for row in rows) and not (clips is not None and any(clips)):
        n_videos = len({_video_key(row) for row in rows})
        return "frame" if n_videos < len(rows) else "item"
    return "item"


def _videos_of_frames(rows: Sequence[ScoreRow]) -> list[Finer]:
    """The mean score of each video's scored frames, as DeepfakeBench (Yan et al. 2023, arXiv 2307.01426) has it."""
    frames: dict[tuple[str, ...], list[ScoreRow]] = {}
    for row in rows:
        if row.score is not None:
            frames.setdefault(_video_key(row), []).append(row)
    return [
        Finer(own[0], float(np.mean([row.score for row in own if row.score is not None]))) for own in frames.values()
    ]


def _video_key(row: ScoreRow) -> tuple[str, ...]:
    """What makes a video one: `000_003` of four methods, which other tools' tables call alike, is four videos."""
    return row.dataset, str(row.label), row.generator, row.video


def _columns_of_finer(parts: Sequence[Finer]) -> Columns:
    columns = columns_of([part.row for part in parts])
    return Columns(columns.labels, np.array([part.score for part in parts], np.float64), columns.clusters)


def _generators(rows: Sequence[ScoreRow]) -> NDArray[np.str_]:
    return np.array([(row.generator or UNNAMED) if row.label == 1 else "" for row in rows])


def is_drawn(scored: Columns) -> bool:
    """Whether a bootstrap has something to draw: a class that is one cluster comes out the same every time."""
    of_class = [len(np.unique(scored.clusters[scored.labels == label])) for label in (0, 1)]
    return min((n for n in of_class if n), default=0) > 1


def failures_at_the_wrong_end(columns: Columns) -> NDArray[np.float64]:
    """Scores (N,) in which a failed fake lies below everything and a failed real above."""
    worst = np.where(columns.labels == 1, -np.inf, np.inf)
    return np.where(np.isnan(columns.scores), worst, columns.scores)


def _with_failures(columns: Columns, has_score: NDArray[np.bool_], threshold: float) -> FailuresBlock | None:
    """Failures at the far end of the wrong side: a bound that no treatment of them can be worse than."""
    failed = ~has_score
    if not failed.any():
        return None
    worst = failures_at_the_wrong_end(columns)
    rates = rates_at(columns.labels, worst, threshold)
    return FailuresBlock(
        n_failed_real=int((failed & (columns.labels == 0)).sum()),
        n_failed_fake=int((failed & (columns.labels == 1)).sum()),
        auc=rounded(auc(columns.labels, worst)),
        accuracy=rounded(rates.accuracy),
        fpr=rounded(rates.fpr),
        fnr=rounded(rates.fnr),
    )


def _interval(estimate: Estimate, scored: Columns, labels: tuple[int, ...] | None) -> tuple[float, float] | None:
    """The bootstrap's interval, unless there was nothing to draw; `labels`: of the rows that a rate is a share of.

    A rate that every draw gives alike has Wilson's interval, on as many trials as there are clusters.
    """
    if labels is None:
        has_width = estimate.low < estimate.high
        return (estimate.low, estimate.high) if has_width and is_drawn(scored) else None
    n = len(np.unique(scored.clusters[np.isin(scored.labels, labels)]))
    if estimate.low < estimate.high and n > 1:
        return estimate.low, estimate.high
    share = share_with_interval(round(estimate.value * n), n)
    return min(share.low, estimate.value), max(share.high, estimate.value)


def _why_undefined(name: str, n_real: int, n_fake: int) -> str:
    if n_real + n_fake == 0:
        return "nothing was scored"
    if name in OF_ONE_CLASS:
        return OF_ONE_CLASS[name]
    return "no fakes were scored" if n_fake == 0 else "no reals were scored"


def rounded(value: float) -> float | None:
    """A figure as it stands in results: six digits, null where it is not a number."""
    return None if math.isnan(value) else round(value, 6)
