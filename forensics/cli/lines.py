"""Lines on standard output; light to import."""

import sys
from collections.abc import Iterable

# Wide enough for every cell of a piped table: no line is wrapped or cut there.
PIPED_WIDTH = 10_000


def print_lines(lines: Iterable[str]) -> None:
    """Lines on standard output, without the padding that a table gives them."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
