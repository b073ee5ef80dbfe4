"""A manifest: the CSV of forensics.common.manifest, which every command here writes and reads.

It may name files anywhere, since it is the user's own word, unlike the lists of a downloaded collection. Rows whose files
are not there are left out and counted; the same file twice is read once, and refused where the two rows disagree in label.
Videos that the column `video` does not name are named after their path. `dataset`, `generator`, `source` and the rest are
taken as written.
"""

import os
from dataclasses import replace
from pathlib import Path

from eval.datasets.layout import Layout, Reading, canonical_compression, counted
from eval.datasets.tree import is_there
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item, read_manifest
from forensics.common.text import printable
from forensics.media.sniff import VIDEO_SUFFIXES

FILE_NAME = "manifest.csv"


def recognises(path: Path) -> bool:
    """A CSV, or a folder that holds manifest.csv."""
    return path.suffix.lower() == ".csv" if path.is_file() else is_there((path / FILE_NAME).is_file)


def read(path: Path, compression: str | None = None) -> Reading:
    """Rows in file order; `compression` chooses by the column of that name.

    Raises ManifestError as read_manifest does, for rows that contradict each other, and when no file is there; UsageError
    for a compression that is not there.
    """
    file = path if path.is_file() else path / FILE_NAME
    rows = read_manifest(file)
    if compression is not None:
        levels = {canonical_compression(row.extra.get("compression", "")) for row in rows}
        if canonical_compression(compression) not in levels:
            present = ", ".join(sorted(levels - {""})) or "none: it has no column 'compression'"
            raise UsageError(f"{file} has no row at compression {compression}", f"there are: {present}")
        wanted = canonical_compression(compression)
        rows = [row for row in rows if canonical_compression(row.extra.get("compression", "")) == wanted]
    root = file.absolute().parent
    items: dict[str, Item] = {}
    missing = repeated = 0
    for row in rows:
        key = os.path.normpath(row.path)
        if key in items:
            if items[key].label != row.label:
                raise ManifestError(f"{file}: {key!r:.200} is there as real and as fake", "one row per file")
            repeated += 1
        elif not is_there(row.path.is_file):
            missing += 1
        else:
            items[key] = replace(row, extra={**row.extra, "video": row.extra.get("video") or _video(row.path, root)})
    if rows and not items:
        raise ManifestError(
            f"none of the {counted(len(rows), 'file')} of {file} is there", "paths are relative to the manifest"
        )
    notes = [f"{missing} of {counted(len(rows), 'file')} of the manifest not here"] if missing else []
    if repeated:
        notes.append(f"{counted(repeated, 'repeated row')} read once")
    return Reading(tuple(items.values()), root, tuple(notes))


def _video(path: Path, root: Path) -> str:
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return ""
    stem = path.with_suffix("")
    return printable((stem.relative_to(root) if stem.is_relative_to(root) else stem).as_posix())


LAYOUT = Layout(
    name="manifest",
    description="a CSV with the columns path,label,generator,dataset,source,identity,split,...",
    looks="a CSV file, or a folder with manifest.csv",
    recognises=recognises,
    read=read,
)
