"""The record of one input: what was analysed, by what, with which result. JSON is the record; HTML and CSV render it.

Every field that depends on the clock lies in `clock`; everything else is the same, byte for byte, when the same file is
analysed again with the same options, weights and machine. Scores and probabilities are in [0, 1], 1 = fake. Times are
presentation timestamps in seconds from the clip's start. Boxes are left, top, right, bottom in pixels of the upright
frame. A figure that does not exist is null.
"""

from typing import Literal

from pydantic import Field

from forensics.common.operating_point import Interval, OperatingPoint
from forensics.common.outcomes import Outcome
from forensics.report.findings import EvidencePart
from forensics.report.parts import Document, Part, schema_text_of

__all__ = ["Interval", "OperatingPoint", "Record", "schema_text"]

# 1.1: `view` may be `whole`; `verdict.lowered_by`. 1.2: `evidence`. Records of earlier versions are records of 1.2 as they
# are.
Version = Literal["1.0", "1.1", "1.2"]
SCHEMA_VERSION: Version = "1.2"


class InputPart(Part):
    """The file, by its bytes."""

    name: str = Field(description="file name without its folder")
    path: str = Field(description="path as it was given")
    size_bytes: int | None
    sha256: str | None = Field(description="before the analysis; null if the file could not be read")
    sha256_after: str | None = Field(description="after the analysis; differs if the file changed meanwhile")
    view: Literal["scene", "face", "whole"] = Field(
        description="scene: faces were looked for; face: the picture is a face crop; whole: no face was looked for, tiles "
        "of the picture were judged for synthesis, and its only track stands for the picture"
    )


class MediaPart(Part):
    """What the file claims and what was found in it."""

    kind: Literal["image", "video"]
    container: str = Field(description="by its bytes, not by its name")
    extension_matches: bool | None = Field(
        description="whether the name's extension fits the container; null without one"
    )
    codec: str
    width: int = Field(description="pixels, upright")
    height: int
    rotation_deg: int = Field(description="counter-clockwise rotation of the metadata, already applied")
    frames_claimed: int | None = Field(description="by the container's header")
    frames_found: int = Field(description="packets of the video stream")
    frames_decoded: int
    frames_analysed: int = Field(description="sampled frames that were looked at")
    duration_s: float
    mean_fps: float | None
    is_variable_rate: bool
    has_audio: bool
    sampling: str = Field(description="the rule by which frames were chosen")
    is_complete: bool = Field(description="false if decoding met errors or stopped before the end")
    errors: list[str] = Field(description="what the decoder said, one line each")


class SamplePart(Part):
    """A face in one sampled frame; in view whole, the frame."""

    timestamp_s: float
    box: tuple[float, float, float, float]
    confidence: float = Field(description="of the face detector")
    found_by: Literal["detected", "tracked", "given"]
    crop_px: int = Field(
        description="side of the canonical crop at native resolution; in view whole, the frame's shorter side"
    )
    scores: dict[str, float] = Field(description="per detector, calibrated where it can be, at even prior odds")


class TrackPart(Part):
    """One face through time; in view whole, the picture through time."""

    id: int
    first_s: float
    last_s: float
    median_crop_px: float
    outcome: Outcome
    probability: float | None = Field(
        description="of the track's samples taken together (their mean logit, where the weights say nothing else), at even "
        "prior odds"
    )
    scores: dict[str, float] = Field(description="per detector, of the samples taken together")
    sharpness: float | None = Field(description="median variance of the Laplacian at the network's input size")
    samples: list[SamplePart]


class DetectorPart(Part):
    """One detector's opinion of the input."""

    name: str
    score: float | None
    is_calibrated: bool = Field(description="whether the score is a probability fitted on held-out data")
    weight: float | None = Field(description="coefficient in the fusion; null if it is not part of it")
    description: str
    error: str | None = None


class VerdictPart(Part):
    """What the scores amount to."""

    label: Literal["likely fake", "likely real", "inconclusive"]
    probability: float | None = Field(description="calibrated, at the stated prior; null without a calibrated detector")
    prior: float = Field(description="share of fakes assumed before looking; 0.5 = even odds")
    likelihood_ratio: float | None = Field(description="how much likelier such a score is for a fake than for a real")
    reasons: list[str]
    top_track: int | None = Field(description="id of the track that the verdict rests on")
    key_moment_s: float | None = Field(description="the sample of that track that weighs most")
    lowered_by: float | None = Field(
        None,
        description="log odds that were taken off the top track's score, since the most suspicious of several real faces "
        "looks worse than one; null where nothing was",
    )
    operating_point: OperatingPoint | None


class MomentPart(Part):
    """A sample that is shown in the report."""

    track: int
    timestamp_s: float
    probability: float
    crop_sha256: str = Field(
        description="of the crop's pixels, (S, S, 3) uint8 RGB in row order; in view whole, of the tile that weighs most"
    )


class ModelPart(Part):
    """The weights that were used."""

    name: str
    version: str
    licence: str
    trained_on: str
    files: dict[str, str] = Field(description="SHA-256 per file")


class EnvironmentPart(Part):
    """The machine and its software."""

    tool_version: str
    python: str
    platform: str
    device: str
    libraries: dict[str, str]
    ffmpeg: dict[str, str]


class ClockPart(Part):
    """All that depends on the clock."""

    started_utc: str
    finished_utc: str
    wall_s: float
    stages_s: dict[str, float]


class Record(Document):
    """All that is known of one analysed input."""

    schema_version: Version = SCHEMA_VERSION
    input: InputPart
    outcome: Outcome
    message: str = Field(description="one line: why there is no score; empty if there is one")
    hint: str = Field(description="what to do about it")
    media: MediaPart | None
    verdict: VerdictPart | None
    detectors: list[DetectorPart]
    tracks: list[TrackPart]
    moments: list[MomentPart]
    evidence: EvidencePart | None = Field(
        None,
        description="findings of the classical analyses; null without --evidence, and for a path that cannot be opened",
    )
    model: ModelPart | None
    environment: EnvironmentPart
    configuration: dict[str, str | int | float | bool | list[str] | None]
    configuration_sha256: str
    clock: ClockPart


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) of a record, as `forensics schema` prints it."""
    return schema_text_of(Record)
