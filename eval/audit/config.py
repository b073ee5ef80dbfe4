"""Options of `forensics bench audit`; light to import, so that `--help` is fast."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from eval.config import MAX_DEFAULT_WORKERS, cores


class AuditConfig(BaseModel):
    """What is audited and how; each field is an option of the command."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    layout: str = Field("auto", description="layout of DATA; auto recognises it")
    compression: str | None = Field(None, description="FaceForensics++: only c0, c23 or c40")
    split: Literal["train", "dev", "test", "all"] = Field("all", description="which rows are audited")
    limit: int | None = Field(
        None, ge=1, description="items at most per DATA, a seeded sample; leakage to what is left out is not seen"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the sample, the folds and the bootstrap")
    draws: int = Field(1000, ge=100, le=100_000, description="draws of the bootstrap")
    timeout: float = Field(600.0, gt=0, description="seconds that one clip may take to decode")
    workers: int = Field(0, ge=0, le=256, description="files read at the same time; 0: one per core, four at most")
    fail_on: Literal["never", "leakage", "shortcut", "any"] = Field(
        "never", description="exit with status 1 if this was found"
    )
    overwrite: bool = Field(False, description="replace files in --output that this tool did not write")
    quiet: bool = Field(False, description="say nothing on standard error but errors")

    @property
    def worker_count(self) -> int:
        """How many files are read beside each other."""
        return self.workers or min(cores(), MAX_DEFAULT_WORKERS)
