"""run.json of a translator: what it is, what it learned from. The rest of the folder: `generators.run_folder`."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forensics import __version__
from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from generators.data.request import DataRequest
from generators.run_folder import RUN_FILE, DataRecord
from generators.translation_config import TranslationConfig


class PairRequest(BaseModel):
    """Which pictures, beside those of `DataRequest`, which are the targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Path | None = Field(
        None,
        description="folder of pix2pix's inputs, named as their targets in --data; of cyclegan's first set, with any names",
    )
    halves: Literal["none", "left", "right"] = Field(
        "none", description="files of --data hold a pair side by side, and this half is the input"
    )
    vgg_weights: Path | None = Field(None, description="torchvision's weights of VGG19, for --perceptual-weight")


class TranslationRun(BaseModel):
    """run.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["forensics-translation-run-1"] = "forensics-translation-run-1"
    version: str = __version__
    system: str
    preset: str
    config: TranslationConfig
    precision: str
    processes: int
    device: str
    request: DataRequest
    pairs: PairRequest
    data: DataRecord
    held_out: int  # pictures that figures are measured on
    perceptual: str  # in whose features likeness is measured; empty without such a part
    versions: dict[str, str]


def read_translation_run(folder: Path) -> TranslationRun | None:
    """The record of a run; None where there is none. Raises UsageError for one that cannot be read."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    try:
        return TranslationRun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is not the record of a translator of this version",
            "use another --output, or give a translator's run",
        ) from error


def is_translation_run(folder: Path) -> bool:
    """Whether the folder's run.json says that it is a translator's, of whatever version."""
    try:
        stored = json.loads((folder / RUN_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(stored, dict) and str(stored.get("format", "")).startswith("forensics-translation-run")


def write_translation_run(folder: Path, run: TranslationRun) -> None:
    """Write run.json."""
    write_atomic(folder / RUN_FILE, json.dumps(run.model_dump(mode="json"), indent=2) + "\n")
