"""Lines and tables on standard output: as wide as a terminal, or plain columns without padding when piped."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wide enough for every cell of a piped table: no line is wrapped or cut there.
PIPED_WIDTH = 10_000


def table_console() -> Console:
    """Where tables are printed."""
    is_terminal = sys.stdout.isatty()
    return Console(highlight=False, width=None if is_terminal else PIPED_WIDTH, no_color=not is_terminal)


def plain_table() -> Table:
    """A table without a frame, to add columns and rows to."""
    return Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))


def print_plain_table(console: Console, table: Table) -> None:
    """Print a table; when piped without the spaces that fill its lines."""
    if sys.stdout.isatty():
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    print_lines(line.rstrip() for line in capture.get().splitlines())


def print_figures(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A table of texts, which are shown as they are, markup and all."""
    table = plain_table()
    for name in headings:
        table.add_column(name)
    for row in rows:
        table.add_row(*map(Text, row))
    print_plain_table(table_console(), table)


def print_lines(lines: Iterable[str]) -> None:
    """Lines on standard output, without the padding that a table gives them."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
