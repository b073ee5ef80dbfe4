"""Many inputs, one after the other: reuse what is known, scan the rest, write each result as soon as it is there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from forensics import __version__
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.environment import describe_environment
from forensics.inputs import Input, Unusable
from forensics.recording import hash_or_none
from forensics.report.html import IndexEntry, render_index, render_page
from forensics.report.record import ClockPart, InputPart, Record
from forensics.report.store import OutputFolder, record_key
from forensics.report.summary import csv_text
from forensics.scan import Scanner, ScanResult

CSV_FILE = "scan.csv"
INDEX_FILE = "index.html"


@dataclass(frozen=True)
class Finished:
    """An input's record, the stem of its files in the output folder, and whether it was analysed in an earlier run."""

    record: Record
    stem: str | None = None
    is_reused: bool = False


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
    with Scanner(config) as scanner, progress.task("scanning", len(inputs)) as bar:
        for finished in _finish_each(config, inputs, scanner, folder, progress, bar.describe):
            bar(1)
            done.append(finished)
            on_record(finished.record)
    if folder is not None and _wants(config, "csv"):
        folder.write(CSV_FILE, csv_text([finished.record for finished in done]))
    if folder is not None and _wants(config, "html"):
        folder.write(INDEX_FILE, render_index([IndexEntry(one.record, f"{one.stem}.html") for one in done]))
    return done


def _finish_each(
    config: ScanConfig,
    inputs: Sequence[Input | Unusable],
    scanner: Scanner,
    folder: OutputFolder | None,
    progress: Progress,
    describe: Callable[[str], None],
) -> Iterator[Finished]:
    for entry in inputs:
        describe(entry.shown)
        digest = hash_or_none(entry.path) if isinstance(entry, Input) else None
        key = _key(entry, digest, scanner) if folder and digest else None
        companions = (".html",) if _wants(config, "html") else ()
        if folder and key and config.resume and not config.force:
            stored = folder.stored(key, companions)
            if stored is not None:
                progress.say(f"{entry.shown}: unchanged, its record is reused (--force analyses again)")
                yield Finished(stored, folder.stem_of(key), is_reused=True)
                continue
        result = _scan(entry, digest, scanner, config, describe)
        if config.verbose:
            for line in _details(result.record):
                progress.say(line)
        yield Finished(result.record, _store(result, key, folder, config) if folder else None)


def _scan(
    entry: Input | Unusable, digest: str | None, scanner: Scanner, config: ScanConfig, describe: Callable[[str], None]
) -> ScanResult:
    if isinstance(entry, Unusable):
        return ScanResult(_unusable_record(entry, scanner), [], {})
    frames = 0

    def on_sample(count: int) -> None:
        nonlocal frames
        frames += count
        describe(f"{entry.path.name[:20]} · {frames} frames")

    return scanner.scan(entry.path, entry.shown, on_sample, explain=_wants(config, "html"), sha256=digest)


def _store(result: ScanResult, key: str | None, folder: OutputFolder, config: ScanConfig) -> str:
    stem = folder.new_stem(result.record.input)
    folder.write(f"{stem}.json", result.record.to_json() + "\n")
    if _wants(config, "html"):
        folder.write(f"{stem}.html", render_page(result.record, result.pictures))
    # What could not be analysed is tried again next time: the cause may lie outside the file.
    if key and result.record.outcome.analysed:
        folder.remember(key, stem)
    return stem


def _key(entry: Input | Unusable, digest: str, scanner: Scanner) -> str:
    return record_key(digest, entry.shown, scanner.options_sha256, scanner.weights_sha256, __version__)


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
