"""What a user asks of the data; light to import, so that `--help` is fast."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NO_CLASSES = "none"
BY_FOLDER = "folder"


class DataRequest(BaseModel):
    """Which pictures of which data; the command line, run.json and checkpoints hold these fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: tuple[Path, ...] = Field(
        min_length=1, description="manifests, folders that hold a manifest.csv, or plain folders of pictures"
    )
    label: Literal["0", "1", "any"] = Field(
        "0", description="rows of a manifest with this label: 0 = real, 1 = fake; a plain folder has no labels"
    )
    split: Literal["train", "dev", "test", "any"] = Field(
        "train", description="rows of a manifest in this split; a manifest without any split gives all its rows"
    )
    class_by: str = Field(
        NO_CLASSES,
        min_length=1,
        description="what a class is: none, folder (the first folder below DATA), or a column of the manifest",
    )
    faces: bool = Field(False, description="find the largest face of each picture of view scene, and crop to it")
    limit: int | None = Field(
        None, ge=1, description="at most this many pictures, drawn at random, the same ones always"
    )
    cache_gb: float = Field(
        8.0, ge=0, description="decoded pictures are kept in a file of at most this size; 0: decode them in every step"
    )
