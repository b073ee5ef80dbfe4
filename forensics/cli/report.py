"""`forensics report`."""

from pathlib import Path

import click


@click.group("report", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Work with records that were written: compare two inspections.

    \b
    Did the same file get the same findings?
      forensics report diff before/photo.json after/photo.json
    """


@command.command("diff")
@click.argument("first", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("second", metavar="B.json", type=click.Path(path_type=Path))
def diff(first: Path, second: Path) -> int:
    """Compare the findings of two inspections' records.

    Clock, command line and paths are left out. Exit status: 0 the same; 1 they differ; 2 usage error.
    """
    from forensics.cli.lines import print_figures, print_lines
    from forensics.common.text import terminal_line
    from forensics.verification import compare_reports

    found = compare_reports(first, second)
    if not found:
        print_lines(["the same file, the same findings"])
        return 0
    print_figures(("", "A", "B"), [(d.what, terminal_line(d.first), terminal_line(d.second)) for d in found])
    return 1
