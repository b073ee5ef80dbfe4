"""Options of the commands that measure: one object each for the command line, the help text and the provenance.

Light to import, so that `--help` is fast.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from forensics.cli.options import given_values
from forensics.common.errors import UsageError
from forensics.common.options_file import checked_options
from forensics.config import ScanConfig
from forensics.detectors.engines.choice import EngineName, Precision

MAX_DEFAULT_WORKERS = 4
# Where a detector ships no threshold: its own even odds.
UNSHIPPED_THRESHOLD = 0.5
View = Literal["scene", "face", "whole"]
M = TypeVar("M", bound=BaseModel)


def resolve_options(model: type[M], values: dict[str, Any], command: str) -> M:
    """The options as given on the command line. Raises UsageError that names the first wrong one."""
    return checked_options(model, given_values(values), f"forensics bench {command} --help")


class ScoringConfig(BaseModel):
    """How items are scored; each field is an option of the commands that score."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    detector: tuple[str, ...] = Field(
        ("default",),
        description="default (the calibrated fusion), a detector's name, or FILE.py with predict(path) -> float; "
        "may be repeated",
    )
    weights: tuple[Path, ...] = Field(
        (),
        description="folder with model.json instead of the shipped weights, or FILE.h5 of a published MesoNet for the "
        "detector meso4 or mesoinception4; may be repeated",
    )
    whole_image: bool = Field(
        False,
        description="judge every item as a whole for traces of synthesis, whatever its view says; default is then the "
        "fusion whole-image",
    )
    sample_fps: float = Field(4.0, description="frames per second of a clip that are looked at", gt=0, le=240)
    max_frames: int = Field(240, description="frames at most per clip, spread over all of it", ge=1, le=100_000)
    randomised: int = Field(
        0, description="mean over so many randomly compressed and resized copies of each face (0: none)", ge=0, le=64
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks run")
    engine: EngineName = Field("torch", description="what runs the networks: torch, auto, openvino, onnx, compile")
    precision: Precision = Field("auto", description="f32; bf16; auto: f32 on a CPU, half precision on a GPU")
    timeout: float = Field(600.0, description="seconds that one file may take to decode", gt=0)
    workers: int = Field(0, description="items scored at the same time; 0: one per core, four at most", ge=0, le=256)

    @property
    def needs_verdicts(self) -> bool:
        """Whether verdicts are counted, which costs a second scoring of the most suspicious crops."""
        return True

    @property
    def worker_count(self) -> int:
        """How many scanners work beside each other."""
        return self.workers or min(cores(), MAX_DEFAULT_WORKERS)

    @property
    def folder(self) -> Path | None:
        """The set of weights; None for the shipped one. Raises UsageError for more than one."""
        folders = [path for path in self.weights if path.suffix != ".h5"]
        if len(folders) > 1:
            raise UsageError(
                "--weights names two sets of weights", "one folder with model.json, and any number of FILE.h5"
            )
        return folders[0] if folders else None

    @property
    def specs(self) -> tuple[str, ...]:
        """What detectors are asked for, with the files that serve them; `default` is `whole-image` for whole pictures."""
        from forensics.detectors.model_set import DEFAULT_DETECTOR, WHOLE_IMAGE
        from forensics.detectors.peer_weights import with_weights

        files = [path for path in self.weights if path.suffix == ".h5"]
        fused = WHOLE_IMAGE if self.whole_image else DEFAULT_DETECTOR
        names = [fused if name == DEFAULT_DETECTOR else name for name in self.detector]
        return with_weights(tuple(dict.fromkeys(names)), files)

    def scan_config(self, specs: Sequence[str], view: View) -> ScanConfig:
        """What a scanner for some of the detectors is made with."""
        return ScanConfig(
            detector=tuple(specs),
            weights=self.folder,
            view=view,
            sample_fps=self.sample_fps,
            max_frames=self.max_frames,
            randomised=self.randomised,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            timeout=self.timeout,
            stability=self.needs_verdicts,
            threads=max(1, cores() // self.worker_count),
        )


class BenchConfig(ScoringConfig):
    """Options of `forensics bench run`; also the base of the other commands that measure."""

    layout: str = Field("auto", description="layout of DATA; auto recognises it")
    compression: str | None = Field(None, description="FaceForensics++: only c0, c23 or c40")
    split: Literal["train", "dev", "test", "all"] = Field("all", description="which rows are judged")
    limit: int | None = Field(None, ge=1, description="items at most: a seeded sample, alike in labels and generators")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the sample and of the bootstrap")
    draws: int = Field(2000, ge=100, le=100_000, description="draws of the bootstrap")
    force: bool = Field(False, description="score again what is in the folder's cache")
    overwrite: bool = Field(False, description="replace files in --output that this tool did not write")
    quiet: bool = Field(False, description="say nothing on standard error but errors")


class RobustnessConfig(BenchConfig):
    """Options of `forensics bench robustness`."""

    perturb: tuple[str, ...] = Field(
        (),
        description="NAME (its five strengths) or NAME:STRENGTH, e.g. jpeg or jpeg:50; all if none; or a network "
        "that launders: restore:denoise, restore:deblock, srgan:x2, with =RUN for one of your own; may be repeated",
    )

    @property
    def needs_verdicts(self) -> bool:
        """Only scores are compared."""
        return False


class ImportConfig(BaseModel):
    """Options of `forensics bench import`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    detector: str = Field("imported", description="name of the detector, for rows that do not name theirs")
    threshold: float = Field(
        UNSHIPPED_THRESHOLD, ge=0, le=1, description="an item is called fake at or above this score"
    )
    draws: int = Field(2000, ge=100, le=100_000, description="draws of the bootstrap")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the bootstrap")
    overwrite: bool = Field(False, description="replace files in --output that this tool did not write")
    quiet: bool = Field(False, description="say nothing on standard error but errors")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
