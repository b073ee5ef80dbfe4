"""Options of `forensics generate quality`; light to import, so that `--help` is fast."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_SAMPLES = 1000


class QualityConfig(BaseModel):
    """Options of `forensics generate quality`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: tuple[str, ...] = Field((), description="manifest or folder of real pictures; may be repeated")
    split: Literal["dev", "test", "train", "any"] = Field(
        "dev", description="rows of --data to compare with: dev for every choice, test for figures that you report"
    )
    train_data: tuple[str, ...] = Field(
        (), description="what the generator learned from (a run knows; else the rows of --data in split train)"
    )
    extractor: Literal["auto", "lite0", "inception", "pixels"] = Field(
        "auto", description="what sees the pictures: lite0, else pixels"
    )
    inception_weights: Path | None = Field(None, description="file of the Inception weights of published FIDs")
    samples: int | None = Field(
        None, ge=8, le=1_000_000, description=f"how many samples: all of a folder, {DEFAULT_SAMPLES} of a model"
    )
    reals: int = Field(5000, ge=8, le=1_000_000, description="at most this many real pictures, and training pictures")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the samples that a model draws, and of subsets")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks run")
    output: Path | None = Field(None, description="folder for results.json and neighbours.png")
    overwrite: bool = Field(False, description="write into a folder that holds other files")
    quiet: bool = Field(False, description="no progress")
