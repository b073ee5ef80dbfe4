"""`forensics bench explain`: fakes with masks -> faces -> heatmaps -> agreement with the mask -> files.

The path of a scan up to the crop: decoding in the confined child, the same face detector, the same square. Heatmaps are
those that a report would show of the face that the detector finds most suspicious in a frame.
"""

import csv
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from eval.benchmark import ChosenData, choose_data, clock_part, dataset_part, provenance_part, rows_of
from eval.config import BenchConfig
from eval.datasets import filter_items
from eval.explanations.blends import GENERATOR, blended_faces
from eval.explanations.config import ExplainConfig
from eval.explanations.faces import MaskedFace, MaskError, mask_paths, masked_faces, normalised
from eval.explanations.figures import Judged, cells_of
from eval.explanations.judging import MEASURED, Explained, Judgement, Shown
from eval.explanations.measures import MEASURES
from eval.explanations.report import render_explanations_markdown
from eval.explanations.results import DetectorPart, ExplanationResults
from eval.explanations.sheet import draw_sheet
from eval.report.tables import UNNAMED
from eval.score_cache import ItemScore
from eval.score_table import ScoreRow
from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.common.text import csv_cell
from forensics.detectors.devices import resolve_device
from forensics.detectors.model_set import load_model_set
from forensics.faces.mtcnn import MtcnnDetector
from forensics.faces.types import FaceDetector
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sampling
from forensics.report.store import OutputFolder

JSON_FILE, MD_FILE, CSV_FILE, SHEET_FILE = (
    "explanations.json",
    "explanations.md",
    "explanations.csv",
    "explanations.png",
)
SHEET_STREAM = 0x5EE
Frames = list[list[MaskedFace]]


@dataclass(frozen=True)
class Job:
    """One item to measure, under the names that it is reported by, and how its frames come about."""

    item: Item
    shown: str
    dataset: str
    generator: str
    frames: Callable[[], Frames]


def run_explanations(
    config: ExplainConfig, data: Sequence[Path], output: Path, progress: Progress
) -> ExplanationResults:
    """Measure, write everything. Raises typed errors for what concerns the whole run, never for one item."""
    started, clock = datetime.now(UTC), time.monotonic()
    if not data and config.self_blends is None:
        raise UsageError("nothing to measure", "name DATA with masks, or --self-blends MANIFEST")
    folder = OutputFolder(output, config.overwrite)
    folder.check([JSON_FILE, MD_FILE, CSV_FILE, SHEET_FILE])
    model_set, weights = load_model_set(config.folder)
    device = resolve_device(config.device)
    judges = [Explained.load(spec, model_set, weights, device) for spec in config.specs]
    whole_config = config.model_copy(update={"limit": None})  # the limit is on what is measured
    chosen = choose_data(whole_config, data) if data else ChosenData((), (), (), ())
    blends = choose_data(whole_config, [config.self_blends]) if config.self_blends else ChosenData((), (), (), ())
    for note in (*chosen.notes, *blends.notes):
        progress.say(note)
    masks = mask_paths(data, config.layout, config.compression)
    fakes = [place for place, item in enumerate(chosen.items) if item.label == 1]
    with_mask = [place for place in fakes if normalised(chosen.items[place].path) in masks]
    reals = [place for place, item in enumerate(blends.items) if item.label == 0]
    if not with_mask and not reals:
        raise UsageError(
            f"none of {len(fakes)} fakes has a mask" if data else "there is no real item to blend",
            "the manifest's column `mask` names a picture of the same size, any value but 0 = altered",
        )
    if len(with_mask) < len(fakes):
        progress.say(f"{len(fakes) - len(with_mask)} of {len(fakes)} fakes have no mask and are left out")
    measured, blended = limited(chosen.items, with_mask, config), limited(blends.items, reals, config)
    with ExitStack() as stack:
        limits = MediaLimits(max_wall_s=config.timeout)
        readers = stack.enter_context(MediaReader(limits)), stack.enter_context(MediaReader(limits))
        views = {chosen.items[place].view for place in measured} | ({"scene"} if blended else set())
        faces = face_detector(device) if "scene" in views else None
        jobs = [
            *(_masked_job(chosen, place, masks, readers, faces, config) for place in measured),
            *(_blend_job(blends, place, readers[0], faces, config) for place in blended),
        ]
        rows, shown = judge_all(jobs, judges, config, progress)
    whole = ChosenData(
        (*(chosen.items[place] for place in measured), *(blends.items[place] for place in blended)),
        (*(chosen.shown[place] for place in measured), *(blends.shown[place] for place in blended)),
        tuple(dict.fromkeys((*chosen.layouts, *blends.layouts))),
        (*chosen.notes, *blends.notes),
    )
    results = ExplanationResults(
        dataset=dataset_part(whole, _rows_of(whole, config), base_config(config)),
        n_fakes=len(fakes),
        n_without_mask=len(fakes) - len(with_mask),
        n_self_blends=len(blended),
        detectors=[_detector_part(judge, rows) for judge in judges],
        cells=[
            cell
            for judge in judges
            for cell in cells_of(_own(rows, judge.name), judge.threshold, config.draws, config.seed)
        ],
        provenance=provenance_part(base_config(config), model_set, weights, clock_part(started, clock)),
    )
    results = _with_own_options(results, config)
    folder.write(CSV_FILE, table_text(rows, {judge.name: judge.threshold for judge in judges}))
    folder.write(JSON_FILE, results.to_json())
    folder.write(MD_FILE, render_explanations_markdown(results))
    if shown:
        write_atomic(folder.claim(SHEET_FILE), draw_sheet(shown))
    else:
        folder.discard(SHEET_FILE)  # of an earlier run: it would stand beside other figures
    return results


def judge_all(
    jobs: Sequence[Job], judges: Sequence[Explained], config: ExplainConfig, progress: Progress
) -> tuple[list[Judged], list[Shown]]:
    """Every detector's judgement of every item; and faces for the sheet, of the first detector."""
    ranks = rng_for(config.seed, SHEET_STREAM).permutation(len(jobs))
    kept: dict[int, Shown] = {}
    rows: list[Judged] = []
    with progress.task("heatmaps", len(jobs)) as bar:
        for number, job in enumerate(jobs):
            problem: Judgement | None = None
            frames: Frames = []
            try:
                frames = job.frames()
            except MaskError as error:
                problem = Judgement(error.outcome, str(error))
            except MediaError as error:
                problem = Judgement(str(error.outcome), error.message)
            for judge in judges:
                judgement, shown = (problem, None) if problem else _judged(judge, frames)
                item = job.item
                rows.append(
                    Judged(job.shown, job.dataset, job.generator, item.source, item.identity, judge.name, judgement)
                )
                if shown and judge is judges[0]:
                    kept[int(ranks[number])] = shown
            for rank in sorted(kept)[config.sheet :]:
                del kept[rank]
            bar(1)
    return rows, [kept[rank] for rank in sorted(kept)]


def limited(items: Sequence[Item], places: Sequence[int], config: ExplainConfig) -> list[int]:
    """The places that --limit leaves: a seeded sample, in order."""
    if not places:
        return []
    by_path = {items[place].path: place for place in places}
    chosen = filter_items([items[place] for place in places], "all", config.limit, config.seed)
    return sorted(by_path[item.path] for item in chosen)


def face_detector(device: torch.device) -> FaceDetector:
    """What a scan finds faces with."""
    return MtcnnDetector(device if device.type == "cuda" else torch.device("cpu"))


def base_config(config: ExplainConfig) -> BenchConfig:
    """The options that every benchmark has."""
    return BenchConfig.model_validate({name: getattr(config, name) for name in BenchConfig.model_fields})


def table_text(rows: Sequence[Judged], thresholds: dict[str, float]) -> str:
    """explanations.csv: one row per item and detector; label of every row: 1 = fake; score: 1 = fake."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    kinds = ("heatmap", "chance", "centred")
    figures = [f"{kind}_{name}" for kind in kinds for name in MEASURES]
    fixed = ("path", "dataset", "generator", "source", "identity", "detector", "outcome", "score", "called", "faces")
    writer.writerow([*fixed, "mask_share", *figures])
    for row in rows:
        one = row.judgement
        texts = (row.shown, row.dataset, row.generator, row.source, row.identity, row.detector, one.outcome)
        agreements = [getattr(one, kind) for kind in kinds]
        values = [value for agreement in agreements if agreement for value in agreement.values()]
        measured: list[str] = [""] * (4 + len(figures))
        if one.score is not None:
            called = "fake" if one.score >= thresholds[row.detector] else "real"
            numbers = [f"{value:.6f}" for value in (one.area, *values)]
            measured = [f"{one.score:.9g}", called, str(one.n_faces), *numbers]
        writer.writerow([*map(csv_cell, texts), *measured])
    return buffer.getvalue()


def _judged(judge: Explained, frames: Frames) -> tuple[Judgement, Shown | None]:
    try:
        return judge.judge(frames)
    except MediaError as error:
        return Judgement(str(error.outcome), error.message), None


def _masked_job(
    chosen: ChosenData,
    place: int,
    masks: dict[str, Path],
    readers: tuple[MediaReader, MediaReader],
    faces: FaceDetector | None,
    config: ExplainConfig,
) -> Job:
    item = chosen.items[place]
    mask = masks[normalised(item.path)]
    sampling = Sampling(config.sample_fps, config.max_frames)
    return Job(
        item,
        chosen.shown[place],
        item.dataset or UNNAMED,
        item.generator or UNNAMED,
        lambda: list(masked_faces(item, mask, readers, faces, sampling)),
    )


def _blend_job(
    blends: ChosenData, place: int, reader: MediaReader, faces: FaceDetector | None, config: ExplainConfig
) -> Job:
    item, sampling = blends.items[place], Sampling(config.sample_fps, 1)
    return Job(
        item,
        f"{blends.shown[place]}#{GENERATOR}",
        item.dataset or UNNAMED,
        GENERATOR,
        lambda: blended_faces(item, place, reader, faces, sampling, config.seed),
    )


def _own(rows: Sequence[Judged], detector: str) -> list[Judged]:
    return [row for row in rows if row.detector == detector]


def _detector_part(judge: Explained, rows: Sequence[Judged]) -> DetectorPart:
    outcomes = Counter(row.judgement.outcome for row in _own(rows, judge.name))
    return DetectorPart(
        name=judge.name,
        fingerprint=judge.fingerprint,
        threshold=judge.threshold,
        threshold_origin=judge.threshold_origin,
        outcomes={MEASURED: outcomes.pop(MEASURED, 0), **dict(sorted(outcomes.items()))},
    )


def _rows_of(whole: ChosenData, config: ExplainConfig) -> list[ScoreRow]:
    hashes = [_hash(item.path) for item in whole.items]
    return rows_of(whole, [ItemScore(Outcome.SCORED)] * len(whole.items), config.detector[0], hashes)


def _hash(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError:
        return ""


def _with_own_options(results: ExplanationResults, config: ExplainConfig) -> ExplanationResults:
    own = {"self_blends": config.self_blends.name if config.self_blends else None}
    provenance = results.provenance.model_copy(update={"options": {**results.provenance.options, **own}})
    return results.model_copy(update={"provenance": provenance})
