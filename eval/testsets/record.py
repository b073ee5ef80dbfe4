"""testset.json: the recipe of a set, and what came of it. No clock: same inputs, options and software, same bytes.

Limits: inputs are named by absolute paths, so a rebuild elsewhere needs them at the same place.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from eval.results import Part
from forensics.common.errors import ManifestError
from forensics.common.files import sha256_of_text

SCHEMA_VERSION = "1.0"
RECORD_FILE, MANIFEST_FILE, DATASHEET_FILE = "testset.json", "manifest.csv", "DATASHEET.md"
Class = Literal["real", "fake"]
CLASSES: tuple[Class, Class] = ("real", "fake")  # by label
Kind = Literal["picture", "clip"]


class InputPart(Part):
    """One DATA."""

    path: str
    gives: tuple[Class, ...]
    layout: str
    sha256: str = Field(description="of its manifest; of the list of its rows where the layout has no manifest")
    rows: int


class RecipePart(Part):
    """All that decides what is in the set."""

    options: dict[str, Any]
    inputs: tuple[InputPart, ...]

    def sha256(self) -> str:
        """What tells one recipe from another."""
        return sha256_of_text(self.model_dump_json())


class CountPart(Part):
    """How many files of one kind."""

    split: str
    label: Class
    family: str
    kind: Kind
    n: int = Field(description="perturbed copies not counted")
    n_perturbed: int


class LeftOutPart(Part):
    """Rows of the inputs that are not in the set."""

    reason: str
    real: int
    fake: int


class SizePart(Part):
    """Pixels of the longest side of one class's pictures, as they are in the set without their perturbed copies."""

    label: Class
    n: int
    min_px: int
    median_px: float
    max_px: int


class AuditPart(Part):
    """What the shortcut audit said of the finished set."""

    verdict: str
    lines: tuple[str, ...]


class SetRecord(Part):
    """The contents of testset.json."""

    schema_version: str = SCHEMA_VERSION
    tool: Literal["deepfake-forensics"] = "deepfake-forensics"
    tool_version: str
    state: Literal["building", "complete"]
    name: str
    seed: int
    recipe: RecipePart
    recipe_sha256: str
    environment: dict[str, str]
    encoding: str = ""
    encoding_reason: str = ""
    is_pooled: bool = Field(False, description="whether all rows have the set's name as their data set")
    counts: tuple[CountPart, ...] = ()
    left_out: tuple[LeftOutPart, ...] = ()
    sizes: tuple[SizePart, ...] = ()
    notes: tuple[str, ...] = ()
    audit: AuditPart | None = None
    n_files: int = 0
    files_sha256: str = Field("", description="over the lines '<sha256> <path>' of all pictures and clips, by path")
    manifest_sha256: str = ""

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"


def read_record(path: Path) -> SetRecord:
    """Raises ManifestError where it is missing or damaged."""
    try:
        return SetRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestError(
            f"cannot read {path}: {error.strerror}", "name a folder that `forensics bench testset` wrote"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ManifestError(f"{path} is damaged: {place}: {first['msg']}", "build the set again") from error


def hash_of_files(hashes: dict[str, str]) -> str:
    """One hash over SHA-256 by path."""
    return sha256_of_text("".join(f"{digest} {path}\n" for path, digest in sorted(hashes.items())))
