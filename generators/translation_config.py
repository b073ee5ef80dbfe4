"""Options of training a translator of pictures, of which command line, presets and records are made. Light to import."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from generators.config import ObjectiveName

# What may differ between a run and its resumption: none of these changes a step that was taken.
MAY_CHANGE = frozenset(
    {"steps", "save_every", "report_every", "grid_every", "quality_every", "threads", "workers"} | {"device"}
)

Task = Literal["none", "denoise", "deblock", "dehaze", "colourise"]
Make = Literal["none", "edges", "sketch", "gray", "mask"]


class TranslationConfig(BaseModel):
    """Options of `forensics generate train-translator`. A system's preset fills in what the command line does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # What is learned.
    task: Task = Field("none", description="what restore undoes: denoise, deblock, dehaze, colourise")
    make: Make = Field(
        "none",
        description="edges, sketch, gray, mask (a rectangle hidden): pix2pix's inputs are made so of the pictures, "
        "cyclegan's second set",
    )
    weakest: float = Field(
        0.0,
        ge=0,
        le=255,
        description="least of the range: noise in grey levels, JPEG quality, thickness of haze (0: task's)",
    )
    strongest: float = Field(
        0.0, ge=0, le=255, description="greatest of the range, in the same unit (0: the task's own)"
    )
    judged: float = Field(0.0, ge=0, le=255, description="where in it figures are measured (0: the task's own)")

    # The networks.
    image_px: int = Field(128, ge=16, le=1024, description="side of what is trained on, in pixels of the output")
    picture_px: int = Field(
        0,
        ge=0,
        le=2048,
        description="side that pictures are decoded at; squares of image_px are cut out at random (0: image_px)",
    )
    scale: Literal[1, 2, 4] = Field(1, description="how much larger srgan's output is than its input")
    width: int = Field(64, ge=4, le=512, description="channels of the first layer")
    blocks: int = Field(16, ge=1, le=64, description="residual blocks")
    norm: Literal["batch", "none"] = Field("batch", description="normalisation in the residual blocks")
    d_width: int = Field(64, ge=4, le=512, description="channels of the discriminator's first layer")
    d_layers: int = Field(
        3, ge=1, le=3, description="layers of the discriminator of patches that halve: 3 sees 70 px, 2 34, 1 16"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="in pix2pix's inner layers, in place of noise")

    # What is minimised.
    l1_weight: float = Field(1.0, ge=0, le=10_000, description="weight of the mean absolute difference")
    adversarial_weight: float = Field(
        0.0, ge=0, le=100, description="weight of the adversarial part; 0: no discriminator"
    )
    perceptual_weight: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="weight of the difference in features: VGG19's with --vgg-weights, else the discriminator's",
    )
    cycle_weight: float = Field(10.0, ge=0, le=1000, description="weight of cyclegan's way there and back")
    identity_weight: float = Field(
        5.0, ge=0, le=1000, description="weight of leaving pictures as they are that are of the other set already"
    )
    replay: int = Field(50, ge=0, le=10_000, description="pictures drawn before that cyclegan's critics see again")
    content_steps: int = Field(
        0, ge=0, le=100_000_000, description="first steps without adversarial and perceptual parts"
    )
    objective: ObjectiveName = Field("non_saturating", description="what generator and discriminator play for")
    steps: int = Field(10_000, ge=1, le=100_000_000, description="steps in all")
    batch_size: int = Field(16, ge=1, le=4096, description="pictures in a step, over all processes")
    learning_rate_g: float = Field(2e-4, gt=0, le=1, description="Adam's rate for the generator")
    learning_rate_d: float = Field(2e-4, gt=0, le=1, description="Adam's rate for the discriminator")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment")
    decay: Literal["none", "linear"] = Field(
        "linear", description="of the rates: linear goes to 0 over the second half of the steps"
    )
    ema_decay: float = Field(0.999, ge=0, lt=1, description="averaging of the generator, what is applied; 0 is off")
    flip: bool = Field(True, description="mirror training pictures at random")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of weights, order and degradations")

    # The machine.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the networks' arithmetic; auto: bfloat16 where the processor computes it natively"
    )
    channels_last: bool = Field(True, description="memory format that convolutions are fastest in")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks are trained")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of a process (0: as many as there are cores)")
    workers: int = Field(0, ge=0, le=64, description="threads that decode pictures (0: as many as there are cores)")

    # What is said and kept.
    report_every: int = Field(50, ge=1, le=1_000_000, description="steps between two lines on how training goes")
    grid_every: int = Field(500, ge=1, le=1_000_000, description="steps between two sheets of input, output and target")
    save_every: int = Field(500, ge=1, le=1_000_000, description="steps between two checkpoints")
    quality_every: int = Field(
        500, ge=0, le=1_000_000, description="steps between two looks at pictures that are not trained on; 0 is never"
    )
    quality_pictures: int = Field(64, ge=4, le=10_000, description="of these, at most")

    @model_validator(mode="after")
    def _go_together(self) -> "TranslationConfig":
        if self.picture_px and self.picture_px < self.image_px:
            raise ValueError(f"picture_px {self.picture_px} is smaller than image_px {self.image_px}")
        if self.image_px % self.scale:
            raise ValueError(f"image_px {self.image_px} is not a multiple of scale {self.scale}")
        if self.picture_px % self.scale:
            raise ValueError(f"picture_px {self.picture_px} is not a multiple of scale {self.scale}")
        if (self.weakest or self.strongest or self.judged) and self.task in ("none", "colourise"):
            raise ValueError(f"weakest, strongest and judged mean nothing to task {self.task}")
        if self.weakest and self.strongest and self.weakest > self.strongest:
            raise ValueError(f"weakest {self.weakest} is above strongest {self.strongest}")
        if self.perceptual_weight and not self.adversarial_weight:
            raise ValueError("perceptual_weight needs adversarial_weight above 0")
        if not self.l1_weight and not self.adversarial_weight:
            raise ValueError("nothing is minimised: both l1_weight and adversarial_weight are 0")
        return self
