"""Is what an inspection, or a scan with --evidence, wrote still what it wrote, and do two inspections say the same?

Both read JSON files that anybody may have changed: they are checked against the schema before a word of them is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, RootModel, ValidationError

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.report.evidence import EvidenceRecord
from forensics.report.findings import FindingPart, map_files
from forensics.report.manifest import SUFFIX, Checked, ManifestOfFiles, check_file, check_files
from forensics.report.record import Record

MAX_JSON_BYTES = 64 << 20
Document = TypeVar("Document", bound=BaseModel)
HINT = "name a record or manifest that `forensics inspect --output`, or `scan --evidence --output`, wrote"


class AnyRecord(RootModel[EvidenceRecord | Record]):
    """The record of an inspection, or of a scan."""


@dataclass(frozen=True)
class Verified:
    """The check of one report: the manifest's own hash, and a line per file. is_unchanged: every file that could be
    checked is, and the input is or was not at hand.
    """

    manifest: Path
    manifest_sha256: str
    lines: tuple[Checked, ...]

    @property
    def is_unchanged(self) -> bool:
        return all(line.is_unchanged is not False for line in self.lines)


def verify(report: Path, original: Path | None, manifest_sha256: str | None) -> Verified:
    """Re-check every hash of a report. report: its record, or its manifest. original: the inspected file, where it is no
    more at the path as it was given. manifest_sha256: what was noted elsewhere when the report was written.

    Raises UsageError for files that are no report.
    """
    path = report if report.name.endswith(SUFFIX) else report.with_name(report.name.removesuffix(".json") + SUFFIX)
    if not path.is_file():
        raise UsageError(f"{report}: its manifest {path.name} is not there", HINT)
    manifest = _read(ManifestOfFiles, path)
    own = sha256_of_file(path)
    lines = []
    if manifest_sha256 is not None:
        same = own == manifest_sha256.lower()
        lines.append(
            Checked(path.name, same, "" if same else f"changed: SHA-256 is {own}, {manifest_sha256.lower()} was given")
        )
    lines += check_files(path.parent, manifest)
    lines.append(_check_input(manifest, original))
    lines += _check_record(path.parent, manifest)
    return Verified(path, own, tuple(lines))


def _check_input(manifest: ManifestOfFiles, original: Path | None) -> Checked:
    shown = f"input {manifest.input_path}"
    if manifest.input_sha256 is None:
        return Checked(shown, None, "could not be read when it was inspected")
    path = original or Path(manifest.input_path)
    if original is None and not path.is_file():
        return Checked(shown, None, "not at its path: name it with --input")
    return check_file(path, manifest.input_sha256, shown)


def _check_record(folder: Path, manifest: ManifestOfFiles) -> list[Checked]:
    """Whether the record speaks of the manifest's input, and all its maps are in the manifest."""
    found = []
    for name in manifest.files:
        if not name.endswith(".json") or not (folder / name).is_file():
            continue
        try:
            record = _read(AnyRecord, folder / name).root
        except UsageError as error:
            found.append(Checked(name, False, error.message))
            continue
        if record.input.sha256 != manifest.input_sha256:
            found.append(Checked(name, False, "speaks of another input than the manifest"))
        unlisted = [one for one in map_files(_findings_of(record)) if one not in manifest.files]
        found += [Checked(one, False, "is in the record and not in the manifest") for one in unlisted]
    return found


def _findings_of(record: EvidenceRecord | Record) -> Sequence[FindingPart]:
    if isinstance(record, EvidenceRecord):
        return record.findings
    return record.evidence.findings if record.evidence else ()


@dataclass(frozen=True)
class Difference:
    """What two records say differently of one thing."""

    what: str
    first: str
    second: str


def compare_reports(first: Path, second: Path) -> list[Difference]:
    """Differences of two inspections' records, but for clock, command line and paths; none: the same file got the same
    findings. Raises UsageError for files that are no records.
    """
    a, b = _inspection(first), _inspection(second)
    found = [
        Difference(what, str(x), str(y))
        for what, x, y in (
            ("input, SHA-256", a.input.sha256, b.input.sha256),
            ("outcome", a.outcome, b.outcome),
            ("tool version", a.environment.tool_version, b.environment.tool_version),
            ("configuration", a.configuration_sha256[:16], b.configuration_sha256[:16]),
        )
        if x != y
    ]
    found += _findings_differ(a.findings, b.findings)
    for name in sorted(a.environment.libraries.keys() | b.environment.libraries.keys()):
        x, y = (record.environment.libraries.get(name, "none") for record in (a, b))
        if x != y:
            found.append(Difference(f"version of {name}", x, y))
    return found


def _inspection(path: Path) -> EvidenceRecord:
    record = _read(AnyRecord, path).root
    if not isinstance(record, EvidenceRecord):
        raise UsageError(f"{path} is the record of a scan", "compare two records of `forensics inspect`")
    return record


def _findings_differ(first: Sequence[FindingPart], second: Sequence[FindingPart]) -> list[Difference]:
    a, b = ({part.analysis: part for part in parts} for parts in (first, second))
    found = []
    for name in [*a, *(name for name in b if name not in a)]:
        x, y = a.get(name), b.get(name)
        if x is None or y is None:
            found.append(Difference(name, "not run" if x is None else x.state, "not run" if y is None else y.state))
        elif x.state != y.state:
            found.append(Difference(name, x.state, y.state))
        elif (x.statistic, x.observation, x.measures) != (y.statistic, y.observation, y.measures):
            found.append(Difference(f"{name} ({x.state})", x.observation, y.observation))
    return found


def _read(kind: type[Document], path: Path) -> Document:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise UsageError(f"{path} is larger than any report", HINT)
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", HINT) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a file of a report of this version", HINT) from error
