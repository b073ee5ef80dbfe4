"""Scores of labelled items by several detectors at once, through the very path that `forensics scan` takes.

Every item is decoded and searched for faces once, for all detectors that have no score of it yet. Several scanners work
beside each other, so that one decodes while another computes. A detector that fails on an item costs only its own score.

A clip's score is that of its most suspicious track, per detector, less what the number of faces takes off, as in a scan.
Where no track has enough samples for a verdict, the best of the short ones counts: abstaining is the verdict's business.

Items are judged as their view says, or all of them as a whole (`whole_image`): the two never meet in one row of results,
since each has a fusion, calibrations and thresholds of its own.
"""

import queue
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from eval.config import UNSHIPPED_THRESHOLD, ScoringConfig, View
from eval.score_cache import ItemScore, ScoreCache, TrackScore
from forensics import __version__
from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_text
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.progress import Bar, Progress
from forensics.config import ScanConfig, options_hash
from forensics.detectors.bank import DetectorBank
from forensics.detectors.devices import resolve_device
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.model_set import DEFAULT_DETECTOR, FUSIONS, Domain, ModelSet, load_model_set
from forensics.detectors.peer_weights import shown_name as bank_name
from forensics.detectors.protocol import sigmoid
from forensics.detectors.script import ScriptDetector
from forensics.media.reader import MediaReader
from forensics.recording import TrackLog, hash_or_none
from forensics.scan import Scanner, ScanResult
from forensics.verdict import TrackScore as VerdictTrack
from forensics.verdict import track_outcome, weigh


class Variant(Protocol):
    """A changed copy of each item that is scored in its place."""

    @property
    def key(self) -> str:
        """What, beside the original's hash, the copy depends on."""
        ...

    def make(self, original: Path, sha256: str, reader: MediaReader, folder: Path) -> Path:
        """Write the copy into a folder of its own. Raises MediaError where the original cannot be decoded."""
        ...


@dataclass(frozen=True)
class _Job:
    """A file, the detectors that it still needs, and the places of its items."""

    path: Path
    sha256: str | None
    view: View
    specs: tuple[str, ...]
    places: tuple[int, ...]


class Scorer:
    """Scores items with the detectors of a configuration, through a cache if there is one.

    `force` scores again what the cache holds. Raises UsageError for unknown or equally named detectors, WeightsError for
    weights that do not fit.
    """

    def __init__(
        self, config: ScoringConfig, cache: ScoreCache | None, progress: Progress, force: bool = False
    ) -> None:
        self._config, self._cache, self._progress, self._force = config, cache, progress, force
        self._known_hashes: dict[tuple[Path, int, int], str | None] = {}
        self.model_set, self.folder = load_model_set(config.folder)
        self._specs = config.specs
        self.detectors = tuple(shown_name(spec) for spec in self._specs)
        twice = sorted({name for name in self.detectors if self.detectors.count(name) > 1})
        if twice:
            raise UsageError(f"two detectors are called {twice[0]}", "rename one of the files")
        self.fingerprints = {
            shown_name(spec): detector_fingerprint(spec, self.model_set, self.folder) for spec in self._specs
        }
        device = resolve_device(config.device)
        self._device = str(device)
        views: tuple[View, ...] = ("whole",) if config.whole_image else ("face", "scene")
        self._options_hashes = {
            view: options_hash(config.scan_config((DEFAULT_DETECTOR,), view).analysis_options()) for view in views
        }
        whole = config.whole_image
        found = {shown_name(spec): threshold_of(spec, self.model_set, whole) for spec in self._specs}
        self.thresholds = {name: threshold for name, (threshold, _) in found.items()}
        self.threshold_origins = {name: origin for name, (_, origin) in found.items()}
        # Complains now about what is wrong with a detector, not after the first thousand items.
        of_crops = [spec for spec in self._specs if not spec.endswith(".py")]
        bank = DetectorBank(of_crops, self.model_set, self.folder, device, whole)
        scripts = [ScriptDetector(Path(spec), config.timeout) for spec in self._specs if spec.endswith(".py")]
        shown = {opinion.name: opinion.description for opinion in bank.opinions}
        shown |= {script.name: script.description for script in scripts}
        self.descriptions = {name: shown[name] for name in self.detectors}

    def score(
        self, items: Sequence[Item], task: str = "scoring", variant: Variant | None = None
    ) -> dict[str, list[ItemScore]]:
        """What each detector says of each item, in the items' order; of a changed copy where a `variant` makes one.

        Nothing about an item raises: it is its outcome. Raises UsageError for an item of view `whole` where detectors judge
        faces.
        """
        found: dict[tuple[int, str], ItemScore] = {}
        jobs = self._jobs(items, variant, found)
        total = len(items) * len(self._specs)
        if found:
            self._progress.say(f"{task}: {len(found)} of {total} scores are known from earlier")
        if jobs:
            with self._progress.task(task, len(jobs)) as bar:
                for job, spec, score in self._run(jobs, variant, bar):
                    if self._cache and job.sha256:
                        self._cache.put(self._key(spec, job.sha256, job.view, variant), score)
                    for place in job.places:
                        found[place, spec] = score
        return {shown_name(spec): [found[place, spec] for place in range(len(items))] for spec in self._specs}

    def hashes(self, items: Sequence[Item]) -> list[str]:
        """SHA-256 of each item's file, empty where it cannot be read."""
        return [sha256 or "" for sha256 in self._hashes(items)]

    def _hashes(self, items: Sequence[Item]) -> list[str | None]:
        with ThreadPoolExecutor(self._config.worker_count) as pool:
            return list(pool.map(lambda item: self._hash(item.path), items))

    def _hash(self, path: Path) -> str | None:
        """Read once as long as size and time of change stay: the same items are scored under many conditions."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        key = path, status.st_size, status.st_mtime_ns
        if key not in self._known_hashes:
            self._known_hashes[key] = hash_or_none(path)
        return self._known_hashes[key]

    def _key(self, spec: str, sha256: str, view: View, variant: Variant | None) -> str:
        name, changed = shown_name(spec), variant.key if variant else ""
        parts = [sha256, name, self.fingerprints[name], self._options_hashes[view], self._device, changed, __version__]
        return sha256_of_text("\n".join(parts))

    def _jobs(
        self, items: Sequence[Item], variant: Variant | None, found: dict[tuple[int, str], ItemScore]
    ) -> list[_Job]:
        """What is left to do; known scores go to `found`."""
        lacking: dict[tuple[Path, str | None, View, tuple[str, ...]], list[int]] = defaultdict(list)
        for place, (item, sha256) in enumerate(zip(items, self._hashes(items), strict=True)):
            view = self._view(item)
            specs = []
            for spec in self._specs:
                known = None
                if self._cache and sha256 and not self._force:
                    known = self._cache.get(self._key(spec, sha256, view, variant))
                if known is None:
                    specs.append(spec)
                else:
                    found[place, spec] = known
            for together in _apart(specs):
                lacking[item.path, sha256, view, together].append(place)
        return [_Job(*key, tuple(places)) for key, places in lacking.items()]

    def _view(self, item: Item) -> View:
        if self._config.whole_image:
            return "whole"
        if item.view == "whole":
            raise UsageError(
                f"{item.path.name} is to be judged as a whole, by its view in the manifest",
                "--whole-image judges all items so; leave such items out otherwise",
            )
        return "face" if item.view == "face" else "scene"

    def _run(self, jobs: Sequence[_Job], variant: Variant | None, bar: Bar) -> Iterator[tuple[_Job, str, ItemScore]]:
        """Scores as they are made. Where one of several detectors fails, each of them is asked again alone."""
        groups: dict[tuple[View, tuple[str, ...]], list[_Job]] = defaultdict(list)
        for job in jobs:
            groups[job.view, job.specs].append(job)
        again: list[_Job] = []
        for (view, specs), group in groups.items():
            for job, result in self._scan_all(group, self._config.scan_config(specs, view), variant):
                if isinstance(result, MediaError):
                    scores = [ItemScore(result.outcome, message=result.message)] * len(specs)
                elif result.record.outcome is Outcome.DETECTOR_ERROR and len(specs) > 1:
                    again += [replace(job, specs=(spec,)) for spec in specs]
                    continue
                else:
                    scores = [item_score(result, shown_name(spec), self.model_set) for spec in specs]
                    if variant is not None:  # only scores are compared: tracks of every condition would fill the memory
                        scores = [replace(score, tracks=()) for score in scores]
                bar(1)
                yield from ((job, spec, score) for spec, score in zip(specs, scores, strict=True))
        if again:
            yield from self._run(again, variant, Bar())

    def _scan_all(
        self, jobs: Sequence[_Job], config: ScanConfig, variant: Variant | None
    ) -> Iterator[tuple[_Job, ScanResult | MediaError]]:
        """Scan files beside each other; results come in the order in which they are finished."""
        n = min(self._config.worker_count, len(jobs))
        with ExitStack() as stack:
            idle: queue.SimpleQueue[Scanner] = queue.SimpleQueue()
            for _ in range(n):
                idle.put(stack.enter_context(Scanner(config)))

            def work(job: _Job) -> tuple[_Job, ScanResult | MediaError]:
                scanner = idle.get()
                try:
                    return job, _scan(scanner, job, variant)
                finally:
                    idle.put(scanner)

            pool = ThreadPoolExecutor(n)
            try:
                for future in as_completed([pool.submit(work, job) for job in jobs]):
                    yield future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _scan(scanner: Scanner, job: _Job, variant: Variant | None) -> ScanResult | MediaError:
    if variant is None or job.sha256 is None:
        return scanner.scan(job.path, explain=False, sha256=job.sha256)
    with TemporaryDirectory(prefix="forensics-") as folder:
        try:
            copy = variant.make(job.path, job.sha256, scanner.reader, Path(folder))
        except MediaError as error:
            return error
        return scanner.scan(copy, explain=False)


def item_score(result: ScanResult, name: str, model_set: ModelSet) -> ItemScore:
    """One detector's part of a scan."""
    record = result.record
    is_clip = record.media is not None and record.media.kind == "video"
    is_whole = record.input.view == "whole"
    domain = model_set.domain_of(is_whole)
    for part in record.detectors:
        if part.name == name and not result.logs and (part.score is not None or part.error is not None):
            # A FILE.py judges the file as a whole.
            outcome = Outcome.SCORED if part.score is not None else Outcome.DETECTOR_ERROR
            return ItemScore(outcome, part.score, message=part.error or "")
    if result.breakdown is not None and result.breakdown.outcome is Outcome.LIMIT_EXCEEDED:
        # A score of what the time or memory sufficed for would depend on the machine and its load.
        return ItemScore(Outcome.LIMIT_EXCEEDED, is_clip=is_clip, message=result.breakdown.message)
    if not record.outcome.analysed:
        return ItemScore(record.outcome, is_clip=is_clip, message=record.message)
    if not result.logs:
        outcome = Outcome.TOO_SMALL if is_whole else Outcome.NO_FACE
        return ItemScore(outcome, is_clip=is_clip, message=record.message or "no face was found")
    scores = [log.score(name) for log in result.logs]
    found = weigh(scores, domain, is_clip) or weigh(scores, domain, is_video=False)
    if found is None:
        small = "the picture" if is_whole else "every face"
        return ItemScore(Outcome.TOO_SMALL, is_clip=is_clip, message=f"{small} is smaller than the validated range")
    judged = [log for log, score in zip(result.logs, scores, strict=True) if _is_large(score, domain)]
    return ItemScore(
        Outcome.SCORED,
        score=_probability(found.logit),
        is_clip=is_clip,
        track=found.track.id if is_clip else None,
        tracks=tuple(_track(log, name) for log in judged) if is_clip else (),
        verdict=record.verdict.label if record.verdict and name in FUSIONS else None,
        is_partial=record.media is not None and not record.media.is_complete,
    )


def shown_name(spec: str) -> str:
    """What tables call a detector: FILE.py by its stem, others as scans do."""
    return Path(spec).stem if spec.endswith(".py") else bank_name(spec)


def threshold_of(spec: str, model_set: ModelSet, whole: bool = False) -> tuple[float, str]:
    """Where a detector calls an input fake, and where that threshold comes from.

    spec: as on the command line; a FILE.py ships no threshold, even where it is called as a built-in detector is. whole:
    pictures are judged as a whole, for which only the fusion has a threshold.
    """
    point = model_set.operating_points.get(spec) if not whole or spec in FUSIONS else None
    if point is None:
        return UNSHIPPED_THRESHOLD, "even odds: the detector ships no threshold"
    return point.threshold_fake, "shipped: `likely fake`, fixed on dev data"


def _apart(specs: Sequence[str]) -> list[tuple[str, ...]]:
    """Detectors that are asked together: those of crops in one scan (the fusion first), each FILE.py alone."""
    of_crops = sorted((spec for spec in specs if not spec.endswith(".py")), key=lambda spec: spec not in FUSIONS)
    return [*([tuple(of_crops)] if of_crops else []), *((spec,) for spec in specs if spec.endswith(".py"))]


def _is_large(score: VerdictTrack, domain: Domain) -> bool:
    return track_outcome(score, domain) is Outcome.SCORED


def _track(log: TrackLog, name: str) -> TrackScore:
    frames = zip(log.samples, log.logits[name], strict=True)
    return TrackScore(
        log.id,
        _probability(log.logit(name)),
        tuple((sample.timestamp_s, _probability(logit)) for sample, logit in frames),
    )


def _probability(logit: float) -> float:
    return float(sigmoid(np.array(logit)))
