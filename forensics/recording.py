"""What the pipeline found -> the record. Only assembles: nothing is measured or decided here."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from forensics.common.aggregation import MEAN, Aggregation, sample_weights
from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_file
from forensics.common.outcomes import Outcome
from forensics.common.text import printable
from forensics.config import Options, ScanConfig, options_hash
from forensics.detectors.bank import DetectorBank
from forensics.detectors.model_set import DESCRIPTION, Domain, ModelSet
from forensics.detectors.protocol import Crop, Subject, sigmoid
from forensics.environment import describe_environment
from forensics.faces.tracking import Observation
from forensics.features.tiles import MIN_PICTURE_PX
from forensics.media.reader import MediaStream
from forensics.media.sniff import extension_fits
from forensics.report.pictures import pixels_sha256
from forensics.report.record import (
    ClockPart,
    DetectorPart,
    InputPart,
    MediaPart,
    ModelPart,
    MomentPart,
    Record,
    SamplePart,
    TrackPart,
    VerdictPart,
)
from forensics.verdict import Decision, TrackScore, track_outcome

CROPS_KEPT_PER_TRACK = 4
DIGITS = 6


@dataclass(frozen=True, eq=False)
class KeptSample:
    """A suspicious sample whose pixels outlive its frame: a face, or a picture's tiles, the one that weighs most first."""

    logit: float  # of the primary opinion: the mean over the subjects
    timestamp_s: float
    subjects: tuple[Subject, ...]

    @property
    def shown(self) -> Crop:
        """What the report shows of it."""
        return self.subjects[0].crop


@dataclass(eq=False)
class TrackLog:
    """One face track as it grows, or a picture that is judged as a whole; `kept` holds its most suspicious samples.

    aggregations: per opinion, what makes one logit of those of its samples; their mean for any other.
    """

    id: int
    aggregations: Mapping[str, Aggregation] = field(default_factory=dict)
    samples: list[SamplePart] = field(default_factory=list)
    logits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sharpness: list[float] = field(default_factory=list)
    kept: list[KeptSample] = field(default_factory=list)

    def add(
        self,
        timestamp_s: float,
        observation: Observation,
        crop_px: int,
        logits: dict[str, float],
        sharpness: float,
        kept: KeptSample,
    ) -> None:
        """Note one scored observation; of `kept` only those with the greatest logits stay."""
        for name, value in logits.items():
            self.logits[name].append(value)
        self.sharpness.append(sharpness)
        left, top, right, bottom = (round(float(value), 1) for value in observation.face.box)
        self.samples.append(
            SamplePart(
                timestamp_s=timestamp_s,
                box=(left, top, right, bottom),
                confidence=round(observation.face.confidence, 4),
                found_by=observation.found_by,
                crop_px=crop_px,
                scores={name: probability_of(value) for name, value in logits.items()},
            )
        )
        self.kept.append(kept)
        self.kept = sorted(self.kept, key=lambda one: (-one.logit, one.timestamp_s))[:CROPS_KEPT_PER_TRACK]

    def mean(self, name: str) -> float:
        """Mean logit of an opinion."""
        return float(np.mean(self.logits[name]))

    def logit(self, name: str) -> float:
        """Logit of the track, of an opinion."""
        return self._aggregation(name).of_samples(self.logits[name], self._weights(name))

    def score(self, name: str, reencoded: float | None = None, stable: float | None = None) -> TrackScore:
        """What the verdict needs of this track."""
        return TrackScore(
            id=self.id,
            logits=tuple(self.logits[name]),
            timestamps_s=tuple(sample.timestamp_s for sample in self.samples),
            median_crop_px=float(np.median([sample.crop_px for sample in self.samples])),
            sharpness=float(np.median(self.sharpness)),
            reencoded_logit=reencoded,
            stable_logit=stable,
            weights=self._weights(name),
            aggregation=self._aggregation(name),
        )

    def _aggregation(self, name: str) -> Aggregation:
        return self.aggregations.get(name, MEAN)

    def _weights(self, name: str) -> tuple[float, ...]:
        if self._aggregation(name).method != "weighted_mean":
            return ()
        return tuple(sample_weights([sample.crop_px for sample in self.samples], self.sharpness).tolist())


@dataclass(eq=False)
class Findings:
    """All that the pipeline found out about one file."""

    path: Path
    shown_path: str
    sha256: str | None
    tracks: dict[int, TrackLog] = field(default_factory=dict)
    media: MediaPart | None = None
    decision: Decision | None = None
    whole_file: list[DetectorPart] = field(default_factory=list)
    moments: list[MomentPart] = field(default_factory=list)
    error: MediaError | None = None
    breakdown: MediaError | None = None  # what ended decoding early, after some samples


def make_record(
    found: Findings,
    config: ScanConfig,
    options: Options,
    bank: DetectorBank,
    model: ModelPart | None,
    domain: Domain,
    device: str,
    clock: ClockPart,
) -> Record:
    """The record of one file. Where analysing it failed, it holds what was known before and no scores.

    options: the configuration's `analysis_options`, resolved once for all files.
    """
    outcome, message, hint = _outcome(found, bank, is_whole=config.view == "whole")
    failed = not outcome.analysed
    return Record(
        input=_input(found, config),
        outcome=outcome,
        message=message,
        hint=hint,
        media=found.media,
        verdict=None if failed else _verdict(found, bank, config.prior),
        detectors=[] if found.error else [*_opinions(found, bank), *found.whole_file],
        tracks=[] if failed else [_track(log, bank.primary, domain) for _, log in sorted(found.tracks.items())],
        moments=found.moments,
        model=model,
        environment=describe_environment(device),
        configuration=options,
        configuration_sha256=options_hash(options),
        clock=clock,
    )


def media_part(stream: MediaStream, path: Path, analysed: int, breakdown: str = "") -> MediaPart:
    """What the file claims and what was found in it; names and messages of the decoder made printable.

    `breakdown` says why decoding ended early, where it did: the decoder's own summary is missing then.
    """
    info, summary = stream.info, stream.summary
    errors = [*(summary.errors if summary else ()), *([breakdown] if breakdown else [])]
    return MediaPart(
        kind="image" if info.kind == "image" else "video",
        container=info.container,
        extension_matches=extension_fits(path.suffix, info.container),
        codec=info.codec,
        width=info.width,
        height=info.height,
        rotation_deg=info.rotation_deg,
        frames_claimed=info.frames_claimed,
        frames_found=info.frames_found,
        frames_decoded=summary.frames_decoded if summary else analysed,
        frames_analysed=analysed,
        duration_s=info.duration_s,
        mean_fps=info.mean_fps,
        is_variable_rate=info.is_variable_rate,
        has_audio=info.has_audio,
        sampling=info.sampling,
        is_complete=bool(summary and summary.is_complete),
        errors=[printable(line) for line in errors],
    )


def model_part(model_set: ModelSet, description_sha256: str, other_files: dict[str, str]) -> ModelPart:
    """The weights that were used, by hash; other_files: those that are not of the set."""
    return ModelPart(
        name=model_set.name,
        version=model_set.version,
        licence=model_set.licence,
        trained_on=model_set.trained_on,
        files={DESCRIPTION: description_sha256, **model_set.hashes, **other_files},
    )


def moment_part(track: int, kept: KeptSample) -> MomentPart:
    """A sample that the report shows."""
    return MomentPart(
        track=track,
        timestamp_s=kept.timestamp_s,
        probability=probability_of(kept.logit),
        crop_sha256=pixels_sha256(kept.shown),
    )


def hash_or_none(path: Path) -> str | None:
    """SHA-256 of a regular file, None where it cannot be read (a pipe or a device would be read for ever)."""
    try:
        return sha256_of_file(path) if path.is_file() else None
    except OSError:
        return None


def probability_of(logit: float) -> float:
    """Probability of a logit, rounded as it stands in records."""
    return round(float(sigmoid(np.array(logit))), DIGITS)


def _outcome(found: Findings, bank: DetectorBank, is_whole: bool) -> tuple[Outcome, str, str]:
    """Outcome, and message and hint where there is no score."""
    if found.error is not None:
        return found.error.outcome, found.error.message, found.error.hint
    if any(part.score is not None for part in found.whole_file):
        return Outcome.SCORED, "", ""
    if not bank.opinions:
        errors = "; ".join(part.error or "" for part in found.whole_file)
        return Outcome.DETECTOR_ERROR, errors, "see what the detector itself printed"
    if not found.tracks:
        return _nothing_found(found.media, bank.judges_pictures, is_whole)
    if found.decision is not None and found.decision.outcome is Outcome.TOO_SMALL:
        return Outcome.TOO_SMALL, found.decision.reasons[0], "use a version of higher resolution"
    return Outcome.SCORED, "", ""


def _nothing_found(media: MediaPart | None, judges_pictures: bool, is_whole: bool) -> tuple[Outcome, str, str]:
    """Outcome, message and hint of an input in which there was nothing to judge."""
    if is_whole:
        size = f"{media.width} x {media.height} pixels, " if media else ""
        message = f"the picture is too small to be judged ({size}from {MIN_PICTURE_PX} on a side)"
        return Outcome.TOO_SMALL, message, "use a version of higher resolution"
    hints = []
    if media is not None and media.kind == "image":
        hints.append("a picture that is a face crop already: --view face")
    if judges_pictures:
        hints.append("traces of synthesis without a face: --whole-image")
    return Outcome.NO_FACE, "no face was found", "; ".join(hints)


def _verdict(found: Findings, bank: DetectorBank, prior: float) -> VerdictPart:
    decision = found.decision
    if decision is None:
        names = ", ".join([opinion.name for opinion in bank.opinions] + [part.name for part in found.whole_file])
        reason = f"{names}: not calibrated, so the score is given and no verdict is drawn from it"
        decision = Decision("inconclusive", None, None, (reason,), None, None)
    return VerdictPart(
        label=decision.label,
        probability=_rounded(decision.probability),
        prior=prior,
        likelihood_ratio=_rounded(decision.likelihood_ratio),
        reasons=[*decision.reasons, *_damage(found.media)],
        top_track=decision.top_track,
        key_moment_s=decision.key_moment_s,
        lowered_by=_rounded(decision.lowered_by),
        operating_point=bank.operating_point,
    )


def _damage(media: MediaPart | None) -> list[str]:
    """What a reader of the verdict must know of a file that could not be read as a whole."""
    if media is None or media.is_complete or not media.errors:
        return []
    return [
        f"the file is damaged or cut off ({media.errors[0]}): the verdict rests on {media.frames_decoded} decoded frames "
        f"of {media.frames_found}, {media.frames_analysed} of them analysed"
    ]


def _opinions(found: Findings, bank: DetectorBank) -> list[DetectorPart]:
    """Each opinion on the track that the verdict rests on (without one: on the track that it suspects most)."""
    top = found.tracks.get(found.decision.top_track or 0) if found.decision else None
    tracks: Sequence[TrackLog] = [top] if top else list(found.tracks.values())
    parts = []
    for opinion in bank.opinions:
        score = max((track.logit(opinion.name) for track in tracks), default=None)
        parts.append(
            DetectorPart(
                name=opinion.name,
                score=None if score is None else probability_of(score),
                is_calibrated=opinion.is_calibrated,
                weight=_rounded(opinion.weight),
                description=opinion.description,
            )
        )
    return parts


def _track(log: TrackLog, primary: str | None, domain: Domain) -> TrackPart:
    means = {name: probability_of(log.logit(name)) for name in log.logits}
    score = log.score(primary or next(iter(log.logits)))
    return TrackPart(
        id=log.id,
        first_s=log.samples[0].timestamp_s,
        last_s=log.samples[-1].timestamp_s,
        median_crop_px=score.median_crop_px,
        outcome=track_outcome(score, domain),
        probability=means[primary] if primary else None,
        scores=means,
        sharpness=_rounded(score.sharpness),
        samples=log.samples,
    )


def _input(found: Findings, config: ScanConfig) -> InputPart:
    try:
        size: int | None = found.path.stat().st_size
    except OSError:
        size = None
    return InputPart(
        name=printable(found.path.name),
        path=printable(found.shown_path),
        size_bytes=size,
        sha256=found.sha256,
        sha256_after=hash_or_none(found.path),
        view=config.view,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
