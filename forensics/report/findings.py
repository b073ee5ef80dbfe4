"""What classical analyses said of one input, as it stands in the records of an inspection and of a scan with --evidence.

A finding's state says whether what was measured is what an unaltered file would show; it is never a probability of
anything.
"""

from collections.abc import Sequence

from pydantic import Field

from forensics.analysis.catalogue import Reliability, Strength
from forensics.analysis.protocol import Family, Measure, State
from forensics.report.parts import Part

# What a reader wants to see first.
ORDER: tuple[State, ...] = ("inconsistent", "suspicious", "consistent", "inconclusive", "not applicable")


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


class EvidencePart(Part):
    """All findings of one input, and what could not be asked."""

    message: str = Field(description="one line: what of the file could not be read; empty if all could")
    frames_analysed: int | None = Field(description="of a clip, from its start; null where no frame was looked at")
    errors: list[str] = Field(description="what the decoder said while the file was read for these, one line each")
    configuration: dict[str, str | int | float | bool | list[str] | None] = Field(
        description="options of these analyses, which are not those of the scan"
    )
    tags: dict[str, str] = Field(description="what the file says of itself, as it stands there; anybody can write it")
    corroboration: CorroborationPart
    findings: list[FindingPart]
    not_run: list[NotRunPart]


def by_weight(findings: Sequence[FindingPart]) -> list[FindingPart]:
    """Findings in the order in which a reader wants them; of one state, in that of the record."""
    return sorted(findings, key=lambda part: ORDER.index(part.state))


def map_files(findings: Sequence[FindingPart]) -> list[str]:
    """Names of the files that hold the findings' maps."""
    return [one.file for part in findings for one in part.maps]
