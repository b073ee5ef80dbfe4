"""The log of a training run: log.jsonl, one JSON object a line, of two kinds: `train` and `quality`.

Lines are only appended, so a kill costs at most the line being written: a last line without its end is not read, and the
next append cuts it off. A resumed or rolled-back run takes back the lines after its checkpoint with `forget_after`.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from forensics.common.errors import UsageError
from forensics.common.files import write_atomic


class Row(BaseModel):
    """How training went since the row before: means over those steps.

    accuracy_real, accuracy_fake: share in [0, 1] of reals and of fakes that the discriminator was right about.
    diversity: see `generators.monitor.health.diversity`. Losses may be NaN or infinite: that, too, is news.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    kind: Literal["train"] = "train"
    step: int = Field(ge=0)
    loss_d: float
    loss_g: float
    accuracy_real: float
    accuracy_fake: float
    diversity: float
    steps_per_s: float


class QualityRow(BaseModel):
    """KID of the samples at a step with its interval; lower is better, and 0 is not a bound (the estimate has no bias)."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    kind: Literal["quality"] = "quality"
    step: int = Field(ge=0)
    kid: float
    low: float
    high: float
    extractor: str


AnyRow = Annotated[Row | QualityRow, Field(discriminator="kind")]
_LINE: TypeAdapter[Row | QualityRow] = TypeAdapter(AnyRow)
R = TypeVar("R", Row, QualityRow)


def append(path: Path, row: Row | QualityRow) -> None:
    """Add one line, in one write. A line that a kill tore is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _cut_torn_line(file.fileno(), path)
        file.write(_as_line(row).encode())


def read_log(path: Path) -> tuple[list[Row], list[QualityRow]]:
    """Rows in file order; no file is an empty log. Raises UsageError, naming the line, for one that is no row."""
    rows: list[Row] = []
    qualities: list[QualityRow] = []
    for row in _rows(path):
        if isinstance(row, Row):
            rows.append(row)
        else:
            qualities.append(row)
    return rows, qualities


def forget_after(path: Path, step: int) -> None:
    """Keep the rows of `step` and before; the file is replaced whole, or left alone where nothing is to be forgotten."""
    if not path.exists():
        return
    kept = "".join(_as_line(row) for row in _rows(path) if row.step <= step)
    if kept.encode() != path.read_bytes():
        write_atomic(path, kept)


def _rows(path: Path) -> Iterable[Row | QualityRow]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot read the log {path}: {error.strerror}", "is it a run's folder?") from error
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            yield _LINE.validate_json(line)
        except ValidationError as error:
            raise UsageError(
                f"{path}:{number}: not a row of a training log",
                "remove the line, or the file: training does not need it",
            ) from error


def _as_line(row: Row | QualityRow) -> str:
    return f"{row.model_dump_json()}\n"


def _cut_torn_line(handle: int, path: Path) -> None:
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        os.ftruncate(handle, path.read_bytes().rfind(b"\n") + 1)
