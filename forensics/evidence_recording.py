"""What an inspection found -> the record, and its maps as PNG files. Only assembles: nothing is measured or decided
here.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.catalogue import false_alarm_rate, reliability_of, strength_of
from forensics.analysis.corroboration import corroborate, in_words
from forensics.analysis.protocol import Analysis, Finding, Map, Measure, Plot, Rgb
from forensics.common.errors import MediaError
from forensics.common.text import printable
from forensics.config import InspectConfig, Options, options_hash
from forensics.environment import describe_environment
from forensics.recording import hash_or_none
from forensics.report.evidence import CasePart, EvidenceRecord, InspectedPart, evidence_part, outcome_name
from forensics.report.findings import CorroborationPart, FindingPart, MapPart, MarkPart, NotRunPart, PlotPart
from forensics.report.pictures import overlay_heatmap, reduce_picture
from forensics.report.record import ClockPart, MediaPart, Record

# A map is for looking at: larger, it shows no more and fills the disk.
FILE_MAP_PX = 1600
# A plot is as wide as a page: more points would not be seen.
PLOT_POINTS = 600
SIGNIFICANT_DIGITS = 6
# EXIF's orientations (CIPA DC-008, tag 274): axes of the stored picture that are mirrored; those that swap rows and
# columns after.
FLIPS: dict[int, tuple[int, ...]] = {2: (1,), 3: (0, 1), 4: (0,), 6: (0,), 7: (0, 1), 8: (1,)}
TRANSPOSED = (5, 6, 7, 8)


@dataclass(frozen=True, eq=False)
class Shown:
    """What maps are laid over: (H, W, 3) uint8 RGB as stored, and EXIF's orientation, by which both are turned upright."""

    pixels: Rgb
    orientation: int


def finding_part(
    analysis: Analysis[Any], finding: Finding, shown: Shown | None, stem: str, pictures: dict[str, bytes]
) -> FindingPart:
    """A finding as it stands in the record; its maps go to `pictures`, PNG by file name."""
    maps = (
        [] if shown is None else [_write_map(one, shown, f"{stem}-{analysis.name}", pictures) for one in finding.maps]
    )
    return FindingPart(
        analysis=analysis.name,
        title=analysis.title,
        family=analysis.family,
        state=finding.state,
        strength=strength_of(analysis.name),
        question=analysis.question,
        observation=printable(finding.observation),
        statistic=_rounded(finding.statistic),
        measures=_measures(finding.measures),
        benign=list(analysis.benign),
        limits=analysis.limits,
        method=analysis.method,
        citation=analysis.citation,
        parameters=_measures(analysis.parameters),
        reliability=reliability_of(analysis.name),
        maps=maps,
        plots=[_plot_part(plot) for plot in finding.plots],
    )


def make_evidence_record(
    path: Path,
    shown_path: str,
    sha256: str | None,
    error: MediaError | None,
    media: MediaPart | None,
    tags: Mapping[str, str],
    findings: Sequence[FindingPart],
    not_run: Sequence[NotRunPart],
    config: InspectConfig,
    options: Options,
    device: str,
    clock: ClockPart,
) -> EvidenceRecord:
    """The record of one file; where reading it failed, findings are of what was read before."""
    found = corroborate(
        [(part.analysis, part.family, part.state) for part in findings],
        {part.analysis: false_alarm_rate(part.analysis) for part in findings},
    )
    return EvidenceRecord(
        case=CasePart(case=printable(config.case), operator=printable(config.operator), notes=printable(config.notes)),
        input=InspectedPart(
            name=printable(path.name),
            path=printable(shown_path),
            size_bytes=_size(path),
            sha256=sha256,
            sha256_after=hash_or_none(path),
        ),
        outcome="inspected" if error is None else outcome_name(error.outcome),
        message="" if error is None else printable(error.message),
        hint="" if error is None else printable(error.hint),
        media=media,
        tags={printable(name): printable(value) for name, value in tags.items()},
        corroboration=CorroborationPart(
            families_run=found.families_run,
            families_flagged=list(found.flagged),
            by_chance=_rounded(found.by_chance),
            summary=in_words(found),
        ),
        findings=list(findings),
        not_run=list(not_run),
        command=[printable(word) for word in (Path(sys.argv[0]).name, *sys.argv[1:])],
        environment=describe_environment(device),
        configuration=options,
        configuration_sha256=options_hash(options),
        clock=clock,
    )


def with_evidence(record: Record, inspected: EvidenceRecord) -> Record:
    """The record of a scan with what an inspection of the same file found; the time of both."""
    clock, further = record.clock, inspected.clock
    return record.model_copy(
        update={
            "evidence": evidence_part(inspected),
            "input": record.input.model_copy(update={"sha256_after": inspected.input.sha256_after}),
            "clock": clock.model_copy(
                update={
                    "finished_utc": further.finished_utc,
                    "wall_s": round(clock.wall_s + further.wall_s, 3),
                    "stages_s": {**clock.stages_s, "evidence": further.wall_s},
                }
            ),
        }
    )


def upright(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A stored picture or map (H, W) or (H, W, 3), turned as EXIF's orientation asks (CIPA DC-008, tag 274)."""
    flips = FLIPS.get(orientation, ())
    flipped = np.flip(picture, flips) if flips else picture
    if orientation in TRANSPOSED:
        flipped = flipped.swapaxes(0, 1)
    return np.ascontiguousarray(flipped)


def as_stored(pixels: Rgb, orientation: int) -> Rgb:
    """The inverse: the picture as its file stores it, of the upright one (H, W, 3)."""
    turned = pixels.swapaxes(0, 1) if orientation in TRANSPOSED else pixels
    flips = FLIPS.get(orientation, ())
    return np.ascontiguousarray(np.flip(turned, flips) if flips else turned)


def _write_map(one: Map, shown: Shown, stem: str, pictures: dict[str, bytes]) -> MapPart:
    picture = reduce_picture(np.asarray(upright(shown.pixels, shown.orientation), np.uint8), FILE_MAP_PX)
    values = np.clip(np.nan_to_num(upright(one.values, shown.orientation)), 0, 1).astype(np.float32)
    # Pale, so that colours are the map's and the picture's outlines remain.
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    pale = np.asarray(cv2.cvtColor((gray // 2 + 96).astype(np.uint8), cv2.COLOR_GRAY2RGB), np.uint8)
    drawn = overlay_heatmap(pale, values)
    name = f"{stem}-{one.name}.png"
    done, data = cv2.imencode(".png", np.ascontiguousarray(drawn[..., ::-1]))
    if not done:
        raise ValueError(f"a map of shape {drawn.shape} could not be encoded")
    pictures[name] = data.tobytes()
    return MapPart(file=name, caption=one.caption, width=drawn.shape[1], height=drawn.shape[0])


def _plot_part(plot: Plot) -> PlotPart:
    """At most PLOT_POINTS of the curve's points, evenly chosen."""
    n = len(plot.x)
    kept = (
        np.unique(np.linspace(0, n - 1, min(n, PLOT_POINTS)).round().astype(np.int64)) if n else np.empty(0, np.int64)
    )
    return PlotPart(
        name=plot.name,
        caption=plot.caption,
        x_label=plot.x_label,
        y_label=plot.y_label,
        x=[_number(value) for value in plot.x[kept]],
        curves={name: [_number(value) for value in y[kept]] for name, y in plot.curves.items()},
        marks=[MarkPart(x=_number(x), label=printable(label)) for x, label in plot.marks],
    )


def _measures(values: Mapping[str, Measure]) -> dict[str, Measure]:
    """Texts made printable, numbers rounded; what is not finite is null."""
    found: dict[str, Measure] = {}
    for name, value in values.items():
        if isinstance(value, str):
            found[name] = printable(value)
        elif isinstance(value, bool) or value is None:
            found[name] = value
        elif isinstance(value, int | np.integer):
            found[name] = int(value)
        else:
            found[name] = _rounded(float(value))
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else _number(value)


def _number(value: float) -> float:
    """Six significant digits: the same on machines whose last bits differ."""
    return float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
