"""Many inputs, one after the other: reuse what is known, scan the rest, write each result as soon as it is there."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from forensics import __version__
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.environment import describe_environment
from forensics.evidence_recording import with_evidence
from forensics.inputs import Input, Unusable
from forensics.inspection import Inspector, analyses_version
from forensics.recording import hash_or_none
from forensics.report.findings import map_files
from forensics.report.html import IndexEntry, render_index, render_page
from forensics.report.manifest import SUFFIX, is_intact, write_report, write_with_manifest
from forensics.report.record import ClockPart, InputPart, Record
from forensics.report.store import OutputFolder, record_key
from forensics.report.summary import csv_text
from forensics.scan import Scanner, ScanResult

CSV_FILE = "scan.csv"
INDEX_FILE = "index.html"


@dataclass(frozen=True)
class Finished:
    """An input's record, the stem of its files in the output folder, the SHA-256 of their manifest where there is one
    (--evidence), and whether it was analysed in an earlier run.
    """

    record: Record
    stem: str | None = None
    manifest_sha256: str | None = None
    is_reused: bool = False


@dataclass(frozen=True)
class _Scanned:
    """What a scan found, with the record that is written; maps: those of its findings, PNG by file name."""

    result: ScanResult
    record: Record
    maps: dict[str, bytes] = field(default_factory=dict)


def run_batch(
    config: ScanConfig,
    inputs: Sequence[Input | Unusable],
    progress: Progress,
    on_record: Callable[[Record], None] = lambda _record: None,
) -> list[Finished]:
    """All inputs in their order; `on_record` gets each record as soon as it is finished.

    Errors of one input are its outcome. Raises ForensicsError only for what concerns all of them: options, weights, the
    output folder.
    """
    folder = OutputFolder(config.output, config.overwrite) if config.output else None
    if folder is not None:
        folder.check([name for name, part in ((CSV_FILE, "csv"), (INDEX_FILE, "html")) if _wants(config, part)])
    done: list[Finished] = []
    with (
        Scanner(config) as scanner,
        _inspector(config) as inspector,
        progress.task("scanning", len(inputs)) as bar,
    ):
        batch = _Batch(config, scanner, inspector, folder, progress, bar.describe)
        for entry in inputs:
            finished = batch.finish(entry)
            bar(1)
            done.append(finished)
            on_record(finished.record)
    if folder is not None and _wants(config, "csv"):
        folder.write(CSV_FILE, csv_text([finished.record for finished in done]))
    if folder is not None and _wants(config, "html"):
        folder.write(INDEX_FILE, render_index([IndexEntry(one.record, f"{one.stem}.html") for one in done]))
    return done


def _inspector(config: ScanConfig) -> AbstractContextManager[Inspector | None]:
    return Inspector(config.inspection()) if config.evidence else nullcontext(None)


@dataclass(frozen=True, eq=False)
class _Batch:
    """What all inputs of one call share."""

    config: ScanConfig
    scanner: Scanner
    inspector: Inspector | None
    folder: OutputFolder | None
    progress: Progress
    describe: Callable[[str], None]

    def finish(self, entry: Input | Unusable) -> Finished:
        """One input: its stored record, or a new one, written."""
        self.describe(entry.shown)
        digest = hash_or_none(entry.path) if isinstance(entry, Input) else None
        key = _key(entry, digest, self.scanner) if self.folder and digest else None
        if key and (reused := self._reused(key, entry.shown)) is not None:
            return reused
        result = self._scan(entry, digest)
        stem = self.folder.new_stem(result.record.input) if self.folder else None
        scanned = self._inspected(entry, digest, result, stem or "input")
        if self.config.verbose:
            for line in _details(scanned.record):
                self.progress.say(line)
        if stem is None or self.folder is None:
            return Finished(scanned.record)
        return Finished(scanned.record, stem, self._store(scanned, key, stem, self.folder))

    def _reused(self, key: str, shown: str) -> Finished | None:
        folder, config = self.folder, self.config
        if folder is None or not config.resume or config.force:
            return None
        endings = (".json", ".html") if _wants(config, "html") else (".json",)

        def is_whole(stem: str, record: Record) -> bool:
            names = [*(f"{stem}{ending}" for ending in endings), *_maps_of(record)]
            if config.evidence:
                return is_intact(folder, stem, names)
            return all((folder.folder / name).is_file() for name in names)

        stored = folder.stored(Record, key, is_whole)
        if stored is None:
            return None
        stem = folder.stem_of(key)
        self.progress.say(f"{shown}: unchanged, its record is reused (--force analyses again)")
        manifest = hash_or_none(folder.folder / f"{stem}{SUFFIX}") if config.evidence else None
        return Finished(stored, stem, manifest, is_reused=True)

    def _scan(self, entry: Input | Unusable, digest: str | None) -> ScanResult:
        if isinstance(entry, Unusable):
            return ScanResult(_unusable_record(entry, self.scanner), [], {})
        frames = 0

        def on_sample(count: int) -> None:
            nonlocal frames
            frames += count
            self.describe(f"{entry.path.name[:20]} · {frames} frames")

        explain = _wants(self.config, "html")
        return self.scanner.scan(entry.path, entry.shown, on_sample, explain=explain, sha256=digest)

    def _inspected(self, entry: Input | Unusable, digest: str | None, result: ScanResult, stem: str) -> _Scanned:
        """With what the classical analyses find, where they are asked for."""
        if self.inspector is None or isinstance(entry, Unusable):
            return _Scanned(result, result.record)
        found = self.inspector.inspect(entry.path, entry.shown, stem, self.describe, digest)
        return _Scanned(result, with_evidence(result.record, found.record), found.pictures)

    def _store(self, scanned: _Scanned, key: str | None, stem: str, folder: OutputFolder) -> str | None:
        """Write all files of an input; returns the SHA-256 of their manifest, where there is one."""
        record = scanned.record
        contents: dict[str, str | bytes] = {**scanned.maps, f"{stem}.json": record.to_json() + "\n"}
        if _wants(self.config, "html"):
            contents[f"{stem}.html"] = render_page(record, scanned.result.pictures, scanned.maps)
        manifest = None
        if self.config.evidence:
            manifest = write_with_manifest(folder, stem, record.input, contents)
        else:
            write_report(folder, stem, contents)
        # What could not be analysed is tried again next time: the cause may lie outside the file.
        if key and record.outcome.analysed and not (record.evidence and record.evidence.message):
            folder.remember(key, stem)
        return manifest


def _maps_of(record: Record) -> list[str]:
    return map_files(record.evidence.findings) if record.evidence else []


def _key(entry: Input | Unusable, digest: str, scanner: Scanner) -> str:
    known = scanner.weights_sha256 + (analyses_version() if scanner.config.evidence else "")
    return record_key(digest, entry.shown, scanner.options_sha256, known, __version__)


def _wants(config: ScanConfig, name: str) -> bool:
    """With --output, all formats are written unless some are named (the JSON record always is)."""
    chosen = [part for part in config.format if part != "table"]
    return config.output is not None and (not chosen or name in chosen)


def _unusable_record(entry: Unusable, scanner: Scanner) -> Record:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    shown, view = entry.shown, scanner.config.view
    return Record(
        input=InputPart(name=shown, path=shown, size_bytes=None, sha256=None, sha256_after=None, view=view),
        outcome=Outcome.UNREADABLE,
        message=entry.message,
        hint=entry.hint,
        media=None,
        verdict=None,
        detectors=[],
        tracks=[],
        moments=[],
        model=None,
        environment=describe_environment(str(scanner.device)),
        configuration=scanner.options,
        configuration_sha256=scanner.options_sha256,
        clock=ClockPart(started_utc=now, finished_utc=now, wall_s=0.0, stages_s={}),
    )


def _details(record: Record) -> list[str]:
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in record.clock.stages_s.items())
    lines = [f"{record.input.name}: {stages}"] if stages else []
    if record.media is not None:
        found = [sample.found_by for track in record.tracks for sample in track.samples]
        lines.append(
            f"{record.input.name}: {record.media.frames_decoded} frames decoded, {record.media.frames_analysed} analysed; "
            f"faces: {found.count('detected')} detected, {found.count('tracked')} tracked"
        )
        lines += [f"{record.input.name}: decoder: {line}" for line in record.media.errors]
    return lines
