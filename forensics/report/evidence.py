"""The record of one inspection: what each analysis found, what was not run, and the hash of every file that goes with it.

As in a scan's record, all that depends on the clock lies in `clock`; the rest is the same, byte for byte, when the same
file is inspected again with the same options on the same machine. A finding's state says whether what was measured is
what an unaltered file would show; it is never a probability of anything.
"""

from typing import Literal

from pydantic import Field

from forensics.analysis.catalogue import Reliability, Strength
from forensics.analysis.protocol import Family, Measure, State
from forensics.common.outcomes import Outcome
from forensics.report.record import ClockPart, Document, EnvironmentPart, MediaPart, Part, schema_text_of

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


class MapPart(Part):
    """A picture of where, written as a PNG beside the record."""

    file: str
    caption: str
    width: int
    height: int


class MarkPart(Part):
    """A place on a plot's x axis."""

    x: float
    label: str


class PlotPart(Part):
    """Curves: one list of y per name, as long as x."""

    name: str
    caption: str
    x_label: str
    y_label: str
    x: list[float]
    curves: dict[str, list[float]]
    marks: list[MarkPart]


class FindingPart(Part):
    """What one analysis says."""

    analysis: str
    title: str
    family: Family = Field(description="findings of one family rest on the same traces")
    state: State
    strength: Strength = Field(
        description="how far such a finding can be relied on, by what was measured of the analysis"
    )
    question: str
    observation: str
    statistic: float | None = Field(description="what the state was decided by; grows with how unusual the file is")
    measures: dict[str, Measure]
    benign: list[str] = Field(description="harmless causes of the same observation")
    limits: str
    method: str
    citation: str
    parameters: dict[str, Measure]
    reliability: Reliability | None
    maps: list[MapPart]
    plots: list[PlotPart]


class NotRunPart(Part):
    """An analysis that was not run on this file, and why."""

    analysis: str
    title: str
    why: str


class CorroborationPart(Part):
    """How far findings support each other: those of different families rest on different traces."""

    families_run: int = Field(description="families of which an analysis could be carried out")
    families_flagged: list[Family] = Field(description="with a finding that is suspicious or inconsistent")
    by_chance: float | None = Field(
        description="probability that as many families of an unaltered file are flagged, if each was flagged at its "
        "measured or allowed rate of false alarms and all erred independently; null where none is flagged"
    )
    summary: str


class EvidenceRecord(Document):
    """All that an inspection says of one input."""

    kind: Literal["inspection"] = "inspection"
    schema_version: Literal["1.0"] = EVIDENCE_VERSION
    case: CasePart
    input: InspectedPart
    outcome: Literal["inspected", "unreadable", "no_video", "limit_exceeded"]
    message: str = Field(description="one line: why there are no findings; empty if there are some")
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
