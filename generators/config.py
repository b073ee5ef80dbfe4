"""Every choice of a training run in one object: command line, presets, run.json and checkpoints are made from it.

Light to import, so that `--help` is fast.
"""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forensics.common.errors import UsageError

ObjectiveName = Literal["minimax", "non_saturating", "hinge", "lsgan"]
M = TypeVar("M", bound=BaseModel)

# What may differ between a run and its resumption: none of these changes a step that was taken.
MAY_CHANGE = frozenset({"steps", "save_every", "report_every", "grid_every", "threads", "workers", "device", "samples"})


class GanConfig(BaseModel):
    """Options of `forensics generate train`. A system's preset fills in what the command line does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # The networks.
    image_px: int = Field(64, ge=8, le=1024, description="side of the pictures in pixels")
    width: int = Field(
        64, ge=1, le=1024, description="channels of the widest-resolution layer; the others are multiples"
    )
    latent: int = Field(100, ge=1, le=4096, description="length of the noise vector z")
    classes: int = Field(
        0, ge=0, le=10_000, description="classes of a conditional system (0: as many as the data have)"
    )
    conditioning: Literal["projection", "concatenation"] = Field(
        "projection", description="how a conditional discriminator is told the class"
    )
    generators: int = Field(1, ge=1, le=64, description="generators of MAD-GAN")
    upsampling: Literal["transposed", "resize"] = Field(
        "transposed", description="how DCGAN doubles: transposed convolution, or nearest neighbour and convolution"
    )
    spectral_norm: bool = Field(False, description="spectral normalisation of the discriminator (Miyato 2018)")

    # The game.
    objective: ObjectiveName = Field("non_saturating", description="what the two networks play for")
    steps: int = Field(3000, ge=1, le=100_000_000, description="steps of the generator in all")
    batch_size: int = Field(64, ge=2, le=65_536, description="pictures in a step, over all processes")
    d_steps: int = Field(1, ge=1, le=100, description="steps of the discriminator to one of the generator")
    d_warmup_steps: int = Field(
        0, ge=0, le=1_000_000, description="first steps with a frozen generator, at most; fewer once D is 95 % right"
    )
    learning_rate_g: float = Field(2e-4, gt=0, le=1, description="Adam's rate for the generator")
    learning_rate_d: float = Field(2e-4, gt=0, le=1, description="Adam's rate for the discriminator")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    r1_gamma: float = Field(0.0, ge=0, le=1000, description="weight of the R1 penalty (Mescheder 2018); 0 is off")
    r1_every: int = Field(16, ge=1, le=10_000, description="D's steps between two R1 penalties (lazy regularisation)")
    ema_decay: float = Field(
        0.999, ge=0, lt=1, description="averaging of the generator, what is sampled from; 0 is off"
    )
    augment: str = Field(
        "auto",
        pattern=r"^(auto|off|0(\.\d+)?|1(\.0+)?)$",
        description="differentiable augmentation (Zhao 2020): auto, by the number of pictures; off; or its strength, 0..1",
    )
    flip: bool = Field(True, description="mirror training pictures at random")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of weights, order, noise and samples")

    # The machine. None of it belongs to the recipe, but float arithmetic differs between machines and precisions.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the networks' arithmetic; auto: bfloat16 where the processor computes it natively"
    )
    channels_last: bool = Field(True, description="memory format that convolutions are fastest in")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks are trained")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of a process (0: as many as there are cores)")
    workers: int = Field(0, ge=0, le=64, description="threads that decode pictures (0: as many as there are cores)")

    # What is said and kept.
    report_every: int = Field(50, ge=1, le=1_000_000, description="steps between two lines on how training goes")
    grid_every: int = Field(
        250, ge=1, le=1_000_000, description="steps between two grids of samples from the same noise"
    )
    save_every: int = Field(250, ge=1, le=1_000_000, description="steps between two checkpoints")
    quality_every: int = Field(
        500, ge=0, le=1_000_000, description="steps between two KIDs, which decide which checkpoint is best; 0 is never"
    )
    quality_samples: int = Field(500, ge=50, le=50_000, description="pictures of each kind for such a KID")
    samples: int = Field(256, ge=0, le=1_000_000, description="pictures to draw with a manifest when training is done")


def checked(model: type[M], values: dict[str, Any], hint: str) -> M:
    """The options as given. Raises UsageError that names the first wrong field, or those that do not go together."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise UsageError(f"option '{field}': {message}" if field else message, hint) from error
