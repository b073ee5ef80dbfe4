"""Tables that a person reads, and how figures stand in them."""

from collections.abc import Sequence

from rich.text import Text

from forensics.cli.lines import plain_table, print_plain_table, table_console
from forensics.common.text import terminal_line


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric_from: int = 1) -> None:
    """Print to standard output; columns from `numeric_from` on are aligned to the right."""
    table = plain_table()
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index >= numeric_from else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(terminal_line(cell)) for cell in row))
    print_plain_table(table_console(), table)


def figure(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash for one that is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A figure with its interval."""
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def percent(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else f"{100 * value:.1f} %"


def signed_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A difference with its interval."""
    if value is None:
        return "-"
    return f"{value:+.3f}" if low is None or high is None else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
