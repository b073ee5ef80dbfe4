"""A set of weights and labelled clips -> the same set, with how it judges clips: `forensics calibrate-clips`.

    manifest -> scan every clip once, by the path of a scan -> candidates on dev -> one of them, by a rule -> model.json

What was scanned is kept in the folder, one JSON file per clip under a key of all that its logits depend on: a stopped run
goes on, and another choice costs no scan. The same clips and weights give the same model.json.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from forensics import __version__
from forensics.common.aggregation import MEAN, Aggregation
from forensics.common.errors import ManifestError, UsageError
from forensics.common.files import sha256_of_text, write_atomic
from forensics.common.manifest import Item
from forensics.common.metrics import Estimate
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig, options_hash
from forensics.detectors.model_set import DEFAULT_DETECTOR, DESCRIPTION, ModelSet, checked_files, load_model_set
from forensics.recording import TrackLog, hash_or_none
from forensics.report.store import OutputFolder
from forensics.scan import Scanner, ScanResult
from forensics.training.video import (
    Candidate,
    Clip,
    Figures,
    TrackSamples,
    candidates,
    choose,
    clip_logits,
    persons_of,
    with_spread,
)

# What a choice may be made on: the weights know train, and test measures what was chosen.
SPLIT = "dev"
FIGURES_FILE = "clips.json"
CACHE_FOLDER = "clips"


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _KeptTrack(_Kept):
    """A track as `TrackSamples` has it."""

    median_crop_px: float
    crop_px: tuple[int, ...]
    sharpness: tuple[float, ...]
    logits: dict[str, tuple[float, ...]]


class _KeptScan(_Kept):
    """What is kept of the scan of a clip."""

    outcome: Outcome
    is_clip: bool
    tracks: tuple[_KeptTrack, ...]


@dataclass(frozen=True)
class ClipCalibration:
    """What was found. chosen: the one of them that was written, with its source; `why` it."""

    opinion: str
    found: tuple[Candidate, ...]
    chosen: Candidate
    why: str
    outcomes: dict[str, int]

    def as_json(self) -> str:
        """The figures as they are kept in clips.json."""
        content = {
            "opinion": self.opinion,
            "why": self.why,
            "outcomes": self.outcomes,
            "chosen": _candidate(self.chosen),
            "candidates": [_candidate(one) for one in self.found],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def calibrate_clips(
    items: Sequence[Item],
    weights: Path | None,
    output: Path,
    progress: Progress,
    opinion: str = DEFAULT_DETECTOR,
    threads: int = 0,
    seed: int = 0,
    overwrite: bool = False,
) -> ClipCalibration:
    """Scan the dev clips, choose, and write the set of weights into `output`, which may be the set's own folder.

    Raises ManifestError where there are no dev clips, UsageError for an opinion without a threshold or a folder of
    somebody else's files, WeightsError for weights that do not fit.
    """
    chosen_items = [item for item in items if item.split == SPLIT and item.view == "scene"]
    if not chosen_items:
        raise ManifestError(f"no rows of split {SPLIT} with view scene", "list clips, with split and view")
    model_set, folder = load_model_set(weights)
    if opinion not in model_set.operating_points or opinion not in model_set.calibrations:
        raise UsageError(f"the weights have no threshold of '{opinion}'", "name a calibrated detector of theirs")
    target = OutputFolder(output, overwrite)
    is_same = output.resolve() == folder.resolve()
    target.check([FIGURES_FILE, CACHE_FOLDER, *([] if is_same else [DESCRIPTION, *model_set.hashes])])
    config = ScanConfig(detector=(opinion,), weights=folder, device="cpu", threads=threads, stability=False)
    clips = scan_clips(chosen_items, config, target.claim(CACHE_FOLDER), progress)
    if not any(clip.tracks for clip in clips):
        raise ManifestError(f"no clip of split {SPLIT} shows a face", "list clips with faces of the validated size")
    calibration, aggregations = _choose(clips, model_set, opinion, seed)
    for name in [] if is_same else model_set.weights:
        for path in checked_files(model_set, folder, name):
            write_atomic(target.claim(path.name), path.read_bytes())
    described = model_set.model_copy(update={"aggregations": {**model_set.aggregations, **aggregations}})
    target.write(FIGURES_FILE, calibration.as_json())
    if is_same:
        write_atomic(folder / DESCRIPTION, described.model_dump_json(indent=2) + "\n")
    else:
        target.write(DESCRIPTION, described.model_dump_json(indent=2) + "\n")
    return calibration


def scan_clips(items: Sequence[Item], config: ScanConfig, cache: Path, progress: Progress) -> list[Clip]:
    """Tracks of every clip, in the items' order; pictures among them are left out."""
    clips = []
    with Scanner(config) as scanner, progress.task("scanning clips", len(items)) as bar:
        # Thresholds and aggregations may change without a sample's logit changing.
        weights = scanner.model_set.model_copy(update={"aggregations": {}, "operating_points": {}})
        shared = [weights.model_dump_json(), options_hash(config.analysis_options()), __version__]
        for item in items:
            bar.describe(item.path.name)
            sha256 = hash_or_none(item.path)
            path = cache / f"{sha256_of_text(chr(10).join([sha256 or '', *shared]))}.json"
            kept = _load(path)
            if kept is None:
                kept = _kept(scanner.scan(item.path, explain=False, sha256=sha256))
                if sha256 and kept.outcome.analysed:  # what failed may not fail again
                    write_atomic(path, kept.model_dump_json())
            if kept.is_clip:
                tracks = tuple(TrackSamples(t.median_crop_px, t.crop_px, t.sharpness, t.logits) for t in kept.tracks)
                clips.append(Clip(item, str(kept.outcome), tracks))
            bar(1)
    return clips


def _choose(
    clips: Sequence[Clip], model_set: ModelSet, opinion: str, seed: int
) -> tuple[ClipCalibration, dict[str, Aggregation]]:
    point, domain = model_set.operating_points[opinion], model_set.domain
    found = candidates(clips, opinion, domain, point, seed)
    logits, _ = clip_logits(clips, opinion, MEAN, domain)  # no method scores a clip that another does not
    best, why = choose(found, *persons_of(clips, ~np.isnan(logits)))
    aggregations = {}
    for name in sorted({name for clip in clips for track in clip.tracks for name in track.logits}):
        if name not in model_set.operating_points or name not in model_set.calibrations:
            continue
        aggregation = with_spread(clips, name, best.aggregation.method, domain)
        aggregations[name] = aggregation.model_copy(update={"source": f"{len(clips)} clips; {why}"})
    chosen = replace(best, aggregation=aggregations[opinion])
    outcomes = dict(sorted(Counter(clip.outcome for clip in clips).items()))
    return ClipCalibration(opinion, tuple(found), chosen, why, outcomes), aggregations


def _kept(result: ScanResult) -> _KeptScan:
    media = result.record.media
    broken = result.breakdown is not None and result.breakdown.outcome is Outcome.LIMIT_EXCEEDED
    outcome = Outcome.LIMIT_EXCEEDED if broken else result.record.outcome
    return _KeptScan(
        outcome=outcome,
        # What cannot be read is taken for a clip, so that it is counted.
        is_clip=media is None or media.kind == "video",
        # What time or memory sufficed for would depend on the machine.
        tracks=tuple(_kept_track(log) for log in result.logs) if outcome.analysed else (),
    )


def _kept_track(log: TrackLog) -> _KeptTrack:
    return _KeptTrack(
        median_crop_px=log.score(next(iter(log.logits))).median_crop_px,
        crop_px=tuple(sample.crop_px for sample in log.samples),
        sharpness=tuple(log.sharpness),
        logits={name: tuple(values) for name, values in log.logits.items()},
    )


def _load(path: Path) -> _KeptScan | None:
    """What was kept under a key; None where there is nothing, or not all of it."""
    try:
        return _KeptScan.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _candidate(one: Candidate) -> dict[str, object]:
    return {
        "aggregation": one.aggregation.model_dump(),
        "mean_auc": _number(one.mean_auc),
        "figures": [_figures(part) for part in one.figures],
    }


def _figures(part: Figures) -> dict[str, object]:
    return {
        "dataset": part.dataset,
        "n_real": part.n_real,
        "n_fake": part.n_fake,
        "n_missed": part.n_missed,
        "auc": _estimate(part.auc),
        "false_alarms": _estimate(part.false_alarms),
        "false_alarms_uncorrected": _estimate(part.uncorrected),
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(getattr(estimate, name)) for name in ("value", "low", "high")}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
