"""Failure cases with pictures: a folder of one's own pictures that `forensics bench run` has scored.

The folder holds the pictures, results.json and scores.csv of the run, and NOTE.md, which says who made the pictures and
under which terms: a card is published, and pictures of a data set mostly may not be. Shown is what the detector got
wrong, worst first.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from eval.card.sources import Source, SourceFile, read_text, shown
from eval.report.mistakes import mistakes_of
from eval.results import Results
from eval.score_table import ScoreRow, read_scores
from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.report.markdown import markdown_text

NOTE_FILE, SCORES_FILE = "NOTE.md", "scores.csv"
# What a browser shows within a page; a clip is linked.
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}
WIDTH_PX = 160


@dataclass(frozen=True)
class FailureCases:
    """Rows that the detector got wrong, worst first, and those without a score; the note on where the pictures are from."""

    folder: Path
    note: str
    threshold: float
    n: int
    rows: tuple[ScoreRow, ...]
    files: tuple[SourceFile, ...]


def read_failures(folder: Path, results: Source[Results], detector: str) -> FailureCases:
    """results: those of the folder.

    Raises UsageError for a folder without note, or a picture outside it or changed since; ManifestError for scores that
    cannot be read.
    """
    hint = f"{NOTE_FILE} says who made the pictures and under which terms; pictures of a data set are not for a card"
    if not (folder / NOTE_FILE).is_file():
        raise UsageError(f"{folder} holds no {NOTE_FILE}", hint)
    note, note_file = read_text(folder / NOTE_FILE, "failures")
    if not note.strip():
        raise UsageError(f"{folder / NOTE_FILE} is empty", hint)
    table = folder / SCORES_FILE
    rows = [row for row in read_scores(table) if row.detector == detector]
    only = results.contents.model_copy(update={"detectors": {detector: results.contents.detectors[detector]}})
    (found,) = mistakes_of(only, rows)
    wrong = (
        *(row for row in found.reals if row.score is not None and row.score >= found.threshold),
        *(row for row in found.fakes if row.score is not None and row.score < found.threshold),
        *found.failures,
    )
    for row in wrong:
        _check_picture(folder, row)
    files = (note_file, SourceFile("failures", shown(table), sha256_of_file(table)), results.file)
    return FailureCases(folder, note.strip(), found.threshold, len(rows), wrong, files)


def failures_section(cases: FailureCases, card: Path) -> list[str]:
    """A table of pictures, linked from the card's folder."""
    lines = [
        f"Of {cases.n:,} pictures of our own making, what the detector gets wrong (the worst six of each kind): a real "
        f"at or above {cases.threshold:.3f}, a fake below it, or no score.",
        cases.note,
    ]
    if not cases.rows:
        return [*lines, "None of them is wrong."]
    table = ["| picture | label | score |", "| :-- | :-- | --: |"]
    for row in cases.rows:
        score = markdown_text(str(row.outcome).replace("_", " ")) if row.score is None else f"{row.score:.3f}"
        table.append(f"| {_picture(cases.folder, row, card)} | {'fake' if row.label else 'real'} | {score} |")
    return [*lines, "\n".join(table)]


def _picture(folder: Path, row: ScoreRow, card: Path) -> str:
    """An <img> that markup in a name cannot leave, or the name alone for what a page does not show."""
    name = markdown_text(row.path)
    target = quote(Path(os.path.relpath((folder / row.path).absolute(), card.absolute().parent)).as_posix())
    if Path(row.path).suffix.lower() not in PICTURES:
        return f"[{name}]({target})"
    kind = "fake" if row.label else "real"
    return f'<img src="{target}" width="{WIDTH_PX}" alt="a {kind} that is misjudged"> {name}'


def _check_picture(folder: Path, row: ScoreRow) -> None:
    path = (folder / row.path).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise UsageError(f"{row.path} is not in {folder}", "a card shows pictures that lie in the folder of --failures")
    if row.sha256 and sha256_of_file(path) != row.sha256:
        raise UsageError(f"{path} is not the picture that was scored", "score the folder again: `forensics bench run`")
