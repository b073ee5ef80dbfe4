"""Which engine computes scores, and in which precision. Light to import: no torch, no engine.

torch is the default, whatever is installed: thresholds and calibration were measured with it, and a record should not
change because a package came along. In f32 other engines agree to 1e-3 in a score, which is close but not equal, so what
scored is part of a record's options, with its version.

Precision: f32 everywhere unless asked otherwise, except on a GPU, where `auto` is half-precision autocast. OpenVINO would
compute in bf16 of its own accord on processors that have it; f32 here means f32.
Limits: bf16 keeps eight bits of each number, and moves a score by up to 0.05 (docs/bench.md), by torch and OpenVINO alike:
enough to cross a threshold. It is for triage, never taken unasked.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, Protocol, runtime_checkable

from forensics.common.errors import UsageError

EngineName = Literal["auto", "torch", "compile", "openvino", "onnx"]
Precision = Literal["auto", "f32", "bf16"]

# Distributions that an engine needs -> the extra that brings them. Models reach both as ONNX, which `onnx` writes.
PACKAGES: dict[str, tuple[str, ...]] = {"openvino": ("openvino", "onnx"), "onnx": ("onnxruntime", "onnx")}


@dataclass(frozen=True)
class EngineChoice:
    """An engine by name, never `auto`; with `precision` "auto", f32 on the CPU and half-precision autocast on a GPU."""

    name: Literal["torch", "compile", "openvino", "onnx"] = "torch"
    precision: Precision = "auto"


TORCH = EngineChoice()


@runtime_checkable
class Accelerable(Protocol):
    """A detector whose network can be run by another engine."""

    def use_engine(self, choice: EngineChoice) -> None:
        """Scores from now on are this engine's."""
        ...


def resolve_engine(name: EngineName, precision: Precision, device: str) -> EngineChoice:
    """What `--engine` and `--precision` mean on a device (`cpu`, `cuda`, `mps`).

    `auto` is OpenVINO where it is installed and the device is the CPU, else torch. Raises UsageError for an engine that is
    not installed, or that cannot do what is asked for.
    """
    if name == "auto":
        return EngineChoice("openvino" if device == "cpu" and not missing_packages("openvino") else "torch", precision)
    missing = missing_packages(name)
    if missing:
        raise UsageError(
            f"--engine {name} needs {' and '.join(missing)}",
            f"pip install 'deepfake-forensics[{name}]', or --engine torch",
        )
    if name in PACKAGES and device != "cpu":
        raise UsageError(f"--engine {name} runs on the CPU, not on {device}", "add --device cpu, or use --engine torch")
    if name == "compile" and device != "cuda":
        raise UsageError(f"--engine compile is for a GPU, not for {device}", "--engine auto is the fast one on a CPU")
    if name == "onnx" and precision == "bf16":
        raise UsageError("--engine onnx computes in f32 only", "--engine openvino can do --precision bf16")
    return EngineChoice(name, precision)


def missing_packages(name: str) -> list[str]:
    """Distributions that an engine needs and that are not installed."""
    return [package for package in PACKAGES.get(name, ()) if _version(package) is None]


def recorded_engine(choice: EngineChoice) -> str:
    """What a record's options say: the engine, with its version where it is not torch (whose version is there already)."""
    package = PACKAGES.get(choice.name, ("",))[0]
    return f"{choice.name} {_version(package)}" if package else choice.name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
