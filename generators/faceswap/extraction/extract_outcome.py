"""What an extraction did, in figures and in plain words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forensics.common.errors import ForensicsError
from generators.faceswap.extraction.faceset import CONTACT, ClipRow, FaceRow, FaceSet, FaceSetRecord, TrackRow
from generators.faceswap.extraction.filters import IN_WORDS, LeftOut

TRACKS_LISTED = 8
Counts = tuple[tuple[LeftOut, int], ...]


class NothingExtractedError(ForensicsError):
    """No clip gave a single face."""

    exit_status = 4


@dataclass(frozen=True)
class ClipOutcome:
    """What became of a clip: faces kept, how many of them held out, how many left out for which reason, its row.

    `problem` (message, hint) is set where it gave nothing, and `row` is None then. is_known: it was in the set already.
    """

    name: str
    kept: int = 0
    held_out: int = 0
    left_out: Counts = ()
    row: ClipRow | None = None
    is_known: bool = False
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class Extraction:
    """A finished run: the set, and each clip's outcome in the order in which they were named."""

    faces: FaceSet
    outcomes: tuple[ClipOutcome, ...]

    @property
    def exit_status(self) -> int:
        """0, or 3 where a clip gave nothing."""
        return 3 if any(outcome.problem for outcome in self.outcomes) else 0


def outcome_of(record: FaceSetRecord, sha256: str, name: str, is_known: bool = False) -> ClipOutcome:
    """The outcome of a clip that is in the set."""
    rows = record.faces_of(sha256)
    kept = [row for row in rows if row.file is not None]
    held_out = sum(row.split == "held_out" for row in kept)
    return ClipOutcome(name, len(kept), held_out, counts(rows), record.clip(sha256), is_known)


def nothing_extracted(outcomes: Sequence[ClipOutcome]) -> NothingExtractedError:
    """The error of a run without a face: the first clip's reason, and how many others there were."""
    problems = [(outcome.name, *outcome.problem) for outcome in outcomes if outcome.problem]
    if not problems:
        return NothingExtractedError("no clip was named", "name at least one")
    name, message, hint = problems[0]
    others = len(problems) - 1
    rest = f", and nothing from {others} other clip{'s' * (others > 1)}" if others else ""
    return NothingExtractedError(f"{name}: {message}{rest}", hint)


def counts(rows: Sequence[FaceRow]) -> Counts:
    """Faces left out per reason, in the order of the filters; reasons that did not occur are absent."""
    counted = Counter(row.left_out for row in rows)
    return tuple((reason, counted[reason]) for reason in IN_WORDS if counted[reason])


def in_words(left_out: Counts) -> str:
    """`12 blurred, 3 too small`; `none` without any."""
    return ", ".join(f"{n} {IN_WORDS[reason]}" for reason, n in left_out) or "none"


def as_lines(result: Extraction, tracks_sheet: str = "tracks-{}.png") -> list[str]:
    """What a person reads. tracks_sheet: pattern of the sheets' names, for the first 8 digits of a clip's hash."""
    lines = [line for outcome in result.outcomes for line in _clip_lines(outcome, result.faces, tracks_sheet)]
    faces = result.faces
    n_clips = len(faces.record.clips)
    lines.append(f"set: {faces.folder}, {len(faces.rows)} faces of {n_clips} clip{'s' * (n_clips > 1)}")
    lines.append(f"to look at: {faces.folder / CONTACT}")
    if not faces.of("held_out"):
        lines.append("too few faces to hold any out: a swap cannot be measured on this set")
    return lines


def _clip_lines(outcome: ClipOutcome, faces: FaceSet, tracks_sheet: str) -> list[str]:
    if outcome.row is None:
        message, hint = outcome.problem or ("nothing was extracted", "")
        return [f"{outcome.name}: nothing: {message}" + (f" ({hint})" if hint else "")]
    row = outcome.row
    known = " (known: same clip, same options)" if outcome.is_known else ""
    lines = [f"{outcome.name}: {outcome.kept} faces kept, {outcome.held_out} of them held out{known}"]
    lines.append(f"  left out: {in_words(outcome.left_out)}")
    if not row.is_complete:
        lines.append(f"  the clip broke off after {row.frames} frames: {'; '.join(row.errors) or 'no reason given'}")
    chosen = [track for track in row.tracks if track.is_chosen]
    others = [track for track in row.tracks if not track.is_chosen]
    lines += [f"  track {_track_line(track, row)}" for track in chosen[:TRACKS_LISTED]]
    if len(chosen) > TRACKS_LISTED:
        lines.append(f"  and {len(chosen) - TRACKS_LISTED} more")
    if others:
        sheet = faces.folder / tracks_sheet.format(row.sha256[:8])
        lines.append(f"  {len(others)} other track{'s' * (len(others) > 1)} (--track N takes others; {sheet}):")
        lines += [f"    {_track_line(track, row)}" for track in others[:TRACKS_LISTED]]
        if len(others) > TRACKS_LISTED:
            lines.append(f"    and {len(others) - TRACKS_LISTED} more")
    return lines


def _track_line(track: TrackRow, clip: ClipRow) -> str:
    share = 100 * track.frames / clip.frames
    span = f"{track.first_s:.1f} to {track.last_s:.1f} s"
    return f"{track.track}: {span}, {track.frames} frames ({share:.0f} %), {track.mean_size_px:.0f} px"


def as_json(result: Extraction) -> dict[str, Any]:
    """What a script reads."""
    return {
        "folder": str(result.faces.folder),
        "faces": len(result.faces.rows),
        "held_out": len(result.faces.of("held_out")),
        "sha256": result.faces.sha256,
        "clips": [
            {
                "name": outcome.name,
                "kept": outcome.kept,
                "held_out": outcome.held_out,
                "left_out": dict(outcome.left_out),
                "is_known": outcome.is_known,
                "problem": outcome.problem[0] if outcome.problem else None,
                "is_complete": outcome.row.is_complete if outcome.row else None,
                "tracks": [track.model_dump() for track in outcome.row.tracks] if outcome.row else [],
            }
            for outcome in result.outcomes
        ],
    }
