"""quality.json of a swap: the figures, what they are of, and what to know before quoting one. Light to import."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from forensics import __version__

if TYPE_CHECKING:  # it needs NumPy and OpenCV, which --help does not
    from generators.faceswap.measures import Interval

FORMAT = "forensics-swap-quality"
RESULTS, TABLE = "quality.json", "quality.md"
# A swap that fewer held-out faces than this pass is said not to carry the source's identity.
IDENTITY_GOAL = 0.7
# Below this, an interval rests on so few blocks of a second that a person should know.
FEW_SECONDS = 10.0
SAME_SECONDS = (
    "frames of few seconds are alike: below 5 s only shares have an interval, and none says anything of other clips"
)
# What a clip's figures are of. No step was trained on held-out frames; on any other frame one may have been.
CLIP_FRAMES = (
    "landmarks and flicker of the clip are of all its frames with a face, trained on or not; flicker has no control"
)
IDENTITY_FRAMES = {
    "held_out": "held-out frames of the clip",
    "not_in_set": "frames of a clip that is not in the set (whether it was cut from one that is, is not known)",
}
NO_HELD_OUT_FRAME = (
    "the driving clip has no held-out frame with the swapped face: identity in the clip was not measured"
)


class SwapQualityConfig(BaseModel):
    """Options of `forensics generate faceswap quality`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    source: Path | None = Field(
        None, description="set of the source's faces; without it the one the run was trained on"
    )
    target: Path | None = Field(
        None, description="set of the target's faces; without it the one the run was trained on"
    )
    output: Path | None = Field(None, description="folder for quality.json and quality.md; without it the run's")
    clip: Path | None = Field(None, description="a converted clip to measure too (with --driving)")
    driving: Path | None = Field(None, description="the clip that it was made from")
    track: int | None = Field(
        None, ge=1, description="track of the driving clip whose face was swapped; else the main one"
    )
    reverse: bool = Field(False, description="measure the other direction: the target's face on the source")
    identity: Literal["auto", "dlib", "none"] = Field("auto", description="embedding that says whose face it is")
    faces: int = Field(300, ge=10, le=100_000, description="held-out faces of a person, at most; evenly spread if more")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where the networks run")
    threads: int = Field(0, ge=0, le=256, description="CPU threads (0: as many as there are cores)")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the intervals and of the noise of the landmarks' control")
    quiet: bool = Field(False, description="say nothing on standard error but errors")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Figure(_Part):
    """A figure of n frames with its 95 % interval over time; None where it cannot be measured."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class ReconstructionPart(_Part):
    """Held-out faces of a person through the person's own decoder, in the part of the picture that the network sees.

    `ssim` and `psnr` at the network's own size, `_full` at that of the aligned face (220 px). *_floor: the person's mean
    training face instead. *_ceiling: the faces themselves, reduced to the network's size and enlarged again.
    """

    person: Literal["source", "target"]
    ssim: Figure
    psnr: Figure
    ssim_floor: Figure
    psnr_floor: Figure
    ssim_full: Figure
    psnr_full: Figure
    ssim_full_ceiling: Figure
    psnr_full_ceiling: Figure


class IdentityPart(_Part):
    """Cosines of faces to the mean vectors of both people's training faces; share nearer to the source.

    faces: "swapped" wear the source's face; the others are controls.
    """

    faces: Literal["swapped", "target unchanged", "target reconstructed", "source unchanged"]
    to_source: Figure
    to_target: Figure
    share_source: Figure


class LandmarkPart(_Part):
    """Landmark distance from the driving face, as a share of the distance between the eyes, both detected anew.

    faces: "swapped", or the control "driving, noise": the driving face itself with slight noise. found: share of faces in
    which the detector finds one where it did in the driving face.
    """

    faces: Literal["swapped", "driving, noise"]
    median: Figure
    p95: Figure
    found: Figure


class ClipPart(_Part):
    """A converted clip against the one that drove it. swapped: share of frames in its manifest; None without one.

    flicker (which has no control) and landmarks are of all frames with a face. identity_frames: what identity is of, the
    held-out frames where the driving clip is in the target's set, by its SHA-256; "not_in_set": any frames of another clip.
    """

    clip: str
    clip_sha256: str
    driving: str
    driving_sha256: str
    frames: int
    frames_with_face: int
    swapped: float | None
    flicker: Figure
    landmarks: tuple[LandmarkPart, ...]
    identity: tuple[IdentityPart, ...]
    identity_frames: Literal["held_out", "not_in_set"]


class SwapQuality(_Part):
    """quality.json."""

    format: Literal["forensics-swap-quality-1"] = "forensics-swap-quality-1"
    version: str = __version__
    versions: dict[str, str]
    model: str
    model_sha256: str
    image_px: int
    device: str
    seed: int
    is_reversed: bool
    source: str
    source_sha256: str
    target: str
    target_sha256: str
    embedding: str | None
    landmark_detector: str
    reconstruction: tuple[ReconstructionPart, ...]
    identity: tuple[IdentityPart, ...]
    landmarks: tuple[LandmarkPart, ...]
    clip: ClipPart | None = None
    notes: tuple[str, ...]


def figure(found: "Interval") -> Figure:
    """An interval as it is written: what is not a number is None."""
    value = found.value if math.isfinite(found.value) else None
    return Figure(value=value, low=found.low, high=found.high, n=found.n)


def identity_note(parts: tuple[IdentityPart, ...], where: str) -> str | None:
    """Plain words on whether the swap passes for its source; None where that was not measured."""
    share = next((part.share_source.value for part in parts if part.faces == "swapped"), None)
    if share is None:
        return None
    words = f"{share:.0%} of the swapped {where} are nearer to the source than to the target"
    if share >= IDENTITY_GOAL:
        return words
    return f"{words}, fewer than {IDENTITY_GOAL:.0%}: this swap does not carry the source's identity"


# -- as a table

Row = tuple[str, str, str, str]
HEADINGS = ("figure", "value [95 %]", "faces", "says")
HELD_OUT, ALL_FRAMES, NOT_IN_SET = "held-out faces", "all frames", "frames of a clip not in the set"


def table_rows(found: SwapQuality) -> list[Row]:
    """(figure, value with interval, number of faces, what it says) for a person."""
    rows: list[Row] = []
    for part in found.reconstruction:
        rows += _reconstruction_rows(part, found.image_px)
    rows += _identity_rows(found.identity, "", HELD_OUT)
    rows += _landmark_rows(found.landmarks, "", HELD_OUT)
    if found.clip is not None:
        rows += _clip_rows(found.clip)
    return rows


def _reconstruction_rows(part: ReconstructionPart, image_px: int) -> list[Row]:
    who = part.person
    return [
        _row(f"SSIM {who}, {image_px} px", part.ssim, "own decoder, held-out faces; 1 = equal"),
        _row("  floor", part.ssim_floor, "the mean training face instead"),
        _row(f"PSNR {who}, {image_px} px", part.psnr, "dB; higher is nearer"),
        _row("  floor", part.psnr_floor, "the mean training face instead"),
        _row(f"SSIM {who}, full size", part.ssim_full, "the same, enlarged to the aligned face"),
        _row("  ceiling", part.ssim_full_ceiling, f"the faces themselves at {image_px} px"),
        _row(f"PSNR {who}, full size", part.psnr_full, "dB"),
        _row("  ceiling", part.psnr_full_ceiling, f"the faces themselves at {image_px} px"),
    ]


def _identity_rows(parts: tuple[IdentityPart, ...], where: str, of: str) -> list[Row]:
    rows = []
    for part in parts:
        indent, name = ("", part.faces) if part.faces == "swapped" else ("  ", f"control: {part.faces}")
        says = f"{of}: share nearer to the source than to the target"
        rows.append(_row(f"{indent}identity{where}, {name}", part.share_source, says))
        rows.append(_row("  cosine to source", part.to_source, "1 = the same direction"))
        rows.append(_row("  cosine to target", part.to_target, ""))
    return rows


def _landmark_rows(parts: tuple[LandmarkPart, ...], where: str, of: str) -> list[Row]:
    rows = []
    for part in parts:
        indent, name = ("", part.faces) if part.faces == "swapped" else ("  ", f"control: {part.faces}")
        rows.append(
            _row(
                f"{indent}landmarks{where}, {name}", part.median, f"{of}: median distance, share of the eyes' distance"
            )
        )
        rows.append(_row("  95th percentile", part.p95, ""))
        rows.append(_row("  face found", part.found, "share of faces in which the detector sees a face"))
    return rows


def _clip_rows(part: ClipPart) -> list[Row]:
    share = "-" if part.swapped is None else f"{part.swapped:.3f}"
    says = "share of all frames, by the manifest" if part.swapped is not None else "no manifest beside the clip"
    return [
        ("clip: frames swapped", share, str(part.frames), says),
        _row(
            "clip: flicker", part.flicker, f"{ALL_FRAMES}: change inside the face; 1 = as the driving clip; no control"
        ),
        *_landmark_rows(part.landmarks, " in the clip", ALL_FRAMES),
        *_identity_rows(part.identity, " in the clip", HELD_OUT if part.identity_frames == "held_out" else NOT_IN_SET),
    ]


def _row(name: str, found: Figure, says: str) -> Row:
    if found.value is None:
        return name, "-", str(found.n), says
    digits = 1 if abs(found.value) >= 10 else 3
    shown = f"{found.value:.{digits}f}"
    if found.low is not None and found.high is not None:
        shown += f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return name, shown, str(found.n), says


def summary_lines(found: SwapQuality) -> list[str]:
    """What the figures are of, and what to know of them."""
    reverse = ", reversed" if found.is_reversed else ""
    return [
        f"source {found.source} ({found.source_sha256[:12]}), target {found.target} ({found.target_sha256[:12]}){reverse}; "
        f"model {found.model} ({found.model_sha256[:12]}), {found.image_px} px",
        f"identity by {found.embedding or 'nothing'}, landmarks by {found.landmark_detector}; "
        "intervals: moving blocks of 1 s, widened where few; of shares at least Wilson's",
        *(f"note: {note}" for note in found.notes),
    ]


def markdown(found: SwapQuality) -> str:
    """quality.md."""
    lines = ["# Quality of a face swap", "", *_table(HEADINGS, table_rows(found)), ""]
    return "\n".join([*lines, *(f"- {_cell(line)}" for line in summary_lines(found))]) + "\n"


def _table(headings: Row, rows: list[Row]) -> list[str]:
    shown = [" | ".join(map(_cell, row)) for row in (headings, *rows)]
    return [f"| {shown[0]} |", "|---|---|---|---|", *(f"| {line} |" for line in shown[1:])]


def _cell(text: str) -> str:
    """Names of files may hold what Markdown or HTML would read."""
    kept = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    kept = kept.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return f"&nbsp;&nbsp;{kept[2:]}" if kept.startswith("  ") else kept
