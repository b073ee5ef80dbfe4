"""Options of training the autoencoder: command line, presets, run.json, checkpoints come from them. Light to import."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from generators.config import checked

# What may differ between a run and its resumption: none of these changes a step that was taken.
MAY_CHANGE = frozenset({"steps", "save_every", "report_every", "grid_every", "quality_every", "threads", "device"})
HALVINGS = 4


class AutoencoderConfig(BaseModel):
    """Options of `forensics generate stills train-autoencoder`. The preset fills in what the command line does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    image_px: int = Field(64, ge=32, le=256, multiple_of=1 << HALVINGS, description="side of the redrawn face")
    width: int = Field(32, ge=4, le=256, multiple_of=2, description="channels of the first layer; doubled by each next")
    code: int = Field(64, ge=4, le=1024, description="channels of the code, at a sixteenth of the side")

    ssim_weight: float = Field(1.0, ge=0, le=100, description="weight of 1 - SSIM")
    l1_weight: float = Field(1.0, ge=0, le=100, description="weight of the mean absolute difference")

    limit: int = Field(6000, ge=16, le=1_000_000, description="at most this many reals, drawn at random")
    min_face_px: float = Field(40.0, ge=16, le=4096, description="smaller faces are not trained on")
    max_side: int = Field(1024, ge=64, le=8192, description="larger pictures are reduced to this many pixels first")

    steps: int = Field(8000, ge=1, le=100_000_000, description="steps in all; decoders take turns")
    batch_size: int = Field(32, ge=1, le=4096, description="faces in a step")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="Adam's rate")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of weights and order")

    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the networks' arithmetic; auto: bfloat16 where the processor computes it natively"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where the network is trained")
    threads: int = Field(0, ge=0, le=256, description="CPU threads (0: as many as there are cores)")

    report_every: int = Field(100, ge=1, le=1_000_000, description="steps between two lines of the log")
    grid_every: int = Field(500, ge=1, le=1_000_000, description="steps between two previews")
    save_every: int = Field(500, ge=1, le=1_000_000, description="steps between two checkpoints")
    quality_every: int = Field(
        1000, ge=0, le=1_000_000, description="steps between two looks at faces that are not trained on; 0 is never"
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {},
    "cpu-128": {"image_px": 128, "width": 16, "batch_size": 16},
    "gpu": {"image_px": 128, "width": 64, "code": 128, "steps": 30_000, "batch_size": 64, "limit": 100_000},
}


def configured(preset: str, values: Mapping[str, Any]) -> AutoencoderConfig:
    """A preset with the given values over it. Raises UsageError that names what is wrong."""
    from forensics.common.errors import UsageError

    if preset not in PRESETS:
        raise UsageError(f"there is no preset '{preset}'", f"one of: {', '.join(PRESETS)}")
    help_of = "forensics generate stills train-autoencoder --help"
    return checked(AutoencoderConfig, {**PRESETS[preset], **values}, help_of)
