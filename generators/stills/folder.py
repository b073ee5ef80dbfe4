"""The folder of a family made from stills: whose it is, whether it is done, and what says that it is synthetic.

    real/000000.jpg ...      label 0, re-encoded      fake/000000-0.jpg ...   label 1, by the same encoder
    mask/000000-0.png ...    255 where the fake was changed altogether
    manifest.csv             written last: a folder that has one is done
    stills.json              the recipe, written before the first picture
    README.txt               what this is, in words

Every JPEG says in a comment what it is; both classes' comments have one length, so that not even a file's size tells them
apart. Limits: a stranger's tool may strip the comment.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from forensics.common.manifest import Item, read_manifest, write_manifest
from generators.pictures import encoded
from generators.provenance import COMMENT

RECORD, MANIFEST, README = "stills.json", "manifest.csv", "README.txt"
REAL, FAKE, MASK = "real", "fake", "mask"
REAL_COMMENT = "Photograph: re-encoded beside fakes by forensics generate, else unchanged."
# JPEG (ITU-T T.81, B.2.4.5): a comment is the marker FF FE and a length of two bytes, which counts itself.
JPEG_START, COMMENT_MARKER, LENGTH_BYTES = b"\xff\xd8", b"\xff\xfe", 2


class StillsRecord(BaseModel):
    """stills.json: the recipe of every file in the folder.

    data: the manifests, with the SHA-256 of their bytes. rows: one hash of the reals chosen of them, in their order, by
    which files are named (`pairs.digest_of_rows`). models: SHA-256 of each network's file that drew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["forensics-stills-1"] = "forensics-stills-1"
    family: str
    options: dict[str, Any]
    data: dict[str, str]
    rows: str = ""
    models: dict[str, str] = {}


def claim(folder: Path, record: StillsRecord, overwrite: bool) -> bool:
    """Make the folder this family's; whether all of it is there already, so that nothing is left to do.

    With `overwrite`, what an older recipe of the same program made is taken away first. Raises UsageError for a folder
    that holds something else, or another recipe's pictures.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder with --output")
    before = _read(folder)
    if before is None:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds files that no family of stills wrote", "choose another --output")
    elif before != record:
        if not overwrite:
            raise UsageError(
                f"{folder} holds pictures of another recipe: {_difference(before, record)}",
                "another --output, or --overwrite",
            )
        _clear(folder)
    with _named_errors(folder):
        write_atomic(folder / RECORD, json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
    return _is_done(folder)


def jpeg(picture: NDArray[np.uint8], quality: int, is_fake: bool) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG that says what it is; 4:2:0 chroma for both classes."""
    data = encoded(picture, f"jpeg:{quality}")
    length = max(len(COMMENT), len(REAL_COMMENT))
    text = (COMMENT if is_fake else REAL_COMMENT).ljust(length).encode("ascii")
    segment = COMMENT_MARKER + (len(text) + LENGTH_BYTES).to_bytes(2, "big") + text
    if not data.startswith(JPEG_START):
        raise ValueError("not a JPEG")
    return JPEG_START + segment + data[len(JPEG_START) :]


def finish(folder: Path, rows: Sequence[Item], about: str) -> Path:
    """Write README.txt and, last, the manifest; its path. Raises UsageError where no picture came of it."""
    if not any(row.label == 1 for row in rows):
        raise UsageError(
            "no fake could be made of these pictures",
            "do they show faces large enough, of two people or more in one split? See what was skipped, above",
        )
    fakes = sum(row.label for row in rows)
    text = (
        f"{about}\n{fakes} synthetic pictures in {FAKE}/ (label 1) and {len(rows) - fakes} photographs in {REAL}/"
        f" (label 0), both through one JPEG encoder.\n{COMMENT}\nFor training and testing detectors; the terms of the"
        " photographs apply to the fakes made of them.\n"
    )
    with _named_errors(folder):
        write_atomic(folder / README, text)
        write_manifest(folder / MANIFEST, rows)
    return folder / MANIFEST


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} cannot be written: {error.strerror}", "is the disk full, or read-only?"
        ) from error


def _read(folder: Path) -> StillsRecord | None:
    try:
        return StillsRecord.model_validate_json((folder / RECORD).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise UsageError(f"{folder / RECORD} is not a record of stills", "choose another --output") from error


def _difference(before: StillsRecord, now: StillsRecord) -> str:
    """The first thing that differs, in words."""
    for name in ("family", "data", "models"):
        if getattr(before, name) != getattr(now, name):
            return f"{name} {getattr(before, name)!r}, not {getattr(now, name)!r}"
    # After the options: another split or limit is said as such.
    for name in sorted(before.options.keys() | now.options.keys()):
        old, new = before.options.get(name), now.options.get(name)
        if old != new:
            return f"--{name.replace('_', '-')} was {old!r}, not {new!r}"
    if before.rows and before.rows != now.rows:
        return "the reals chosen of the data are others, or in another order"
    return "an older version's"


def _clear(folder: Path) -> None:
    """Remove what this program wrote there; other files stay."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for kind, pattern in ((FAKE, "[0-9]*.jpg"), (MASK, "[0-9]*.png"), (REAL, "[0-9]*.jpg")):
        for path in (folder / kind).glob(pattern):
            path.unlink()


def _is_done(folder: Path) -> bool:
    """Whether the manifest is there, and every file that it names; a manifest that lies is taken away."""
    path = folder / MANIFEST
    if not path.exists():
        return False
    rows = read_manifest(path)
    if all(row.path.exists() and (not row.mask or (folder / row.mask).exists()) for row in rows):
        return True
    path.unlink()
    return False
