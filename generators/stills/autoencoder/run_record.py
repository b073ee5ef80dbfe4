"""run.json of an autoencoder: what it is, and on which faces it was trained."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from forensics import __version__
from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from generators.run_folder import RUN_FILE
from generators.stills.autoencoder.config import AutoencoderConfig


class AutoencoderRun(BaseModel):
    """run.json. sha256: of the faces' pixels; another one is another run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["forensics-autoencoder-run-1"] = "forensics-autoencoder-run-1"
    version: str = __version__
    preset: str
    config: AutoencoderConfig
    precision: str
    device: str
    data: tuple[str, ...]
    faces: int
    held_out: int
    sha256: str
    versions: dict[str, str]


def read_autoencoder_run(folder: Path) -> AutoencoderRun | None:
    """The record of a run; None where there is none. Raises UsageError for one that cannot be read."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    try:
        return AutoencoderRun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is not the record of an autoencoder of this version", "another --output") from error


def write_autoencoder_run(folder: Path, run: AutoencoderRun) -> None:
    """Write run.json."""
    write_atomic(folder / RUN_FILE, json.dumps(run.model_dump(mode="json"), indent=2) + "\n")
