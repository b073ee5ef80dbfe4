"""One line per input: the row of the terminal table and of the CSV."""

import csv
import io
from collections.abc import Sequence

from forensics.common.text import csv_cell
from forensics.report.record import Record

CSV_COLUMNS = (
    "file", "path", "sha256", "outcome", "verdict", "probability", "likelihood_ratio", "prior", "faces", "key_moment_s",
    "frames_analysed", "duration_s", "reasons",
)  # fmt: skip


def verdict_text(record: Record) -> str:
    """The verdict, or `not analysed`."""
    return record.verdict.label if record.verdict else "not analysed"


def reason_text(record: Record) -> str:
    """Why there is no clear verdict; empty where there is one."""
    if record.verdict is None:
        return record.message
    return "; ".join(record.verdict.reasons) if record.verdict.label == "inconclusive" else ""


def moment_text(record: Record) -> str:
    """The moment that weighs most as m:ss.s; `-` for a picture or without one."""
    is_video = record.media is not None and record.media.kind == "video"
    if not is_video or record.verdict is None or record.verdict.key_moment_s is None:
        return "-"
    minutes, seconds = divmod(record.verdict.key_moment_s, 60)
    return f"{int(minutes)}:{seconds:04.1f}"


def face_count(record: Record) -> int | None:
    """How many faces were followed; None where none was looked for or the input could not be analysed."""
    return None if record.input.view == "whole" or not record.outcome.analysed else len(record.tracks)


def csv_text(records: Sequence[Record]) -> str:
    """A CSV with CSV_COLUMNS, one row per input; text cells cannot become formulas."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for record in records:
        writer.writerow([_cell(value) for value in _values(record)])
    return buffer.getvalue()


def _values(record: Record) -> list[str | float | int | None]:
    verdict, media = record.verdict, record.media
    return [
        record.input.name,
        record.input.path,
        record.input.sha256,
        str(record.outcome),
        verdict_text(record),
        verdict.probability if verdict else None,
        verdict.likelihood_ratio if verdict else None,
        verdict.prior if verdict else None,
        face_count(record),
        verdict.key_moment_s if verdict else None,
        media.frames_analysed if media else None,
        media.duration_s if media else None,
        "; ".join(verdict.reasons) if verdict else record.message,
    ]


def _cell(value: str | float | int | None) -> str | float | int:
    if value is None:
        return ""
    return csv_cell(value) if isinstance(value, str) else value
