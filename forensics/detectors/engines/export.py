"""A detector as an ONNX file that explains itself, for use without this package.

The file takes what a detector's network takes: a square that is framed already, as RGB in [0, 1]. What comes before (which
square, how it is resized or tiled) and after (calibration, thresholds) is in a description beside the file, and in short in
the file's own metadata.
Limits: fusions are not exported as such, since some of their members are no networks; the description gives the weights.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from forensics import __version__
from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_text
from forensics.common.operating_point import OperatingPoint
from forensics.common.seeds import rng_for
from forensics.detectors.cnn_network import MAX_TILE_SOURCE_PX, MIN_TILE_PX, NetworkDetector
from forensics.detectors.engines.choice import missing_packages
from forensics.detectors.engines.logit import DetectorLogit
from forensics.detectors.engines.onnx_model import INPUT, OUTPUT, to_onnx
from forensics.detectors.model_set import Calibration, ModelSet
from forensics.detectors.protocol import Seen, seen_by, sigmoid
from forensics.detectors.registry import BUILT_IN, load_detector

# Scores of an exported file and of torch may differ by this much.
TOLERANCE = 1e-3
CPU = torch.device("cpu")
SQUARES = {
    "face": "the canonical face square, upright, copied from the frame (forensics/faces/canonical.py, crop_face)",
    "surroundings": "the canonical face square enlarged about its centre (forensics/faces/canonical.py, crop_surroundings)",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputContract(_Part):
    """What the file's input is, and how a picture becomes it."""

    name: str = INPUT
    layout: str = "N x 3 x height x width, float32, RGB"
    range: tuple[float, float] = (0.0, 1.0)
    normalisation: str = "none: it is part of the network"
    square: str
    framing: str
    side_px: int
    min_side_px: int
    max_source_px: int | None
    steps: tuple[str, ...]


class OutputContract(_Part):
    """What the file's output means."""

    name: str = OUTPUT
    layout: str = "N, float32"
    meaning: str = (
        "raw logit, greater = more likely fake; over the picture and its mirror image where `averages_mirror`"
    )
    averages_mirror: bool
    raw_score: str = "sigmoid(logit), 1 = fake, not calibrated"
    probability: str | None
    calibration: Calibration | None
    thresholds: OperatingPoint | None
    fusions: dict[str, Calibration]


class ExportDescription(_Part):
    """NAME.json beside NAME.onnx."""

    format: Literal[1] = 1
    detector: str
    description: str
    file: str
    tool_version: str = __version__
    weights_name: str
    weights_version: str
    weights_file: str
    weights_sha256: str
    weights_more_files: dict[str, str] = {}
    trained_on: str
    licence: str
    input: InputContract
    output: OutputContract

    def to_json(self) -> str:
        """As it is written."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


@dataclass(frozen=True, eq=False)
class Exported:
    """A detector ready to be written."""

    description: ExportDescription
    model: bytes
    detector: NetworkDetector


def exportable(model_set: ModelSet) -> list[str]:
    """Names of the detectors in a set of weights that may be networks: `settings` of a network name its input side."""
    return [name for name, part in model_set.weights.items() if name in BUILT_IN and "input_px" in part.settings]


def export_detector(name: str, model_set: ModelSet, folder: Path) -> Exported:
    """A detector of a set of weights as ONNX with its description: the same bytes on every run.

    Raises UsageError for one that is no network or where `onnx` is not installed, WeightsError for weights that do not fit.
    """
    if name not in BUILT_IN:
        raise UsageError(f"'{name}' cannot be exported", f"these can: {', '.join(exportable(model_set)) or 'none'}")
    detector = load_detector(name, model_set, folder, CPU)
    if not isinstance(detector, NetworkDetector):
        raise UsageError(
            f"{name} is not a network and cannot be exported",
            f"these can: {', '.join(exportable(model_set)) or 'none'}",
        )
    description = _described(name, detector, model_set)
    metadata = {
        "detector": name,
        "input": f"{INPUT}: {description.input.layout} in [0, 1], normalised in the network",
        "framing": f"{description.input.framing}, {description.input.side_px} px: {'; '.join(description.input.steps)}",
        "output": f"{OUTPUT}: {description.output.meaning}",
        "calibration": description.output.probability or "none",
        "licence": model_set.licence,
        "weights_sha256": description.weights_sha256,
        "weights_more_files": json.dumps(description.weights_more_files),
        "tool": f"deepfake-forensics {__version__}",
        "description_sha256": sha256_of_text(description.to_json()),
    }
    return Exported(description, to_onnx(detector.network, detector.averages_mirror, metadata), detector)


def largest_difference(exported: Exported) -> float | None:
    """Largest difference of a score between the model to be written, run by ONNX Runtime, and torch, on drawn pictures.

    None where ONNX Runtime is not installed. Raises WeightsError where it is more than TOLERANCE.
    """
    if missing_packages("onnx"):
        return None
    from forensics.detectors.engines.onnx_engine import OnnxEngine

    engine, network = OnnxEngine(exported.model, torch.get_num_threads()), exported.detector.network
    is_tile = exported.description.input.framing == "tile"
    worst = 0.0
    for side in (network.input_px, MIN_TILE_PX + 1) if is_tile else (network.input_px,):
        coarse = torch.from_numpy(rng_for(0, side).random((3, 3, side // 8 + 1, side // 8 + 1)).astype(np.float32))
        framed = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
        with torch.inference_mode():
            expected = DetectorLogit(network, exported.detector.averages_mirror)(framed).numpy()
        gap = sigmoid(engine(framed).numpy().astype(np.float64)) - sigmoid(expected.astype(np.float64))
        worst = max(worst, float(np.abs(gap).max()))
    if not worst <= TOLERANCE:  # also where it is no number
        raise WeightsError(
            f"{exported.description.file} gives scores that are {worst:.2g} away from torch's",
            "compare the versions of torch and onnxruntime",
        )
    return worst


def _described(name: str, detector: NetworkDetector, model_set: ModelSet) -> ExportDescription:
    part, side = model_set.weights[name], detector.network.input_px
    is_tile, sees = detector.network.settings().get("framing") == "tile", seen_by(detector)
    calibration = model_set.calibrations.get(name)
    return ExportDescription(
        detector=name,
        description=detector.description,
        file=f"{name}.onnx",
        weights_name=model_set.name,
        weights_version=model_set.version,
        weights_file=part.file,
        weights_sha256=part.sha256,
        weights_more_files=part.more_files,
        trained_on=model_set.trained_on,
        licence=model_set.licence,
        input=InputContract(
            square=SQUARES[sees],
            framing="tile" if is_tile else "whole",
            side_px=side,
            min_side_px=MIN_TILE_PX if is_tile else side,
            max_source_px=MAX_TILE_SOURCE_PX if is_tile else None,
            steps=_tile_steps(side, sees) if is_tile else _whole_steps(side, sees),
        ),
        output=OutputContract(
            averages_mirror=detector.averages_mirror,
            probability=_formula(name, calibration),
            calibration=calibration,
            thresholds=model_set.operating_points.get(name),
            fusions={
                fusion: found
                for fusion, found in model_set.calibrations.items()
                if fusion != name and name in found.coefficients
            },
        ),
    )


def _cut_out(sees: Seen) -> tuple[str, ...]:
    cut = "cut the square out of the frame as uint8 RGB"
    if sees == "face":
        return (cut,)
    return (
        cut,
        f"if its side is above {MAX_TILE_SOURCE_PX}: reduce it to {MAX_TILE_SOURCE_PX} x {MAX_TILE_SOURCE_PX} by area "
        "averaging, rounded to uint8 (as cv2.resize with INTER_AREA)",
    )


def _whole_steps(side: int, sees: Seen) -> tuple[str, ...]:
    return (
        *_cut_out(sees),
        "divide by 255",
        f"resize to {side} x {side}: bilinear with antialiasing, align_corners=False (as torch.nn.functional.interpolate), "
        "unless it has that size",
    )


def _tile_steps(side: int, sees: Seen) -> tuple[str, ...]:
    resized = "bilinear with antialiasing, align_corners=False"
    reduced = (
        f"if its side is above {MAX_TILE_SOURCE_PX}: resize to {MAX_TILE_SOURCE_PX} x {MAX_TILE_SOURCE_PX}, {resized}"
    )
    return (
        *_cut_out(sees),
        "divide by 255",
        *([reduced] if sees == "face" else []),  # surroundings are reduced already
        f"copy the middle, at most {side} x {side}: first row and column (side - tile) // 2; no resize",
        f"if its side is below {MIN_TILE_PX}: resize the square to {MIN_TILE_PX} x {MIN_TILE_PX} instead, {resized}",
    )


def _formula(name: str, calibration: Calibration | None) -> str | None:
    if calibration is None or set(calibration.coefficients) != {name}:
        return None
    return (
        f"sigmoid({calibration.intercept!r} + {calibration.coefficients[name]!r} * logit), at even prior odds, 1 = fake"
    )
