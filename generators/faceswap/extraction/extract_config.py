"""Every choice of `forensics generate faceswap extract` in one object: options, help and alignments.json are made from it.

Light to import, so that `--help` is fast.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# What decides neither which faces are found nor which of them are kept.
NOT_OF_THE_RESULT = frozenset({"device", "threads", "timeout", "max_pixels", "max_memory_gb", "face_model"})


class ExtractConfig(BaseModel):
    """Options of one extraction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Which frames and whose face.
    track: tuple[str, ...] = Field(
        (), description="number of a track to keep, as in tracks-*.png (may be repeated), or all; "
        "without it the one that is largest for longest"
    )  # fmt: skip
    fps: float | None = Field(None, gt=0, le=1000, description="frames a second to look at; without it every frame")
    max_frames: int = Field(200_000, ge=1, le=5_000_000, description="frames to look at in one clip, at most")

    # What is left out.
    min_face_px: float = Field(48.0, ge=16, le=4096, description="shorter side of a face's box in the frame, at least")
    min_confidence: float = Field(0.95, ge=0, le=1, description="how sure the face detector must be")
    max_yaw_deg: float = Field(
        50.0, ge=0, le=90, description="how far a head may be turned aside, as estimated from five points"
    )
    min_sharpness: float = Field(
        0.25, ge=0, le=1, description="sharpness of a face as a share of the clip's own median, at least"
    )
    keep_blurred: bool = Field(False, description="keep faces that are much less sharp than the others of their clip")
    spread_fps: float = Field(
        10.0, gt=0, le=1000, description="nearly equal faces of a track that are kept in a second"
    )
    keep_duplicates: bool = Field(False, description="keep all nearly equal faces")
    max_faces: int = Field(2000, ge=1, le=1_000_000, description="faces of one clip, at most; evenly spread if more")

    # What finds them.
    face_detector: Literal["mtcnn", "yunet"] = Field("mtcnn", description="what finds faces")
    face_model: Path | None = Field(None, description="ONNX file of the face detector yunet")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the face detector runs")
    threads: int = Field(0, ge=0, le=256, description="CPU threads (0: as many as there are cores)")
    timeout: float = Field(3600.0, gt=0, description="seconds that decoding one clip may take")
    max_pixels: int = Field(1 << 26, ge=1, description="pixels that one frame may have")
    max_memory_gb: float = Field(2.0, gt=0, description="memory that decoding one clip may take, in GiB")

    def of_the_result(self) -> dict[str, Any]:
        """What decides the faces, in JSON's types: the same clip with the same of these gives the same set."""
        return self.model_dump(mode="json", exclude=set(NOT_OF_THE_RESULT))
