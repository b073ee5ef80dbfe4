"""Tables as text: what a page and a Markdown file both show, built once.

A figure that is undefined reads UNDEFINED and carries the number of a note that says why; one that a detector has not at
all reads ABSENT. Names come from data and are left as they are: each rendering escapes them for itself.
"""

from dataclasses import dataclass
from typing import Literal

UNDEFINED = "n/a"
ABSENT = "–"
UNNAMED = "unnamed"
# A percentile bootstrap over fewer clusters is too narrow (Cameron, Gelbach, Miller 2008 begin to worry below 30).
FEW_CLUSTERS = 30
Tone = Literal["good", "bad", ""]


@dataclass(frozen=True)
class Cell:
    """One figure as text; `shade` in [0, 1] is how dark it may stand in a table, `note` the table's note on it."""

    text: str
    interval: str = ""
    shade: float | None = None
    note: int | None = None


@dataclass(frozen=True)
class Row:
    """A label within its group, what it was counted on, and one cell per column."""

    group: str
    label: str
    counts: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table with one column per detector, or per name in `columns`; notes are numbered from 1.

    tone: whether the shade of a cell means good or bad; without one, cells are not shaded.
    """

    title: str
    meaning: str
    label_title: str
    count_titles: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    tone: Tone = ""


class Notes:
    """Numbers the distinct notes of one table in the order in which they come up."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, note: str) -> int:
        return self._numbers.setdefault(note, len(self._numbers) + 1)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)
