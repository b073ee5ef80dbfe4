"""The pipeline: a file goes in, a record comes out.

    hash -> decode in a child process -> follow faces -> crop -> score -> tracks -> verdict -> moments -> record

A picture that is judged as a whole (view `whole`) takes the same way with tiles in place of faces.

Reads top to bottom. Nothing here opens media, detects, scores or decides by itself: each line calls the room that does.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.aggregation import Aggregation
from forensics.common.errors import DetectorError, MediaError
from forensics.common.files import sha256_of_file
from forensics.common.prefetch import prefetch
from forensics.config import ScanConfig, options_hash
from forensics.detectors.bank import DetectorBank
from forensics.detectors.devices import resolve_device
from forensics.detectors.engines.choice import resolve_engine
from forensics.detectors.model_set import DESCRIPTION, load_model_set
from forensics.detectors.peer_weights import file_hashes
from forensics.detectors.protocol import Subject
from forensics.detectors.script import ScriptDetector
from forensics.faces.canonical import crop_face, crop_surroundings, middle_square, reduce_surroundings
from forensics.faces.choice import load_face_detector
from forensics.faces.still import detect_in_stills
from forensics.faces.tracking import FrameFaces, Observation, Tracker, follow_faces
from forensics.faces.types import Face, FaceDetector
from forensics.features.sharpness import sharpness
from forensics.features.tiles import MIN_PICTURE_PX, spread_tiles
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sample, Sampling
from forensics.perturb import jpeg
from forensics.randomised import randomised_logits
from forensics.recording import (
    Findings,
    KeptSample,
    TrackLog,
    hash_or_none,
    make_record,
    media_part,
    model_part,
    moment_part,
)
from forensics.report.pictures import MomentPicture
from forensics.report.record import ClockPart, DetectorPart, Record
from forensics.verdict import FACES, PICTURES, Decision, decide, top_track

PREFETCH_BYTES = 48 << 20
SCORE_BATCH = 16
# Crops are kept for the most suspicious tracks only: a crowd must not fill the memory.
TRACKS_WITH_CROPS = 12
MOMENTS_SHOWN = 6
# "Mild" for a face on the web: platforms re-encode at about this quality.
STABILITY_JPEG_QUALITY = 70


@dataclass(frozen=True)
class ScanResult:
    """The record of one input, and what is not part of its JSON.

    pictures: what the page shows. top_logits: calibrated logit per opinion of the track with the highest primary
    one, unrounded, whatever the number of tracks (empty without a track); calibration reads these. logs: every track with
    its unrounded logits.
    breakdown: what ended decoding early, where the record rests on what came before.
    """

    record: Record
    pictures: list[MomentPicture]
    top_logits: dict[str, float]
    logs: tuple[TrackLog, ...] = ()
    breakdown: MediaError | None = None


@dataclass(frozen=True, eq=False)
class _Found:
    """A face on its way to the detectors; or a picture as a whole, by its tiles.

    crop_px: side of the face's crop, the shorter side of a picture.
    """

    track: int
    timestamp_s: float
    observation: Observation
    crop_px: int
    subjects: tuple[Subject, ...]


class Scanner:
    """Holds what is loaded once: weights, face detector, decoding child. Use as a context manager."""

    def __init__(self, config: ScanConfig) -> None:
        self.config = config = config.with_files_attached()
        if config.threads:
            torch.set_num_threads(config.threads)
        self.device = resolve_device(config.device)
        self.scripts = [ScriptDetector(Path(name), config.timeout) for name in config.detector if name.endswith(".py")]
        limits = MediaLimits(config.max_pixels, config.timeout, int(config.max_memory_gb * (1 << 30)))
        self.reader = MediaReader(limits, config.threads)
        self.reader.warm_up()
        try:
            self.model_set, self._folder = load_model_set(config.weights)
            names = [name for name in config.detector if not name.endswith(".py")]
            self.is_whole = config.view == "whole"
            engine = resolve_engine(config.engine, config.precision, self.device.type)
            self.bank = DetectorBank(names, self.model_set, self._folder, self.device, self.is_whole, engine)
            self.domain = self.model_set.domain_of(self.is_whole)
            self.faces = (
                load_face_detector(config.face_detector, config.face_model, self.device)
                if names and config.view == "scene"
                else None
            )
            # What decides a record beside the file, and with it the keys under which it may be reused.
            self.options = config.analysis_options()
            self.options_sha256 = options_hash(self.options)
            self.weights_sha256 = sha256_of_file(self._folder / DESCRIPTION)
            self.peer_sha256 = file_hashes(names)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that this holds."""
        self.reader.close()
        for script in self.scripts:
            script.close()

    def scan(
        self,
        path: Path,
        shown_path: str | None = None,
        on_sample: Callable[[int], None] = lambda _count: None,
        explain: bool = True,
        sha256: str | None = None,
    ) -> ScanResult:
        """Analyse one file. Never raises for what the file is or does: that is its outcome.

        `on_sample` is told of each analysed frame; `explain` = False leaves out the pictures and heatmaps of its moments;
        `sha256` is the file's, where the caller has just computed it.
        """
        found = Findings(path, shown_path or str(path), sha256 or hash_or_none(path))
        return _Run(self, found).result(on_sample, explain)


class _Run:
    """One file on its way through the pipeline."""

    def __init__(self, scanner: Scanner, found: Findings) -> None:
        self._scanner, self._config, self._bank, self._found = scanner, scanner.config, scanner.bank, found
        self._started, self._t0 = datetime.now(UTC), time.monotonic()
        self._stages: dict[str, float] = defaultdict(float)
        self._aggregations: dict[str, Aggregation] = {}
        # What ranks crops and tracks while no verdict is there yet.
        self._first = self._bank.primary or next((opinion.name for opinion in self._bank.opinions), "")

    def result(self, on_sample: Callable[[int], None], explain: bool) -> ScanResult:
        found, pictures = self._found, []
        try:
            if self._bank.opinions:
                self._follow_and_score(on_sample)
                with self._stage("verdict"):
                    found.decision = self._decide()
                with self._stage("explain"):
                    pictures = self._show_moments(explain)
            found.whole_file = [self._ask(script) for script in self._scanner.scripts]
        except MediaError as error:
            found.error = error
        scanner = self._scanner
        hashes = scanner.weights_sha256, scanner.peer_sha256
        model = model_part(scanner.model_set, *hashes) if self._bank.opinions else None
        domain, device = scanner.domain, str(scanner.device)
        record = make_record(found, self._config, scanner.options, self._bank, model, domain, device, self._clock())
        logs = tuple(log for _, log in sorted(found.tracks.items()))
        return ScanResult(record, pictures, self._top_logits(), logs, found.breakdown)

    def _follow_and_score(self, on_sample: Callable[[int], None]) -> None:
        """Fill the tracks sample by sample; nothing but scores and a few crops outlives a window of frames.

        A file that breaks down on the way is judged by what came before, and its record says so. Raises MediaError where
        nothing came.
        """
        sampling = Sampling(self._config.sample_fps, self._config.max_frames)
        with self._scanner.reader.open(self._found.path, sampling) as stream:
            self._aggregations = self._bank.aggregations(is_clip=stream.info.kind == "video")
            samples = prefetch(stream, PREFETCH_BYTES // max(1, stream.info.width * stream.info.height * 3))
            pending: list[_Found] = []
            analysed = 0
            try:
                for faces in self._timed("decode and faces", self._faces(samples, stream.info.kind == "image")):
                    analysed += 1
                    on_sample(1)
                    pending += faces
                    if sum(len(found.subjects) for found in pending) >= SCORE_BATCH:
                        self._score(pending)
                        pending = []
            except MediaError as error:
                if analysed == 0:
                    raise
                self._found.breakdown = error
            self._score(pending)
            reason = self._found.breakdown.message if self._found.breakdown else ""
            self._found.media = media_part(stream, self._found.path, analysed, reason)

    def _faces(self, samples: Iterator[Sample], is_still: bool) -> Iterator[list[_Found]]:
        """The faces of each sample, with their tracks and crops; or each sample as one face, or as a whole."""
        detector = self._scanner.faces
        if detector is None:
            for sample in samples:
                yield _as_whole(sample) if self._scanner.is_whole else [_as_face(sample)]
            return
        tracker = Tracker()
        for frame in _still_faces(samples, detector) if is_still else follow_faces(samples, detector):
            faces = []
            for track, observation in zip(tracker.update(frame), frame.observations, strict=True):
                try:
                    crop = crop_face(frame.sample.pixels, observation.face.landmarks)
                    surroundings = crop_surroundings(frame.sample.pixels, observation.face.landmarks)
                except ValueError:  # mostly outside the frame, or a handful of pixels: not a face to score
                    continue
                subjects = (Subject(crop, surroundings),)
                faces.append(_Found(track, frame.sample.timestamp_s, observation, crop.shape[0], subjects))
            yield faces

    def _score(self, pending: Sequence[_Found]) -> None:
        """Score what was found; what has several subjects has the mean of their logits."""
        if not pending:
            return
        with self._stage("detectors"):
            logits = self._logits([subject for found in pending for subject in found.subjects])
        tracks = self._found.tracks
        end = 0
        for found in pending:
            start, end = end, end + len(found.subjects)
            # Calibrations are linear in logits: the mean of fused logits is the fusion of mean logits.
            means = {name: float(values[start:end].mean()) for name, values in logits.items()}
            order = np.argsort(-logits[self._first][start:end], kind="stable")
            kept = KeptSample(means[self._first], found.timestamp_s, tuple(found.subjects[i] for i in order))
            sharp = float(np.median([sharpness(subject.crop) for subject in found.subjects]))
            log = tracks.setdefault(found.track, TrackLog(found.track, self._aggregations))
            log.add(found.timestamp_s, found.observation, found.crop_px, means, sharp, kept)
        for log in sorted(tracks.values(), key=lambda log: -log.logit(self._first))[TRACKS_WITH_CROPS:]:
            log.kept = []

    def _logits(self, subjects: Sequence[Subject]) -> dict[str, NDArray[np.float64]]:
        return randomised_logits(self._bank, subjects, self._config.randomised)

    def _decide(self) -> Decision | None:
        """The decision on the primary opinion; None where no calibrated detector was asked for."""
        primary, point = self._bank.primary, self._bank.operating_point
        if primary is None or point is None:
            return None
        domain, tracks = self._scanner.domain, self._found.tracks
        is_video = self._found.media is not None and self._found.media.kind == "video"
        scores = {log.id: log.score(primary) for log in tracks.values()}
        top = top_track(list(scores.values()), domain, is_video)
        if self._config.stability and top is not None and (kept := tracks[top.id].kept):
            before = float(np.mean([sample.logit for sample in kept]))
            scores[top.id] = tracks[top.id].score(primary, self._reencoded_logit(kept, primary), before)
        wording = PICTURES if self._scanner.is_whole else FACES
        return decide(list(scores.values()), is_video, domain, point, self._config.prior, wording)

    def _reencoded_logit(self, kept: Sequence[KeptSample], name: str) -> float:
        """Mean logit of kept samples after mild compression of all that detectors see of them."""
        again = [_reencoded(subject) for sample in kept for subject in sample.subjects]
        ends = np.cumsum([len(sample.subjects) for sample in kept])
        per_sample = np.split(self._logits(again)[name], ends[:-1])
        return float(np.mean([logits.mean() for logits in per_sample]))

    def _show_moments(self, explain: bool) -> list[MomentPicture]:
        """Note the most suspicious samples: of the top track first, then the best of each other track.

        Returns their pictures with heatmaps where these are asked for: the record is the same either way.
        """
        decision, tracks = self._found.decision, self._found.tracks
        top = tracks.get(decision.top_track or 0) if decision else None
        chosen = [(top.id, kept) for kept in top.kept] if top else []
        others = [(log.id, log.kept[0]) for log in tracks.values() if log.kept and log is not top]
        chosen = (chosen + sorted(others, key=lambda entry: -entry[1].logit))[:MOMENTS_SHOWN]
        self._found.moments = [moment_part(*entry) for entry in chosen]
        if not explain:
            return []
        heatmaps = self._bank.explain([kept.subjects[0] for _, kept in chosen])
        return [
            MomentPicture(track, kept.timestamp_s, kept.shown, heatmap)
            for (track, kept), heatmap in zip(chosen, heatmaps, strict=True)
        ]

    def _ask(self, script: ScriptDetector) -> DetectorPart:
        score: float | None = None
        problem: str | None = None
        try:
            with self._stage(script.name):
                score = script.predict(self._found.path)
        except DetectorError as error:
            problem = error.message
        return DetectorPart(
            name=script.name,
            score=score,
            is_calibrated=False,
            weight=None,
            description=script.description,
            error=problem,
        )

    def _top_logits(self) -> dict[str, float]:
        tracks = self._found.tracks.values()
        if not tracks or self._found.error is not None:
            return {}
        top = max(tracks, key=lambda log: log.logit(self._first))
        return {name: top.logit(name) for name in top.logits}

    def _clock(self) -> ClockPart:
        return ClockPart(
            started_utc=self._started.isoformat(timespec="seconds"),
            finished_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            wall_s=round(time.monotonic() - self._t0, 3),
            stages_s={name: round(seconds, 3) for name, seconds in self._stages.items()},
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._stages[name] += time.monotonic() - started

    def _timed(self, name: str, items: Iterator[list[_Found]]) -> Iterator[list[_Found]]:
        while True:
            with self._stage(name):
                item = next(items, None)
            if item is None:
                return
            yield item


def _still_faces(samples: Iterator[Sample], detector: FaceDetector) -> Iterator[FrameFaces]:
    for sample in samples:
        faces = detect_in_stills(detector, [sample.pixels])[0]
        sure = tuple(Observation(face, "detected") for face in faces if face.confidence >= detector.min_confidence)
        yield FrameFaces(sample, sure, is_after_cut=False)


def _as_face(sample: Sample) -> _Found:
    """A picture that is a face crop already: its surroundings are itself."""
    crop = middle_square(sample.pixels)
    return _Found(1, sample.timestamp_s, _given(sample), crop.shape[0], (Subject(crop, reduce_surroundings(crop)),))


def _as_whole(sample: Sample) -> list[_Found]:
    """A picture that is judged by its tiles; nothing where it is too small."""
    shorter_px = min(sample.pixels.shape[:2])
    if shorter_px < MIN_PICTURE_PX:
        return []
    tiles = tuple(Subject.of_crop(tile) for tile in spread_tiles(sample.pixels))
    return [_Found(1, sample.timestamp_s, _given(sample), shorter_px, tiles)]


def _reencoded(subject: Subject) -> Subject:
    return subject.changed(lambda picture: jpeg(picture, STABILITY_JPEG_QUALITY))


def _given(sample: Sample) -> Observation:
    """The picture itself, where no face is looked for."""
    height, width = sample.pixels.shape[:2]
    box = np.array([0, 0, width, height], np.float32)
    return Observation(Face(box, np.zeros((5, 2), np.float32), 1.0), "given")
