"""The table that a person reads, and the exit status that a script reads."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from forensics.analysis.corroboration import FLAGGED
from forensics.batch import Finished
from forensics.cli.lines import plain_table, print_lines, print_plain_table, table_console
from forensics.common.text import terminal_line
from forensics.report.findings import by_weight
from forensics.report.record import Record
from forensics.report.summary import face_count, moment_text, reason_text, verdict_text

STYLES = {"likely fake": "bold red", "likely real": "green", "inconclusive": "yellow", "not analysed": "dim"}


def print_table(done: Sequence[Finished], output: Path | None) -> None:
    """Print one row per input to standard output: boxed in a terminal, plain columns when piped."""
    is_terminal = sys.stdout.isatty()
    console, table = table_console(), plain_table()
    for name, justify in (
        ("file", "left"),
        ("verdict", "left"),
        ("P(fake)", "right"),
        ("faces", "right"),
        ("moment", "right"),
        ("time", "right"),
    ):
        overflow = "fold" if name == "file" else "ellipsis"
        table.add_column(name, justify=justify, overflow=overflow, no_wrap=name not in ("file", "verdict"))  # type: ignore[arg-type]
    if not is_terminal:
        table.add_column("reason", no_wrap=True)
    for finished in done:
        table.add_row(*_row(finished.record, is_terminal, finished.is_reused))
    print_plain_table(console, table)
    for finished in done:
        _print_evidence(finished, output)
    console.print(_footer([finished.record for finished in done], output), style="dim" if is_terminal else None)


def _print_evidence(finished: Finished, output: Path | None) -> None:
    """What the classical analyses found, where they were run: what is out of the ordinary, and what it amounts to."""
    evidence, name = finished.record.evidence, terminal_line(finished.record.input.name)
    if evidence is None:
        return
    flagged = [f"{part.analysis} {part.state}" for part in by_weight(evidence.findings) if part.state in FLAGGED]
    said = f"{', '.join(flagged)}. " if flagged else ""
    print_lines([f"{name}: evidence: {said}{terminal_line(evidence.message) or evidence.corroboration.summary}"])
    if finished.manifest_sha256 is not None and output is not None:
        print_lines([f"manifest SHA-256 {finished.manifest_sha256}  {output / str(finished.stem)}.manifest.json"])


def _row(record: Record, is_terminal: bool, is_reused: bool) -> list[Text]:
    label, reason = verdict_text(record), reason_text(record)
    faces = face_count(record)
    verdict = Text(label, STYLES[label])
    if is_terminal and reason:
        verdict.append(f"\n{reason}", "dim")
    probability = record.verdict.probability if record.verdict else None
    cells = [
        Text(terminal_line(record.input.name)),
        verdict,
        Text("-" if probability is None else f"{probability:.2f}"),
        Text("-" if faces is None else str(faces)),
        Text(moment_text(record)),
        Text("reused" if is_reused else f"{record.clock.wall_s:.1f} s"),
    ]
    return cells if is_terminal else [*cells, Text(reason)]


def _footer(records: Sequence[Record], output: Path | None) -> Text:
    line = "P(fake): calibrated probability at even prior odds; 0 = real, 1 = fake"
    priors = {record.verdict.prior for record in records if record.verdict}
    if priors - {0.5}:
        line = f"P(fake): calibrated probability at a prior of {', '.join(f'{p:g}' for p in sorted(priors))}"
    if output is not None:
        line += f"{os.linesep}records in {output}"
    return Text(line)


def exit_status(records: Sequence[Record], fail_on: str) -> int:
    """0 done, 4 nothing could be analysed, 1 what --fail-on names was found, 3 some could not be; in this precedence."""
    analysed = [record for record in records if record.outcome.analysed]
    if not analysed:
        return 4
    wanted = {"never": (), "fake": ("likely fake",), "suspect": ("likely fake", "inconclusive")}[fail_on]
    if any(record.verdict and record.verdict.label in wanted for record in analysed):
        return 1
    return 3 if len(analysed) < len(records) else 0
