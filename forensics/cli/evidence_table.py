"""What `forensics inspect` prints for a person, and its exit status."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from forensics.cli.lines import plain_table, print_lines, print_plain_table, table_console
from forensics.common.text import terminal_line
from forensics.inspection_batch import Inspected
from forensics.report.evidence import EvidenceRecord
from forensics.report.findings import FindingPart, by_weight

STYLES = {"inconsistent": "bold red", "suspicious": "yellow", "consistent": "green", "inconclusive": "dim"}


def print_evidence(done: Sequence[Inspected], output: Path | None) -> None:
    """A table of findings per input on standard output, then where its files are."""
    for number, finished in enumerate(done):
        record = finished.record
        if number:
            print_lines([""])
        reused = " (reused)" if finished.is_reused else ""
        print_lines([f"{terminal_line(record.input.path)}{reused}"])
        if record.outcome == "inspected":
            _print_findings(record)
            print_lines([record.corroboration.summary])
        else:
            print_lines([f"not inspected: {terminal_line(record.message)}"])
        if finished.stem is not None and finished.manifest_sha256 is not None and output is not None:
            print_lines([f"manifest SHA-256 {finished.manifest_sha256}  {output / finished.stem}.manifest.json"])


def _print_findings(record: EvidenceRecord) -> None:
    is_terminal = sys.stdout.isatty()
    table = plain_table()
    for name in ("analysis", "state", "strength", "observation"):
        table.add_column(name, no_wrap=name != "observation" or not is_terminal, overflow="fold")
    for part in by_weight(record.findings):
        if part.state != "not applicable":
            table.add_row(*_row(part))
    print_plain_table(table_console(), table)
    left_out = [part.title for part in record.findings if part.state == "not applicable"]
    if left_out:
        print_lines([f"not applicable: {', '.join(left_out)}"])


def _row(part: FindingPart) -> list[Text]:
    return [
        Text(part.analysis),
        Text(part.state, STYLES.get(part.state, "")),
        Text(part.strength),
        Text(terminal_line(part.observation)),
    ]


def evidence_exit_status(records: Sequence[EvidenceRecord], fail_on: str) -> int:
    """0 done, 4 nothing could be inspected, 1 what --fail-on names was found, 3 some could not be; in this precedence."""
    inspected = [record for record in records if record.outcome == "inspected"]
    if not inspected:
        return 4
    wanted = {"never": (), "inconsistent": ("inconsistent",), "suspicious": ("suspicious", "inconsistent")}[fail_on]
    if any(part.state in wanted for record in inspected for part in record.findings):
        return 1
    return 3 if len(inspected) < len(records) else 0
