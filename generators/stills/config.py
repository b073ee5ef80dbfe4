"""Options of the families made from stills: command line and stills.json are made from them. Light to import."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Split = Literal["train", "dev", "test", "any"]
Region = Literal["face", "square", "drawn"]


class FamilyConfig(BaseModel):
    """What all families share: which reals, and how both classes are written."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    split: Split = Field("any", description="rows of a manifest in this split; each fake stays in its real's split")
    limit: int | None = Field(None, ge=1, description="at most this many reals, drawn at random, the same ones always")
    per_picture: int = Field(1, ge=1, le=100, description="fakes of each real")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of everything that is drawn")
    max_side: int = Field(
        1024, ge=64, le=8192, description="larger pictures are reduced to this many pixels first, reals and fakes alike"
    )
    min_face_px: float = Field(
        40.0, ge=16, le=4096, description="a smaller face (distance of eyes to mouth, doubled) is skipped"
    )
    quality_low: int = Field(60, ge=10, le=100, description="lowest JPEG quality: drawn per real, for its fakes alike")
    quality_high: int = Field(96, ge=10, le=100, description="highest JPEG quality")

    @model_validator(mode="after")
    def _range(self) -> "FamilyConfig":
        if self.quality_low > self.quality_high:
            raise ValueError(f"--quality-low {self.quality_low} is above --quality-high {self.quality_high}")
        return self


class SwapStillsConfig(FamilyConfig):
    """Options of `forensics generate stills swap`."""

    dataset: str = Field("own_swaps", min_length=1, description="data set's name in the manifest")
    donors: int = Field(
        24, ge=1, le=10_000, description="donors drawn for a fake, of which the nearest in pose is taken"
    )


class ReconstructConfig(FamilyConfig):
    """Options of `forensics generate stills reconstruct`."""

    dataset: str = Field("own_reconstructions", min_length=1, description="data set's name in the manifest")
    region: Region = Field(
        "drawn", description="what is replaced: the face inside a soft outline, or the whole square around it"
    )


class EnlargedConfig(BaseModel):
    """Options of `forensics generate stills gan`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dataset: str = Field("own_gans", min_length=1, description="data set's name in the manifest")
    split: Split = Field("any", description="reals of this split; a sample gets the split of the real beside it")
    count: int = Field(1000, ge=1, le=1_000_000, description="samples in all, with as many reals")
    size_px: int = Field(224, ge=32, le=2048, description="side of the pictures that are written")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of latents and of everything else that is drawn")
    truncation: float | None = Field(None, gt=0, description="draw latents from [-T, T] only (see `generate sample`)")
    quality_low: int = Field(60, ge=10, le=100, description="lowest JPEG quality: drawn per pair, for both alike")
    quality_high: int = Field(96, ge=10, le=100, description="highest JPEG quality")

    @model_validator(mode="after")
    def _range(self) -> "EnlargedConfig":
        if self.quality_low > self.quality_high:
            raise ValueError(f"--quality-low {self.quality_low} is above --quality-high {self.quality_high}")
        return self


def paths_of(names: tuple[str, ...]) -> tuple[Path, ...]:
    """The command line's DATA as paths."""
    return tuple(Path(name) for name in names)
