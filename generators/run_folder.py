"""The folder of a training run: what is in it, whose it is, and whether a command may go on with it.

run.json says what the run is (configuration, data with their fingerprint, versions); log.jsonl how it went; curves.png,
grid.png and grids/ show it; checkpoints/ and best.safetensors hold the networks; cache/ the decoded pictures, which may
be deleted; samples/ what the best generator drew, with a manifest.
"""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from forensics import __version__
from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from generators.config import MAY_CHANGE, GanConfig
from generators.data.request import DataRequest

RUN_FILE, LOG_FILE = "run.json", "log.jsonl"
C = TypeVar("C", bound=BaseModel)
LIBRARIES = ("torch", "numpy", "accelerate", "opencv-python-headless")


class DataRecord(BaseModel):
    """What the data were: reproducing a run needs the same fingerprint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # the data sets', or the folders'
    pictures: int
    sha256: str
    class_names: tuple[str, ...]
    view: str
    missed: dict[str, int]


class RunRecord(BaseModel):
    """run.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = "forensics-gan-run-1"
    version: str = __version__
    system: str
    preset: str
    config: GanConfig
    precision: str
    processes: int
    device: str
    request: DataRequest
    data: DataRecord
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a step's arithmetic depends on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def read_run(folder: Path) -> RunRecord | None:
    """The record of a run; None where there is none. Raises UsageError for one that cannot be read."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path} is not the record of a run of this version", "use another --output") from error


def write_run(folder: Path, record: RunRecord) -> None:
    """Write run.json."""
    write_atomic(folder / RUN_FILE, json.dumps(record.model_dump(mode="json"), indent=2) + "\n")


def claim(folder: Path, overwrite: bool) -> None:
    """Make the folder. Raises UsageError where it holds files that no run wrote."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file", "name a folder")
    foreign = [p for p in folder.iterdir() if p.name != "cache"] if folder.is_dir() else []
    if foreign and not (folder / RUN_FILE).exists() and not overwrite:
        raise UsageError(
            f"{folder} holds files that no training run wrote ({foreign[0].name} ...)",
            "use another --output, or --overwrite to write beside them",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", "use another --output") from error


def agreed(stored: RunRecord, system: str, config: GanConfig) -> GanConfig:
    """The configuration to go on with: the stored one, with the changes that a run may take.

    Raises UsageError that names the first field that would change steps which were taken already.
    """
    if stored.system != system:
        raise UsageError(f"the run is of {stored.system}, not of {system}", "use another --output")
    # What was left to be found out, was found out when the run began.
    is_open = {"classes": 0, "precision": "auto"}
    return unchanged(stored.config, config, MAY_CHANGE, is_open, "`forensics generate resume` to go on as it was begun")


def unchanged(old: C, new: C, may_change: frozenset[str], is_open: Mapping[str, Any], otherwise: str) -> C:
    """The old options with those of the new ones that a run may change.

    is_open: values of new options that leave the choice to the run. Raises UsageError for any other difference.
    """
    before, after = old.model_dump(), new.model_dump()
    for name, value in after.items():
        if name in may_change or value == before[name] or (name in is_open and value == is_open[name]):
            continue
        raise UsageError(
            f"option '{name}': the run was begun with {_shown(before[name])}, not {_shown(value)}",
            f"use another --output, or {otherwise}",
        )
    return old.model_copy(update={name: after[name] for name in may_change})


def _shown(value: Any) -> str:
    return json.dumps(value)
