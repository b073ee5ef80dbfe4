"""Options of training a swap and of rendering one: command line, presets, run.json and checkpoints are made from them.

Light to import, so that `--help` is fast.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from generators.config import checked

Variant = Literal["autoencoder", "gan"]
# What may differ between a run and its resumption: none of these changes a step that was taken.
MAY_CHANGE = frozenset({"steps", "save_every", "report_every", "grid_every", "quality_every", "threads", "device"})
# The encoder halves four times.
HALVINGS = 4


class SwapConfig(BaseModel):
    """Options of `forensics generate faceswap train`. The preset fills in what the command line does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # The networks.
    variant: Variant = Field(
        "autoencoder",
        description="autoencoder: decoders draw the face; gan: they draw it over the input, against a critic",
    )
    image_px: int = Field(64, ge=32, le=512, multiple_of=1 << HALVINGS, description="side of what the networks see")
    width: int = Field(128, ge=8, le=512, multiple_of=2, description="channels of the encoder's first layer")
    latent: int = Field(1024, ge=16, le=8192, description="length of the code between encoder and decoders")

    # What a training pair is.
    rotation_deg: float = Field(10.0, ge=0, le=90, description="random rotation, to either side")
    zoom: float = Field(0.05, ge=0, le=0.5, description="random zoom, as a share")
    shift: float = Field(0.05, ge=0, le=0.5, description="random shift, as a share of the aligned face")
    flip: float = Field(0.5, ge=0, le=1, description="share of faces that are mirrored")
    warp_px: float = Field(6.0, ge=0, le=30, description="standard deviation of the warp's grid, in pixels of 256")

    # What is minimised.
    ssim_weight: float = Field(1.0, ge=0, le=100, description="weight of 1 - SSIM")
    l1_weight: float = Field(1.0, ge=0, le=100, description="weight of the mean absolute difference")
    background: float = Field(0.3, ge=0, le=1, description="weight of what is outside the face's outline, which is 1")
    mask_weight: float = Field(0.5, ge=0, le=100, description="weight of the mask heads' error")
    edge_weight: float = Field(1.0, ge=0, le=100, description="weight of differences between edges (gan)")
    tv_weight: float = Field(0.1, ge=0, le=100, description="weight of the total variation of alpha (gan)")
    adversarial_weight: float = Field(0.1, ge=0, le=100, description="weight of the critic's opinion (gan)")

    # The steps.
    steps: int = Field(100_000, ge=1, le=100_000_000, description="steps in all")
    batch_size: int = Field(16, ge=1, le=4096, description="faces of each person in a step, over all processes")
    learning_rate: float = Field(5e-5, gt=0, le=1, description="Adam's rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of weights, order and warps")

    # The machine.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the networks' arithmetic; auto: bfloat16 where the processor computes it natively"
    )
    channels_last: bool = Field(True, description="memory format that convolutions are fastest in")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks are trained")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of a process (0: as many as there are cores)")

    # What is said and kept.
    report_every: int = Field(100, ge=1, le=1_000_000, description="steps between two lines on how training goes")
    grid_every: int = Field(500, ge=1, le=1_000_000, description="steps between two previews of the same faces")
    save_every: int = Field(500, ge=1, le=1_000_000, description="steps between two checkpoints")
    quality_every: int = Field(
        1000, ge=0, le=1_000_000, description="steps between two looks at faces that are not trained on; 0 is never"
    )


# The faithful network has 82 million weights; the first preset a quarter of its channels, for two CPU cores; the second
# one an eighth, which is 3.6 MB in half precision: small enough to hand on.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {"width": 32, "latent": 256, "steps": 10_000, "learning_rate": 2e-4},
    "cpu-small": {"width": 16, "latent": 256, "steps": 10_000, "learning_rate": 2e-4},
    "gpu": {"report_every": 200, "grid_every": 2000, "save_every": 2000, "quality_every": 5000},
    "gpu-96": {"image_px": 96, "report_every": 200, "grid_every": 2000, "save_every": 2000, "quality_every": 5000},
    "gpu-128": {
        "image_px": 128, "latent": 512, "steps": 200_000,
        "report_every": 200, "grid_every": 2000, "save_every": 2000, "quality_every": 5000,
    },
}  # fmt: skip

ColourMatch = Literal["lab", "histogram", "none"]
MaskKind = Literal["head", "hull", "both"]
PasteBack = Literal["alpha", "poisson"]


class RenderConfig(BaseModel):
    """How a face gets into a frame: options of `convert`, `swap` and `warp`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    colour: ColourMatch = Field(
        "lab", description="fit the face's colours to the frame's: by mean and spread in LAB, or histograms"
    )
    mask: MaskKind = Field(
        "both", description="what is replaced: the network's mask, the landmarks' outline, or where both agree"
    )
    erode: float = Field(0.03, ge=0, le=0.5, description="how far the mask shrinks, as a share of the face's side")
    feather: float = Field(0.1, ge=0, le=0.5, description="how soft its edge is, as a share of the face's side")
    paste: PasteBack = Field("alpha", description="blend by the mask, or solve for the gradients (Poisson)")
    smooth_s: float = Field(
        0.06, ge=0, le=2, description="how long landmarks are smoothed over, standard deviation in seconds; 0 is off"
    )
    motion_blur: bool = Field(False, description="blur the face along its motion between frames")
    watermark: bool = Field(False, description="write SYNTHETIC into every frame")
    crf: float = Field(18.0, ge=0, le=51, description="H.264 constant rate factor of the clip: 0 lossless, 51 worst")
    encoder: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = Field(
        "veryfast", description="x264's preset: slower is smaller"
    )

    @model_validator(mode="after")
    def _mask_is_left(self) -> "RenderConfig":
        if self.erode + self.feather > 0.45:
            given = f"--erode {self.erode:g} with --feather {self.feather:g}"
            raise ValueError(f"{given} leaves nothing of the mask: together 0.45 at most")
        return self


def configured(
    preset: str, values: Mapping[str, Any], hint: str = "forensics generate faceswap train --help"
) -> SwapConfig:
    """A preset with the given values over it. Raises UsageError that names what is wrong."""
    from forensics.common.errors import UsageError

    if preset not in PRESETS:
        raise UsageError(f"there is no preset '{preset}'", f"one of: {', '.join(PRESETS)}")
    return checked(SwapConfig, {**PRESETS[preset], **values}, hint)
