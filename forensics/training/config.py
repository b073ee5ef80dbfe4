"""Every choice of a training run in one object: the command line, the recipe file and the run's record are made from it."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Trainable = Literal["cnn", "texture", "spectrum", "durall", "frank", "meso4", "mesoinception4"]
TRAINABLE: tuple[Trainable, ...] = get_args(Trainable)
# The others are baselines: published methods to be beaten, never part of the fusion.
FUSED: tuple[Trainable, ...] = ("cnn", "texture", "spectrum")


class TrainConfig(BaseModel):
    """Options of `forensics train`. The defaults are the recipe of the shipped weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    detectors: tuple[Trainable, ...] = Field(
        (*FUSED, "durall", "frank"),
        min_length=1,
        description="what is trained: cnn, texture, spectrum (these are fused), and the baselines durall, frank, meso4, "
        "mesoinception4",
    )
    backbone: str = Field("tf_efficientnet_lite0", description="timm architecture of the CNN detector")
    init: str = Field(
        "lite0", description="start of the CNN: lite0 (ImageNet, extra `pretrained`), none, or a .safetensors file"
    )
    input_px: int = Field(160, ge=64, le=512, description="side of the CNN's input in pixels")
    epochs: int = Field(4, ge=1, le=1000, description="passes over the training plan")
    batch_size: int = Field(32, ge=2, le=1024, description="pictures in a step")
    learning_rate: float = Field(3e-4, gt=0, le=1, description="peak of the one-cycle schedule (AdamW)")
    weight_decay: float = Field(0.05, ge=0, le=1, description="AdamW's decay of weights (not of norms and biases)")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="averaging of weights; the average is what is kept")
    family_floor: float = Field(
        0.3, ge=0, le=1, description="small data sets are repeated up to this share of the largest one's pairs"
    )
    max_repeat: float = Field(3.0, ge=1, le=100, description="but never more often than this in one epoch")
    texture_epochs: int = Field(8, ge=0, le=1000, description="passes of the texture network; 0 leaves it out")
    texture_px: int = Field(128, ge=32, le=256, multiple_of=32, description="side of its tiles in training")
    texture_scored_px: int = Field(160, ge=32, le=256, description="side of the one tile that is scored, at most")
    texture_family_cap: int = Field(600, ge=1, description="pairs per data set in one of its epochs, at most")
    meso_epochs: int = Field(6, ge=1, le=1000, description="passes of meso4 and mesoinception4")
    meso_learning_rate: float = Field(1e-3, gt=0, le=1, description="peak of their schedule")
    precision: str = Field(
        "auto", pattern="^(auto|float32|bfloat16)$", description="autocast of the networks' training"
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of the training process (0: as many as there are cores)"
    )
    workers: int = Field(1, ge=0, le=64, description="processes that prepare pictures, one thread each")
    device: str = Field("auto", pattern="^(auto|cpu|cuda|mps)$", description="where networks are trained")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of order, augmentation and dropout")
    false_positive_rate: float = Field(
        0.05, gt=0, lt=0.5, description="share of dev reals above the threshold of 'likely fake', in every data set"
    )
    false_negative_rate: float = Field(
        0.10, gt=0, lt=0.5, description="share of dev fakes below the threshold of 'likely real'"
    )

    @field_validator("detectors")
    @classmethod
    def _each_once(cls, names: tuple[Trainable, ...]) -> tuple[Trainable, ...]:
        return tuple(dict.fromkeys(names))

    @field_validator("texture_epochs")
    @classmethod
    def _something_is_trained(cls, epochs: int, info: ValidationInfo) -> int:
        if epochs == 0 and info.data.get("detectors") == ("texture",):
            raise ValueError("0 leaves out the only detector that is asked for")
        return epochs
