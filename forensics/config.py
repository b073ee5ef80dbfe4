"""One configuration for the command line, the file and the help text, so that they cannot disagree.

Fields marked as analysis decide what the record says: they are hashed into it, and a stored record is reused only if
they are unchanged.
"""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from forensics.common.files import sha256_of_file, sha256_of_text
from forensics.common.options_file import options_toml, resolve_options
from forensics.detectors.engines.choice import EngineChoice, EngineName, Precision, recorded_engine, resolve_engine
from forensics.detectors.peer_weights import split_name, with_weights

Format = Literal["table", "json", "html", "csv"]
Options = dict[str, str | int | float | bool | list[str] | None]


def _analysis(default: Any, description: str, **constraints: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"analysis": True}, **constraints)


class ScanConfig(BaseModel):
    """Options of `forensics scan`; each is an option of the command and a key of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    detector: tuple[str, ...] = _analysis(
        ("default",),
        "default (the calibrated fusion), a detector's name, NAME@FILE with its authors' weights, or FILE.py with "
        "predict(path) -> float; may be repeated",
    )
    weights: Path | None = Field(
        None,
        description="folder with model.json and its files, instead of the shipped weights; or FILE.h5, published weights "
        "of the --detector whose layers they are",
    )
    view: Literal["scene", "face", "whole"] = _analysis(
        "scene",
        "scene: look for faces; face: each picture is a face crop in the canonical frame already; whole: look for no face, "
        "judge the picture as a whole for traces of synthesis",
    )
    sample_fps: float = _analysis(4.0, "frames per second of presentation time that are looked at", gt=0, le=240)
    max_frames: int = _analysis(240, "frames at most per clip, spread over all of it", ge=1, le=100_000)
    prior: float = _analysis(0.5, "share of fakes assumed before looking; 0.5 = even odds", gt=0, lt=1)
    stability: bool = _analysis(
        True, "score the most suspicious crops again after mild JPEG; a verdict that this overturns is inconclusive"
    )
    randomised: int = _analysis(
        0,
        "score the mean over so many randomly compressed and resized copies of each face instead: as many times slower, "
        "harder to attack; thresholds were measured without (0)",
        ge=0,
        le=64,
    )
    evidence: bool = _analysis(
        False,
        "also run the classical analyses of `forensics inspect` (metadata, compression, noise, cloned regions, motion over "
        "a clip's first 300 frames); their findings go into record and page, the verdict stays as it is",
    )
    face_detector: Literal["mtcnn", "yunet"] = _analysis("mtcnn", "what finds faces")
    face_model: Path | None = _analysis(None, "ONNX file of the face detector yunet")
    device: Literal["auto", "cpu", "cuda", "mps"] = _analysis(
        "auto", "where networks run; auto takes a GPU if there is one"
    )
    engine: EngineName = _analysis(
        "torch",
        "what runs the networks: torch, which the thresholds were measured with; auto, openvino on a CPU if it is "
        "installed; openvino or onnx, the same scores within 0.001; compile, torch.compile on a GPU",
    )
    precision: Precision = _analysis(
        "auto",
        "f32; bf16, faster on processors that have it, with scores that differ by up to 0.05; auto: f32 on a CPU, half "
        "precision on a GPU",
    )
    threads: int = Field(0, description="CPU threads; 0: as many as there are cores", ge=0, le=1024)
    timeout: float = Field(
        600.0, description="seconds that decoding one file may take; also of a FILE.py detector", gt=0
    )
    max_pixels: int = Field(1 << 26, description="pixels that one picture or frame may have", ge=1)
    max_memory_gb: float = Field(2.0, description="memory that decoding one file may take, in GiB", gt=0)
    output: Path | None = Field(None, description="folder for records and pages")
    format: tuple[Format, ...] = Field((), description="table, json, html, csv, or several: json,html,csv")
    resume: bool = Field(True, description="reuse the record of an unchanged file in --output")
    force: bool = Field(False, description="analyse again what has a record already")
    overwrite: bool = Field(False, description="replace files in --output that this tool did not write")
    fail_on: Literal["never", "fake", "suspect"] = Field(
        "never", description="exit with status 1 on: fake = likely fake; suspect = likely fake or inconclusive"
    )
    verbose: bool = Field(False, description="say more on standard error")
    quiet: bool = Field(False, description="say nothing on standard error but errors")

    def analysis_options(self) -> Options:
        """The options that decide what a record says, with the user's own files by their contents' hash."""
        chosen = _deciding_options(self)
        chosen["engine"] = self._recorded_engine()
        chosen["detector"] = [_detector_by_content(name) for name in self.detector]
        chosen["face_model"] = _by_content(self.face_model) if self.face_model else None
        return chosen

    def _recorded_engine(self) -> str:
        """What `engine` is on this machine, with its version: a record must say what scored."""
        if self.engine != "auto":
            return recorded_engine(EngineChoice(self.engine))
        from forensics.detectors.devices import resolve_device

        return recorded_engine(resolve_engine(self.engine, self.precision, resolve_device(self.device).type))

    def with_files_attached(self) -> Self:
        """Where `weights` is a file, the same with that file attached to its detector and the shipped set of weights.

        Raises UsageError or WeightsError, as `forensics.detectors.peer_weights.with_weights` does.
        """
        if self.weights is None or not (self.weights.is_file() or self.weights.suffix == ".h5"):
            return self
        return self.model_copy(update={"detector": with_weights(self.detector, [self.weights]), "weights": None})

    def inspection(self) -> "InspectConfig":
        """What --evidence runs: all analyses, under the same limits."""
        return InspectConfig(
            face_detector=self.face_detector,
            face_model=self.face_model,
            device=self.device,
            threads=self.threads,
            timeout=self.timeout,
            max_pixels=self.max_pixels,
            max_memory_gb=self.max_memory_gb,
        )

    def to_toml(self) -> str:
        """The configuration as a file that `--config` reads; options without a value are comments."""
        return options_toml(self)


class InspectConfig(BaseModel):
    """Options of `forensics inspect`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    only: tuple[str, ...] = _analysis(
        (), "run these analyses alone (`forensics inspect list` names them); commas between"
    )
    skip: tuple[str, ...] = _analysis((), "run all but these; commas between")
    max_frames: int = _analysis(
        300, "frames of a clip that are looked at, every one from its start (10 s at 30 a second)", ge=16, le=1800
    )
    face_detector: Literal["mtcnn", "yunet"] = _analysis("mtcnn", "what finds faces in clips")
    face_model: Path | None = _analysis(None, "ONNX file of the face detector yunet")
    case: str = _analysis("", "case number or name, for the report")
    operator: str = _analysis("", "who ran this, for the report")
    notes: str = _analysis("", "anything else that the report is to say of the case")
    device: Literal["auto", "cpu", "cuda", "mps"] = _analysis("auto", "where faces are looked for")
    threads: int = Field(0, description="CPU threads; 0: as many as there are cores", ge=0, le=1024)
    timeout: float = Field(600.0, description="seconds that decoding one file may take", gt=0)
    max_pixels: int = Field(1 << 26, description="pixels that one picture or frame may have", ge=1)
    max_memory_gb: float = Field(2.0, description="memory that decoding one file may take, in GiB", gt=0)
    output: Path | None = Field(None, description="folder for records, pages and maps")
    format: tuple[Literal["table", "json", "html", "pdf"], ...] = Field(
        (), description="table, json, html, pdf (by an installed Chromium), or several: json,html"
    )
    resume: bool = Field(True, description="reuse the record of an unchanged file in --output")
    force: bool = Field(False, description="inspect again what has a record already")
    overwrite: bool = Field(False, description="replace files in --output that this tool did not write")
    fail_on: Literal["never", "inconsistent", "suspicious"] = Field(
        "never", description="exit with status 1 on findings: inconsistent; or suspicious and inconsistent"
    )
    quiet: bool = Field(False, description="say nothing on standard error but errors")

    def analysis_options(self) -> Options:
        """The options that decide what a record says, with the user's own files by their contents' hash."""
        chosen = _deciding_options(self)
        chosen["face_model"] = _by_content(self.face_model) if self.face_model else None
        return chosen


def _deciding_options(config: BaseModel) -> Options:
    """Fields marked as analysis, with their values."""
    chosen: Options = {}
    for name, field in type(config).model_fields.items():
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("analysis"):
            value = getattr(config, name)
            chosen[name] = list(value) if isinstance(value, tuple) else value
    return chosen


def resolve_config(file: Path | None, given: dict[str, Any]) -> ScanConfig:
    """Defaults, overridden by the file, overridden by what was given on the command line. Raises UsageError."""
    return resolve_options(ScanConfig, file, given, "configuration", "`forensics config` prints all options")


def options_hash(options: dict[str, Any]) -> str:
    """SHA-256 of resolved options, in a canonical form."""
    return sha256_of_text(json.dumps(options, sort_keys=True))


def _detector_by_content(name: str) -> str:
    """A detector's name, with the hash of the file that the user brought for it."""
    if name.endswith(".py"):
        return _by_content(Path(name))
    kind, file = split_name(name)
    return name if file is None else f"{kind}@{_by_content(file)}"


def _by_content(file: Path) -> str:
    """Name and hash of a file that the user brought: another content is another option."""
    return f"{file.name}@{sha256_of_file(file)[:16]}" if file.is_file() else file.name
