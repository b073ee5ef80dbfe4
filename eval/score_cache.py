"""Scores that are known already: one line of JSON each, appended as they are made, so that a stopped run goes on.

A line that was cut off by a crash is ignored, and the item scored again.
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path

from forensics.common.errors import UsageError
from forensics.common.outcomes import Outcome


@dataclass(frozen=True)
class TrackScore:
    """One face track of a clip: its score and (timestamp_s, score) of each of its samples; 1 = fake."""

    id: int
    score: float
    frames: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ItemScore:
    """What one detector says of one item; `score` in [0, 1], 1 = fake, None unless the outcome is `scored`.

    track: the one that the score comes from (clips with faces only); tracks: all that are large enough (clips only);
    verdict: what a scan says, for the detector that verdicts rest on; is_partial: the file is damaged or cut off, and the
    score rests on what could be decoded.
    """

    outcome: Outcome
    score: float | None = None
    is_clip: bool = False
    track: int | None = None
    tracks: tuple[TrackScore, ...] = ()
    verdict: str | None = None
    message: str = ""
    is_partial: bool = False


class ScoreCache:
    """A file of scores by key; safe to use from several threads. Raises UsageError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, ItemScore] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            self._file = path.open("a", encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {error}", "name an --output that can be written, or remove the file") from error
        if lines and not path.read_bytes().endswith(b"\n"):
            self._file.write("\n")  # after a line that a crash cut off
        for line in lines:
            try:
                entry = json.loads(line)
                self._known[str(entry["key"])] = _from_json(entry)
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key: str) -> ItemScore | None:
        """The score under a key."""
        return self._known.get(key)

    def put(self, key: str, score: ItemScore) -> None:
        """Keep a score; what could not be analysed is not kept, since the cause may lie outside the file."""
        if not score.outcome.analysed:
            return
        line = json.dumps({"key": key, **_to_json(score)}, separators=(",", ":"))
        with self._lock:
            self._known[key] = score
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _to_json(score: ItemScore) -> dict[str, object]:
    return {
        "outcome": str(score.outcome),
        "score": score.score,
        "clip": score.is_clip,
        "track": score.track,
        "tracks": [
            [track.id, track.score, [[time_s, value] for time_s, value in track.frames]] for track in score.tracks
        ],
        "verdict": score.verdict,
        "message": score.message,
        "partial": score.is_partial,
    }


def _from_json(entry: dict[str, object]) -> ItemScore:
    tracks = [
        TrackScore(int(number), float(value), tuple((float(t), float(s)) for t, s in frames))
        for number, value, frames in entry["tracks"]  # type: ignore[attr-defined]
    ]
    return ItemScore(
        outcome=Outcome(str(entry["outcome"])),
        score=None if entry["score"] is None else float(entry["score"]),  # type: ignore[arg-type]
        is_clip=bool(entry["clip"]),
        track=None if entry["track"] is None else int(entry["track"]),  # type: ignore[call-overload]
        tracks=tuple(tracks),
        verdict=None if entry["verdict"] is None else str(entry["verdict"]),
        message=str(entry["message"]),
        is_partial=bool(entry["partial"]),
    )
