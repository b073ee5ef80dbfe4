"""The manifest: a CSV that lists media with their labels; the one format that every command reads and writes.

Columns: path,label,generator,dataset,source,identity,split,view,mask (unused ones may be absent); paths are relative to
the manifest; label 1 = fake, 0 = real. `view` is `face` (already a face crop in the canonical frame), `scene` (faces are
looked for) or `whole` (the picture is judged as a whole).
Columns that a reader does not know are kept in `extra`.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from forensics.common.errors import ManifestError
from forensics.common.files import write_atomic

COLUMNS = ("path", "label", "generator", "dataset", "source", "identity", "split", "view", "mask")
SPLITS = ("train", "dev", "test")
VIEWS = ("face", "scene", "whole")


@dataclass(frozen=True)
class Item:
    """One row. `path` is absolute; label is 1 for fake, 0 for real."""

    path: Path
    label: int
    generator: str = ""
    dataset: str = ""
    source: str = ""
    identity: str = ""
    split: str = ""
    view: str = "scene"
    mask: str = ""
    extra: dict[str, str] = field(default_factory=dict)


def read_manifest(path: Path) -> list[Item]:
    """Rows of a manifest in file order.

    Raises ManifestError for a missing file, missing columns, or a value outside its domain (with the line's number).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark before the header
        reader = csv.DictReader(io.StringIO(text))
        header = reader.fieldnames or []
        rows = [(row, reader.line_num) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"cannot read manifest {path}: {error}", "give the path of a CSV with a header") from error
    for column in ("path", "label"):
        if column not in header:
            raise ManifestError(f"{path} has no column '{column}'", f"the header should hold: {','.join(COLUMNS)}")
    return [_item(row, path, line) for row, line in rows]


def _item(row: dict[str, str], manifest: Path, line: int) -> Item:
    values = {key: (row.get(key) or "").strip() for key in COLUMNS}
    if not values["path"]:
        raise ManifestError(f"{manifest}:{line}: the row has no path", "one picture or video per row")
    if values["label"] not in ("0", "1"):
        raise ManifestError(f"{manifest}:{line}: label is '{values['label']}'", "labels are 1 = fake, 0 = real")
    if values["split"] and values["split"] not in SPLITS:
        raise ManifestError(f"{manifest}:{line}: split is '{values['split']}'", f"one of {', '.join(SPLITS)}")
    view = values["view"] or "scene"
    if view not in VIEWS:
        raise ManifestError(f"{manifest}:{line}: view is '{view}'", f"one of {', '.join(VIEWS)}")
    extra = {key: value or "" for key, value in row.items() if key and key not in COLUMNS}
    known = {key: values[key] for key in ("generator", "dataset", "source", "identity", "split", "mask")}
    return Item(
        path=manifest.parent.absolute() / values["path"], label=int(values["label"]), view=view, extra=extra, **known
    )


def write_manifest(path: Path, items: Iterable[Item]) -> None:
    """Write rows with paths relative to the manifest's folder (as they are where they lie elsewhere)."""
    rows = list(items)
    names = list(dict.fromkeys(name for item in rows for name in item.extra))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for item in rows:
        is_inside = item.path.is_relative_to(path.parent)
        shown = item.path.relative_to(path.parent) if is_inside else item.path
        fixed = [getattr(item, column) for column in COLUMNS[1:]]
        writer.writerow([shown.as_posix(), *fixed, *(item.extra.get(name, "") for name in names)])
    write_atomic(path, buffer.getvalue())
