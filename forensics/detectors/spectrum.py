"""The spectrum detector: a linear model on the features of `forensics.features.spectrum`.

Stored as four arrays in safetensors (mean, scale, coefficients, intercept), so that nothing is unpickled.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.detectors.model_set import ModelSet, WeightFile, checked_file
from forensics.detectors.protocol import Crop, sigmoid
from forensics.features.spectrum import N_FEATURES, spectrum_features

NAME = "spectrum"
FILE = "spectrum.safetensors"


class SpectrumDetector:
    """Standardised features, one dot product."""

    name = NAME
    description = "linear model on power spectrum and block DCT: traces of up-sampling and processing"
    judges_pictures = True

    def __init__(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        self._arrays = arrays

    def score(self, crops: Sequence[Crop]) -> NDArray[np.float64]:
        """Sigmoid of the linear model's decision value."""
        if not crops:
            return np.empty(0)
        features = np.stack([spectrum_features(crop) for crop in crops]).astype(np.float64)
        standardised = (features - self._arrays["mean"]) / self._arrays["scale"]
        return sigmoid(standardised @ self._arrays["coefficients"] + self._arrays["intercept"][0])


def load(model_set: ModelSet, folder: Path, device: torch.device) -> SpectrumDetector:
    """The detector of a set of weights (it computes on the CPU). Raises WeightsError where they do not fit."""
    path = checked_file(model_set, folder, NAME)
    try:
        arrays = load_file(path)
        shapes = [arrays[name].shape for name in ("mean", "scale", "coefficients", "intercept")]
    except Exception as error:
        raise WeightsError(f"{path.name} is not a spectrum model: {error}") from error
    if shapes != [(N_FEATURES,)] * 3 + [(1,)]:
        raise WeightsError(f"{path.name} was made for other features")
    return SpectrumDetector(arrays)


def save(arrays: dict[str, NDArray[np.float32]], folder: Path) -> WeightFile:
    """Write the arrays as safetensors and describe the file."""
    temporary = folder / f".{FILE}.tmp"
    save_file(arrays, temporary)
    temporary.chmod(0o644)  # safetensors leaves it to its owner alone
    temporary.replace(folder / FILE)
    return WeightFile(file=FILE, sha256=sha256_of_file(folder / FILE))
