"""Every choice of a training run in one object: the command line, the recipe file and the run's record are made from it."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from forensics.detectors.model_set import MAX_NETWORKS, STORED_AS
from forensics.training.plan import Blending

Trainable = Literal["cnn", "texture", "spectrum", "durall", "frank", "meso4", "mesoinception4"]
TRAINABLE: tuple[Trainable, ...] = get_args(Trainable)
# The others are baselines: published methods to be beaten, never part of the fusion.
MAX_SEED = 2**32 - 1
FUSED: tuple[Trainable, ...] = ("cnn", "texture", "spectrum")


class TrainConfig(BaseModel):
    """Options of `forensics train`."""

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
    early_px: int = Field(
        0,
        ge=0,
        le=512,
        description="its side in the first part of the training, where small pictures teach as much in less time "
        "(0: --input-px)",
    )
    early_share: float = Field(0.6, ge=0, le=1, description="that part, as a share of the steps")
    epochs: float = Field(4, gt=0, le=1000, description="passes over the training plan (parts of one count)")
    max_steps: int = Field(
        0,
        ge=0,
        description="end after so many steps, however many passes that is; the schedule is fitted to it (0: no end)",
    )
    patience: int = Field(
        0,
        ge=0,
        le=1000,
        description="stop after so many epochs without a better mean AUC on dev; keep the best (0: never)",
    )
    batch_size: int = Field(32, ge=2, le=1024, description="pictures in a step")
    learning_rate: float = Field(3e-4, gt=0, le=1, description="peak of the one-cycle schedule (AdamW)")
    weight_decay: float = Field(0.05, ge=0, le=1, description="AdamW's decay of weights (not of norms and biases)")
    ema_decay: float = Field(0.998, ge=0, lt=1, description="averaging of weights; the average is what is kept")
    family_floor: float = Field(
        0.3, ge=0, le=1, description="small data sets are repeated up to this share of the largest one's pairs"
    )
    max_repeat: float = Field(3.0, ge=1, le=100, description="but never more often than this in one epoch")
    self_blends: float = Field(
        0.4, ge=0, le=10, description="self-blended images per pair of real and fake: pseudo-fakes made of real crops"
    )
    warp_blends: float = Field(0.1, ge=0, le=10, description="likewise: faces at a lower resolution, pasted back")
    part_blends: float = Field(0.1, ge=0, le=10, description="likewise: eyes, nose or mouth of another person")
    face_blends: float = Field(0.1, ge=0, le=10, description="likewise: the whole face of another person")
    left_out: tuple[str, ...] = Field(
        (),
        description="data sets whose fakes are not trained on, their reals are: for leave-one-out protocols; dev and test "
        "keep them, so compare single detectors, and without --patience",
    )
    drop_rate: float = Field(0.2, ge=0, lt=1, description="dropout before the last layer")
    drop_path_rate: float = Field(0.0, ge=0, lt=1, description="stochastic depth: share of blocks left out at the end")
    sam_radius: float = Field(
        0.0, ge=0, le=10, description="sharpness-aware minimisation (two passes a step); 0 leaves it out"
    )
    sam_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of a step's pictures that the first of those passes sees: with half of them a step costs a "
        "quarter less, and serves as well",
    )
    cnn_networks: int = Field(
        1,
        ge=1,
        le=MAX_NETWORKS,
        description="networks that cnn is the mean of, each trained by itself, from --seed, --seed + 1, ... "
        "(runs whose seeds are nearer to each other than that share networks)",
    )
    stored_as: str = Field(
        "float16",
        pattern=f"^({'|'.join(STORED_AS)})$",
        description="weights of cnn and texture in their files: float16, or int8, about half as large",
    )
    texture_epochs: float = Field(8, ge=0, le=1000, description="passes of the texture network; 0 leaves it out")
    texture_px: int = Field(128, ge=32, le=256, multiple_of=32, description="side of its tiles in training")
    texture_scored_px: int = Field(160, ge=32, le=256, description="side of the one tile that is scored, at most")
    texture_filter: str = Field(
        "none",
        pattern="^(none|npr|highpass)$",
        description="what the texture network sees of its tile: pixels (none), or a residual of them",
    )
    texture_family_cap: int = Field(600, ge=1, description="pairs per data set in one of its epochs, at most")
    texture_fakes: tuple[str, ...] = Field(
        (),
        description="data sets whose fakes the texture network is shown, synthetic faces for example; of all others it is "
        "shown the reals (empty: all)",
    )
    texture_reals_cap: int = Field(600, ge=0, description="reals per data set that come without fakes, at most")
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
    seed: int = Field(0, ge=0, le=MAX_SEED, description="of order, augmentation and dropout")
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
    def _something_is_trained(cls, epochs: float, info: ValidationInfo) -> float:
        if epochs == 0 and info.data.get("detectors") == ("texture",):
            raise ValueError("0 leaves out the only detector that is asked for")
        return epochs

    @field_validator("early_px")
    @classmethod
    def _large_enough(cls, side: int) -> int:
        if 0 < side < 64:
            raise ValueError("at least 64, or 0")
        return side

    @property
    def texture_families(self) -> tuple[str, ...]:
        """Data sets whose fakes alone the texture network is shown; empty: all, or there is no such network."""
        return tuple(sorted(self.texture_fakes)) if "texture" in self.detectors and self.texture_epochs else ()

    @property
    def blendings(self) -> dict[Blending, float]:
        """Kinds of pseudo-fakes that are made, with their share of the pairs."""
        shares: dict[Blending, float] = {
            "self": self.self_blends, "warp": self.warp_blends, "part": self.part_blends, "face": self.face_blends,
        }  # fmt: skip
        return {kind: share for kind, share in shares.items() if share > 0}
