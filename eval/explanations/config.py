"""Options of `forensics bench explain`. Light to import, so that `--help` is fast."""

from pathlib import Path

from pydantic import Field

from eval.config import BenchConfig


class ExplainConfig(BenchConfig):
    """Whose heatmaps are judged, on what."""

    detector: tuple[str, ...] = Field(("cnn",), description="a detector that gives heatmaps; may be repeated")
    sample_fps: float = Field(1.0, description="frames per second of a clip that are looked at", gt=0, le=240)
    max_frames: int = Field(16, description="frames at most per clip, spread over all of it", ge=1, le=100_000)
    self_blends: Path | None = Field(
        None, description="manifest or data set whose real faces are blended with themselves, each once, and judged too"
    )
    sheet: int = Field(24, description="faces on the sheet of pictures, a seeded sample; 0: no sheet", ge=0, le=400)
