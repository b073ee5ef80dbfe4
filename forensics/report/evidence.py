"""The record of one inspection: what each analysis found, what was not run, and the hash of every file that goes with it.

As in a scan's record, all that depends on the clock lies in `clock`; the rest is the same, byte for byte, when the same
file is inspected again with the same options on the same machine. A finding's state says whether what was measured is
what an unaltered file would show; it is never a probability of anything.
"""

from typing import Literal

from pydantic import Field

from forensics.common.outcomes import Outcome
from forensics.report.findings import CorroborationPart, EvidencePart, FindingPart, NotRunPart
from forensics.report.parts import Document, Part, schema_text_of
from forensics.report.record import ClockPart, EnvironmentPart, MediaPart

EVIDENCE_VERSION: Literal["1.0"] = "1.0"


class CasePart(Part):
    """What the user typed about the case; empty where nothing was."""

    case: str
    operator: str
    notes: str


class InspectedPart(Part):
    """The file, by its bytes."""

    name: str = Field(description="file name without its folder")
    path: str = Field(description="path as it was given")
    size_bytes: int | None
    sha256: str | None = Field(description="before the inspection; null if the file could not be read")
    sha256_after: str | None = Field(description="after the inspection; differs if the file changed meanwhile")


class EvidenceRecord(Document):
    """All that an inspection says of one input."""

    kind: Literal["inspection"] = "inspection"
    schema_version: Literal["1.0"] = EVIDENCE_VERSION
    case: CasePart
    input: InspectedPart
    outcome: Literal["inspected", "unreadable", "no_video", "limit_exceeded"]
    message: str = Field(description="one line: what of the file could not be read; empty if all could")
    hint: str = Field(description="what to do about it")
    media: MediaPart | None
    tags: dict[str, str] = Field(description="what the file says of itself, as it stands there; anybody can write it")
    corroboration: CorroborationPart
    findings: list[FindingPart]
    not_run: list[NotRunPart]
    command: list[str] = Field(description="the command line, as typed")
    environment: EnvironmentPart
    configuration: dict[str, str | int | float | bool | list[str] | None]
    configuration_sha256: str
    clock: ClockPart


def evidence_part(record: EvidenceRecord) -> EvidencePart:
    """What of an inspection stands in the record of a scan."""
    return EvidencePart(
        message=record.message,
        frames_analysed=record.media.frames_analysed if record.media else None,
        errors=record.media.errors if record.media else [],
        configuration=record.configuration,
        tags=record.tags,
        corroboration=record.corroboration,
        findings=record.findings,
        not_run=record.not_run,
    )


def evidence_schema_text() -> str:
    """The JSON Schema (draft 2020-12) of the record, as `forensics schema --of inspection` prints it."""
    return schema_text_of(EvidenceRecord)


def outcome_name(outcome: Outcome) -> Literal["inspected", "unreadable", "no_video", "limit_exceeded"]:
    """The record's word for what became of an input."""
    if outcome is Outcome.NO_VIDEO:
        return "no_video"
    if outcome is Outcome.LIMIT_EXCEEDED:
        return "limit_exceeded"
    return "unreadable"
