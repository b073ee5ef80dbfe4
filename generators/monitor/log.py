"""The log of a training run: log.jsonl, one JSON object a line, of a few kinds: `train` and `quality` of a GAN, `swap` and
`reconstruction` of a face swap, `autoencoder` and `redrawn` of an autoencoder of faces, `translation` and `likeness` of a
translator of pictures, `cycle` and `round_trip` of one without pairs.

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


class Entry(BaseModel):
    """What all lines have."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    step: int = Field(ge=0)


class Measurement(Entry):
    """A line that says how good a checkpoint is: one for each step that is measured."""


class Row(Entry):
    """How training went since the row before: means over those steps.

    accuracy_real, accuracy_fake: share in [0, 1] of reals and of fakes that the discriminator was right about.
    diversity: see `generators.monitor.health.diversity`. Losses may be NaN or infinite: that, too, is news.
    """

    kind: Literal["train"] = "train"
    loss_d: float
    loss_g: float
    accuracy_real: float
    accuracy_fake: float
    diversity: float
    steps_per_s: float


class QualityRow(Measurement):
    """KID of the samples at a step with its interval; lower is better, and 0 is not a bound (the estimate has no bias)."""

    kind: Literal["quality"] = "quality"
    kid: float
    low: float
    high: float
    extractor: str


class SwapRow(Entry):
    """How training of a face swap went since the row before: means over those steps, weighted as in the loss.

    ssim, l1: of the reconstructions, both people together; mask: of the mask heads. adversarial, accuracy: of the variant
    with a discriminator (0, and the share of pictures that it is right about); 0 and NaN without.
    """

    kind: Literal["swap"] = "swap"
    loss: float
    ssim: float
    l1: float
    mask: float
    adversarial: float
    accuracy: float
    steps_per_s: float


class ReconstructionRow(Measurement):
    """How well faces that were not trained on are reconstructed by their own decoders: mean SSIM and PSNR in dB."""

    kind: Literal["reconstruction"] = "reconstruction"
    source_ssim: float
    source_psnr_db: float
    target_ssim: float
    target_psnr_db: float


class AutoencoderRow(Entry):
    """How training of an autoencoder went since the row before: means over those steps."""

    kind: Literal["autoencoder"] = "autoencoder"
    loss: float
    ssim: float
    l1: float
    steps_per_s: float


class RedrawnRow(Measurement):
    """How well faces that were not trained on are redrawn: SSIM and PSNR in dB, means over faces and decoders."""

    kind: Literal["redrawn"] = "redrawn"
    ssim: float
    psnr_db: float


class TranslationRow(Entry):
    """How training of a translator went since the row before: means over those steps.

    loss: what the generator minimised. l1 of pictures in [-1, 1]; perceptual, adversarial, loss_d: 0 where there is none;
    accuracy: share of patches that the discriminator was right about, NaN without one.
    """

    kind: Literal["translation"] = "translation"
    loss: float
    l1: float
    perceptual: float
    adversarial: float
    loss_d: float
    accuracy: float
    steps_per_s: float


class LikenessRow(Measurement):
    """How like their targets the outputs for pictures are that were not trained on: means over pictures, PSNR in dB.

    before_psnr_db: of the inputs themselves (enlarged by cubic interpolation where they are smaller). nlm_psnr_db: of the
    inputs after OpenCV's non-local means, where noise is what is undone.
    """

    kind: Literal["likeness"] = "likeness"
    psnr_db: float
    ssim: float
    before_psnr_db: float
    before_ssim: float
    nlm_psnr_db: float | None = None


class CycleRow(Entry):
    """How training without pairs went since the row before: means over those steps, and over both ways.

    loss: what the generators minimised. cycle, identity: L1 of pictures in [-1, 1], there and back, and of what should be
    left as it is (0 where that is not asked). accuracy: share of patches that the critics were right about.
    """

    kind: Literal["cycle"] = "cycle"
    loss: float
    adversarial: float
    cycle: float
    identity: float
    loss_d: float
    accuracy: float
    steps_per_s: float


class RoundTripRow(Measurement):
    """How near pictures that were not trained on come back to themselves, PSNR in dB, means over pictures: of the first set
    there and back, of the second back and there.

    psnr_db, ssim: of what is drawn of the first set to what is wanted, where the second set is made and that is known;
    before_psnr_db, before_ssim: of the pictures of the first set themselves.
    """

    kind: Literal["round_trip"] = "round_trip"
    first_psnr_db: float
    second_psnr_db: float
    psnr_db: float | None
    ssim: float | None
    before_psnr_db: float | None
    before_ssim: float | None


AnyRow = Annotated[
    Row
    | QualityRow
    | SwapRow
    | ReconstructionRow
    | AutoencoderRow
    | RedrawnRow
    | TranslationRow
    | LikenessRow
    | CycleRow
    | RoundTripRow,
    Field(discriminator="kind"),
]
_LINE: TypeAdapter[AnyRow] = TypeAdapter(AnyRow)
R = TypeVar("R", bound=Entry)


def append(path: Path, row: Entry) -> None:
    """Add one line, in one write. A line that a kill tore is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _cut_torn_line(file.fileno(), path)
        file.write(_as_line(row).encode())


def read_log(path: Path) -> tuple[list[Row], list[QualityRow]]:
    """A GAN's rows in file order; no file is an empty log. Raises UsageError, naming the line, for one that is no row."""
    rows = list(_rows(path))
    return _of_kind(rows, Row), _of_kind(rows, QualityRow)


def read_swap_log(path: Path) -> tuple[list[SwapRow], list[ReconstructionRow]]:
    """A face swap's rows, as `read_log`."""
    rows = list(_rows(path))
    return _of_kind(rows, SwapRow), _of_kind(rows, ReconstructionRow)


def read_translation_log(path: Path) -> tuple[list[TranslationRow], list[LikenessRow]]:
    """A translator's rows, as `read_log`."""
    rows = list(_rows(path))
    return _of_kind(rows, TranslationRow), _of_kind(rows, LikenessRow)


def read_cycle_log(path: Path) -> tuple[list[CycleRow], list[RoundTripRow]]:
    """Rows of a translator without pairs, as `read_log`."""
    rows = list(_rows(path))
    return _of_kind(rows, CycleRow), _of_kind(rows, RoundTripRow)


def measured_steps(path: Path) -> set[int]:
    """The steps that have a measurement."""
    return {row.step for row in _rows(path) if isinstance(row, Measurement)}


def forget_after(path: Path, step: int) -> None:
    """Keep the rows of `step` and before; the file is replaced whole, or left alone where nothing is to be forgotten."""
    if not path.exists():
        return
    kept = "".join(_as_line(row) for row in _rows(path) if row.step <= step)
    if kept.encode() != path.read_bytes():
        write_atomic(path, kept)


def _of_kind(rows: Iterable[Entry], kind: type[R]) -> list[R]:
    return [row for row in rows if isinstance(row, kind)]


def _rows(path: Path) -> Iterable[Entry]:
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


def _as_line(row: Entry) -> str:
    return f"{row.model_dump_json()}\n"


def _cut_torn_line(handle: int, path: Path) -> None:
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        os.ftruncate(handle, path.read_bytes().rfind(b"\n") + 1)
