"""The manifest of an inspection's files: each name with its SHA-256, and the check of it.

    SHA256  name
The input's own line comes first, under `input`. Whoever changes a file and the manifest alike is not found out by the
manifest: its own hash is printed when it is written, to be kept elsewhere.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from forensics.common.files import safe_name, sha256_of_file
from forensics.report.record import Document

SUFFIX = ".manifest.json"


class ManifestOfFiles(Document):
    """NAME.manifest.json beside an inspection's record NAME.json."""

    kind: Literal["manifest"] = "manifest"
    input_path: str
    input_sha256: str | None
    files: dict[str, str] = Field(description="SHA-256 by file name, of all that was written for this input")


@dataclass(frozen=True)
class Checked:
    """One line of a check: what, whether it is as it was (None where that cannot be said), and why not."""

    name: str
    is_unchanged: bool | None
    detail: str


def check_file(path: Path, sha256: str, shown: str) -> Checked:
    """Whether a file still has its hash."""
    try:
        if not path.is_file():
            return Checked(shown, False, "missing")
        found = sha256_of_file(path)
    except OSError as error:
        return Checked(shown, False, f"cannot be read: {error.strerror}")
    return Checked(
        shown, found == sha256, "" if found == sha256 else f"changed: SHA-256 is {found}, {sha256} was recorded"
    )


def check_files(folder: Path, manifest: ManifestOfFiles) -> list[Checked]:
    """Every file of the manifest, which lies in `folder`; a name that would leave the folder is one that does not fit."""
    found = []
    for name, sha256 in manifest.files.items():
        if safe_name(name, 255) != name:
            found.append(Checked(name, False, "not a name that this tool writes"))
        else:
            found.append(check_file(folder / name, sha256, name))
    return found
