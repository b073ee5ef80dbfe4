"""run.json of a swap: what it is, and from whose faces. The rest of the folder is as `generators.run_folder` says, with
preview.png and previews/ in the place of grids."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from forensics import __version__
from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from generators.faceswap.config import SwapConfig
from generators.run_folder import RUN_FILE


class SetRecord(BaseModel):
    """Whose faces: a folder of `extract`. Another fingerprint is another run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str
    clips: tuple[str, ...]
    faces: int
    held_out: int
    sha256: str


class SwapRun(BaseModel):
    """run.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["forensics-swap-run-1"] = "forensics-swap-run-1"
    version: str = __version__
    preset: str
    config: SwapConfig
    precision: str
    processes: int
    device: str
    source: SetRecord
    target: SetRecord
    versions: dict[str, str]


def read_swap_run(folder: Path) -> SwapRun | None:
    """The record of a run; None where there is none. Raises UsageError for one that cannot be read."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    try:
        return SwapRun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is not the record of a face swap of this version",
            "use another --output, or give a face swap's run",
        ) from error


def is_swap_run(folder: Path) -> bool:
    """Whether the folder's run.json says that it is a face swap's, of whatever version."""
    try:
        stored = json.loads((folder / RUN_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(stored, dict) and str(stored.get("format", "")).startswith("forensics-swap-run")


def write_swap_run(folder: Path, run: SwapRun) -> None:
    """Write run.json."""
    write_atomic(folder / RUN_FILE, json.dumps(run.model_dump(mode="json"), indent=2) + "\n")
