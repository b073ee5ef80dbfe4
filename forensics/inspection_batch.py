"""Many inputs, one after the other: reuse what is known, inspect the rest, write each record, page and map as it is
there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from forensics import __version__
from forensics.common.errors import MediaError
from forensics.common.progress import Progress
from forensics.config import InspectConfig
from forensics.evidence_recording import make_evidence_record
from forensics.inputs import Input, Unusable
from forensics.inspection import InspectionResult, Inspector, analyses_version
from forensics.recording import hash_or_none
from forensics.report.evidence import EvidenceRecord
from forensics.report.evidence_page import render_evidence
from forensics.report.findings import map_files
from forensics.report.manifest import SUFFIX, is_intact, write_with_manifest
from forensics.report.printing import print_to_pdf
from forensics.report.record import ClockPart
from forensics.report.store import OutputFolder, record_key

# A scan of the same file into the same folder keeps its own record.
ENDING = "-inspection"


@dataclass(frozen=True)
class Inspected:
    """An input's record, the stem of its files, its manifest's SHA-256, and whether it was inspected in an earlier run."""

    record: EvidenceRecord
    stem: str | None = None
    manifest_sha256: str | None = None
    is_reused: bool = False


def inspect_batch(
    config: InspectConfig,
    inputs: Sequence[Input | Unusable],
    progress: Progress,
    on_record: Callable[[EvidenceRecord], None] = lambda _record: None,
) -> list[Inspected]:
    """All inputs in their order; `on_record` gets each record as soon as it is finished.

    Errors of one input are its outcome. Raises ForensicsError only for what concerns all of them: options, the output
    folder, a missing browser for --format pdf.
    """
    folder = OutputFolder(config.output, config.overwrite) if config.output else None
    done: list[Inspected] = []
    with Inspector(config) as inspector, progress.task("inspecting", len(inputs)) as bar:
        for entry in inputs:
            bar.describe(entry.shown)
            finished = _finish(entry, inspector, folder, config, progress, bar.describe)
            bar(1)
            done.append(finished)
            on_record(finished.record)
    return done


def _finish(
    entry: Input | Unusable,
    inspector: Inspector,
    folder: OutputFolder | None,
    config: InspectConfig,
    progress: Progress,
    describe: Callable[[str], None],
) -> Inspected:
    digest = hash_or_none(entry.path) if isinstance(entry, Input) else None
    key = _key(entry, digest, inspector) if folder and digest else None
    if folder and key and config.resume and not config.force:
        stored = folder.stored(
            EvidenceRecord,
            key,
            lambda stem, record: is_intact(
                folder, stem, [f"{stem}{ending}" for ending in (".json", *_pages(config))] + map_files(record.findings)
            ),
        )
        stem = folder.stem_of(key)
        if stored is not None and stem is not None:
            progress.say(f"{entry.shown}: unchanged, its record is reused (--force inspects again)")
            return Inspected(stored, stem, hash_or_none(folder.folder / f"{stem}{SUFFIX}"), is_reused=True)
    named = _Named(entry.path.name if isinstance(entry, Input) else entry.shown, entry.shown, digest)
    stem = folder.new_stem(named, ENDING) if folder else "input"
    result = (
        InspectionResult(_unusable(entry, inspector), {})
        if isinstance(entry, Unusable)
        else inspector.inspect(entry.path, entry.shown, stem, describe, digest)
    )
    if folder is None:
        return Inspected(result.record)
    manifest_sha256 = _store(result, stem, folder, config)
    if key and result.record.outcome == "inspected":
        folder.remember(key, stem)
    return Inspected(result.record, stem, manifest_sha256)


def _store(result: InspectionResult, stem: str, folder: OutputFolder, config: InspectConfig) -> str:
    """Write all files of an input, its manifest last; returns the manifest's SHA-256."""
    record = result.record
    contents: dict[str, str | bytes] = {**result.pictures, f"{stem}.json": record.to_json() + "\n"}
    if pages := _pages(config):
        page = render_evidence(record, result.pictures)
        if ".html" in pages:
            contents[f"{stem}.html"] = page
        if ".pdf" in pages:
            contents[f"{stem}.pdf"] = print_to_pdf(page)
    return write_with_manifest(folder, stem, record.input, contents)


@dataclass(frozen=True)
class _Named:
    name: str
    path: str
    sha256: str | None


def _key(entry: Input | Unusable, digest: str, inspector: Inspector) -> str:
    # A file that is inspected is the same file that is scanned: the kind keeps the two records apart.
    return record_key(digest, entry.shown, inspector.options_sha256, analyses_version(), __version__)


def _pages(config: InspectConfig) -> tuple[str, ...]:
    """With --output, the page is written unless other formats are named (record and manifest always are)."""
    chosen = [part for part in config.format if part != "table"]
    return tuple(f".{kind}" for kind in ("html", "pdf") if (kind == "html" and not chosen) or kind in chosen)


def _unusable(entry: Unusable, inspector: Inspector) -> EvidenceRecord:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return make_evidence_record(
        path=Path(entry.shown),
        shown_path=entry.shown,
        sha256=None,
        error=MediaError(entry.message, entry.hint),
        media=None,
        tags={},
        findings=[],
        not_run=[],
        config=inspector.config,
        options=inspector.options,
        device=str(inspector.device),
        clock=ClockPart(started_utc=now, finished_utc=now, wall_s=0.0, stages_s={}),
    )
