"""The manifest of a report's files: each name with its SHA-256, and the check of it.

    SHA256  name
The input's own line comes first, under `input`. Whoever changes a file and the manifest alike is not found out by the
manifest: its own hash is printed when it is written, to be kept elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from forensics.common.files import safe_name, sha256_of_file, sha256_of_text
from forensics.report.parts import Document
from forensics.report.store import NamedFile, OutputFolder

SUFFIX = ".manifest.json"


class ManifestOfFiles(Document):
    """NAME.manifest.json beside a record NAME.json."""

    kind: Literal["manifest"] = "manifest"
    input_path: str
    input_sha256: str | None
    files: dict[str, str] = Field(description="SHA-256 by file name, of all that was written for this input")


def write_with_manifest(folder: OutputFolder, stem: str, file: NamedFile, contents: Mapping[str, str | bytes]) -> str:
    """Write all files of an input by name, their manifest last; returns the manifest's SHA-256.

    file: the input, as its record names it. Raises UsageError as OutputFolder.write does.
    """
    write_report(folder, stem, contents)
    files = {name: sha256_of_file(folder.folder / name) for name in sorted(contents)}
    manifest = ManifestOfFiles(input_path=file.path, input_sha256=file.sha256, files=files).to_json() + "\n"
    folder.write(f"{stem}{SUFFIX}", manifest)
    return sha256_of_text(manifest)


def write_report(folder: OutputFolder, stem: str, contents: Mapping[str, str | bytes]) -> None:
    """Write all files of an input by name, without a manifest. What an earlier report of the same name left is removed
    before, its manifest first: what is not written again would not fit what is.
    """
    path = folder.folder / f"{stem}{SUFFIX}"
    earlier = _read(path)
    folder.discard(path.name)
    for name in earlier.files if earlier is not None else ():
        folder.discard(name)
    for name, content in contents.items():
        folder.write(name, content)


def is_intact(folder: OutputFolder, stem: str, names: Iterable[str]) -> bool:
    """Whether the manifest of a report lists these files, and all that it lists are as they were written."""
    manifest = _read(folder.folder / f"{stem}{SUFFIX}")
    if manifest is None or not set(names) <= set(manifest.files):
        return False
    return all(line.is_unchanged for line in check_files(folder.folder, manifest))


def _read(path: Path) -> ManifestOfFiles | None:
    try:
        return ManifestOfFiles.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


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
