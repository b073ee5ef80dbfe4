"""scores.csv: what each detector said of each item, one row per item and detector; the format that imports read too.

Columns: path,label,score,outcome,generator,dataset,source,identity,video,track,split,detector,sha256. label 1 = fake; the
score is in [0, 1], 1 = fake, and empty unless the outcome is `scored`. `video` is the identity of the video that the item
is, or is a frame of (its whole relative path without extension, so that equal names in two folders stay two videos);
`track` is the face track that a clip's score comes from.
"""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from forensics.common.errors import ManifestError
from forensics.common.files import write_atomic
from forensics.common.outcomes import Outcome
from forensics.common.text import csv_cell, printable, uncsv_cell

COLUMNS = (
    "path", "label", "score", "outcome", "generator", "dataset", "source", "identity", "video", "track", "split",
    "detector", "sha256",
)  # fmt: skip
TEXT_COLUMNS = ("path", "generator", "dataset", "source", "identity", "video", "track", "split", "detector", "sha256")
# More digits than any detector means; fewer would make ties of different scores near 0 and 1.
SCORE_DIGITS = 12
HEADER_HINT = (
    "the header should hold path,label,score and may hold generator,dataset,source,identity,video,detector,outcome"
)


@dataclass(frozen=True)
class ScoreRow:
    """One detector's score of one item; label 1 = fake; `score` in [0, 1] or None where the outcome is not `scored`."""

    path: str
    label: int
    score: float | None
    outcome: Outcome = Outcome.SCORED
    generator: str = ""
    dataset: str = ""
    source: str = ""
    identity: str = ""
    video: str = ""
    track: str = ""
    split: str = ""
    detector: str = ""
    sha256: str = ""


def write_scores(path: Path, rows: Iterable[ScoreRow]) -> None:
    """Write rows as CSV, in their order."""
    write_atomic(path, scores_text(rows))


def scores_text(rows: Iterable[ScoreRow]) -> str:
    """The CSV with COLUMNS; text cells cannot become formulas in a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        score = "" if row.score is None else f"{row.score:.{SCORE_DIGITS}g}"
        values = {"label": str(row.label), "score": score, "outcome": str(row.outcome)}
        values |= {name: csv_cell(printable(getattr(row, name))) for name in TEXT_COLUMNS}
        writer.writerow([values[name] for name in COLUMNS])
    return buffer.getvalue()


def read_scores(path: Path, detector: str = "") -> list[ScoreRow]:
    """Rows of a scores.csv, ours or another tool's, in file order; `detector` names rows that do not name theirs.

    Raises ManifestError, with the line, for a missing column, a label that is not 0 or 1, a score outside [0, 1], an
    unknown outcome, or a row that has no score and no outcome that says why: a failure is never scored silently.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text))
        header = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = header
        for column in ("path", "label", "score"):
            if column not in header:
                raise ManifestError(f"{path} has no column '{column}'", HEADER_HINT)
        rows = [_row(row, f"{path}:{reader.line_num}", detector) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"cannot read scores {path}: {error}", "give the path of a CSV with a header") from error
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.path, row.detector) in seen:
            raise ManifestError(
                f"{path}: {row.path} is there twice for detector '{row.detector or 'unnamed'}'",
                "one row per item and detector; frames of one video have paths of their own",
            )
        seen.add((row.path, row.detector))
    return rows


def _row(row: dict[str, str | None], place: str, detector: str) -> ScoreRow:
    cells = {name: uncsv_cell((row.get(name) or "").strip()) for name in COLUMNS}
    if not cells["path"]:
        raise ManifestError(f"{place}: the row has no path", "one item and detector per row")
    if cells["label"] not in ("0", "1"):
        raise ManifestError(f"{place}: label is '{cells['label']}'", "labels are 1 = fake, 0 = real")
    outcome = _outcome(cells, place)
    score = _score(cells["score"], place) if outcome is Outcome.SCORED else None
    texts = {name: cells[name] for name in TEXT_COLUMNS}
    texts["detector"] = texts["detector"] or detector
    return ScoreRow(label=int(cells["label"]), score=score, outcome=outcome, **texts)


def _outcome(cells: dict[str, str], place: str) -> Outcome:
    named = cells["outcome"]
    if named and named not in set(Outcome):
        raise ManifestError(f"{place}: outcome is '{named}'", f"one of {', '.join(Outcome)}")
    if not named and not cells["score"]:
        raise ManifestError(
            f"{place}: neither a score nor an outcome", "fill the column outcome, e.g. with no_face or unreadable"
        )
    return Outcome(named) if named else Outcome.SCORED


def _score(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ManifestError(
            f"{place}: score is '{text}'", "scores are from 0 (real) to 1 (fake); a failure has an outcome and no score"
        )
    return value
