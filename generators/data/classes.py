"""Rows -> class indices: by folder, or by any column of a manifest."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError, UsageError
from forensics.common.progress import Progress
from forensics.common.text import terminal_line
from generators.data.request import BY_FOLDER, NO_CLASSES
from generators.data.rows import Row

COLUMNS = ("label", "generator", "dataset", "source", "identity", "split", "view")
# The class of rows that have nothing in the column: reals have no generator.
UNNAMED = "unnamed"
# One picture cannot be told from its class.
MIN_PICTURES = 2
NAMES_SHOWN = 8


def class_labels(rows: Sequence[Row], class_by: str, progress: Progress) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class index of each row, (N,) int64, and the classes' names, sorted; all 0 and () where there are no classes.

    Raises UsageError for a column that is not there, ManifestError for classes with fewer than two pictures.
    """
    if class_by == NO_CLASSES:
        return np.zeros(len(rows), np.int64), ()
    values = [_value(row, class_by) for row in rows]
    if not any(values):
        known = ", ".join([NO_CLASSES, BY_FOLDER, *_columns(rows)])
        what = "folder below the data" if class_by == BY_FOLDER else f"'{class_by}'"
        raise UsageError(f"no chosen picture has a {what} that could be its class", f"classes can be by: {known}")
    n_unnamed = sum(not value for value in values)
    if n_unnamed:
        progress.say(f"classes: {n_unnamed} pictures have no {class_by}; they are the class '{UNNAMED}'")
    named = [value or UNNAMED for value in values]
    counts = Counter(named)
    small = sorted(name for name, count in counts.items() if count < MIN_PICTURES)
    if small:
        shown = ", ".join(terminal_line(name) for name in small[:NAMES_SHOWN])
        more = f" and {len(small) - NAMES_SHOWN} more" if len(small) > NAMES_SHOWN else ""
        raise ManifestError(
            f"{len(small)} of {len(counts)} classes have fewer than {MIN_PICTURES} pictures: {shown}{more}",
            "choose other classes (--class-by), take more pictures, or leave these rows out",
        )
    names = tuple(sorted(counts))
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[name] for name in named], np.int64), names


def _value(row: Row, class_by: str) -> str:
    if class_by == BY_FOLDER:
        return row.folder
    value = getattr(row.item, class_by) if class_by in COLUMNS else row.item.extra.get(class_by, "")
    return str(value).strip()


def _columns(rows: Sequence[Row]) -> list[str]:
    """Columns in which some row has a value."""
    extra = dict.fromkeys(name for row in rows for name in row.item.extra)
    return [name for name in (*COLUMNS, *extra) if any(_value(row, name) for row in rows)]
