"""A linear model on features of a face crop, differentiable from pixels to logit: what the spectral baselines share.

Computes in float64 on the CPU: the features are logarithms, and single precision would move their smallest values. Stored
as four arrays in safetensors (mean, scale, coefficients, intercept), so that nothing is unpickled.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.detectors.devices import to_tensor
from forensics.detectors.model_set import ModelSet, WeightFile, checked_file
from forensics.detectors.protocol import Crop, sigmoid

Arrays = dict[str, NDArray[np.float32]]
# ITU-R BT.601 luma, as the file formats of faces use it.
LUMA = (0.299, 0.587, 0.114)
# Features of this many crops of one size are computed together.
BATCH = 16


class LinearDetector(ABC):
    """Standardised features, one dot product. A subclass gives the features."""

    name = ""
    description = ""
    n_features = 0

    def __init__(self, arrays: Arrays) -> None:
        self._tensors = {name: torch.from_numpy(values.astype(np.float64)) for name, values in arrays.items()}

    @staticmethod
    @abstractmethod
    def frame(x: torch.Tensor) -> torch.Tensor:
        """The part of pictures (N, 3, H, W) in [0, 1] of one size that the features are made of."""

    @staticmethod
    @abstractmethod
    def features(framed: torch.Tensor) -> torch.Tensor:
        """(N, n_features) float64 of framed pictures; differentiable."""

    def score(self, crops: Sequence[Crop]) -> NDArray[np.float64]:
        """Sigmoid of the logit."""
        if not crops:
            return np.empty(0)
        return sigmoid(self._logits(torch.from_numpy(features_of(type(self), crops))).numpy())

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Differentiable logits (N,) of pictures (N, 3, H, W) in [0, 1], on the device and in the precision of `x`."""
        return self._logits(self.features(self.frame(x.to("cpu")))).to(x)

    def _logits(self, features: torch.Tensor) -> torch.Tensor:
        standardised = (features - self._tensors["mean"]) / self._tensors["scale"]
        return standardised @ self._tensors["coefficients"] + self._tensors["intercept"]


def features_of(kind: type[LinearDetector], crops: Sequence[Crop]) -> NDArray[np.float64]:
    """(N, n_features) of crops of any sizes; those that are framed to one size are computed together."""
    framed = [kind.frame(to_tensor(crop)[None]) for crop in crops]
    features = np.empty((len(crops), kind.n_features))
    with torch.no_grad():  # not inference mode: tables that are made here and kept must serve gradients later
        for shape in dict.fromkeys(picture.shape for picture in framed):
            indices = [i for i, picture in enumerate(framed) if picture.shape == shape]
            for start in range(0, len(indices), BATCH):
                part = indices[start : start + BATCH]
                features[part] = kind.features(torch.cat([framed[i] for i in part])).numpy()
    return features


def gray_255(x: torch.Tensor) -> torch.Tensor:
    """Luma (N, H, W) float64 in [0, 255] of pictures (N, 3, H, W) in [0, 1]."""
    return torch.einsum("nchw,c->nhw", x.double(), torch.tensor(LUMA, dtype=torch.float64)) * 255.0


def load_arrays(model_set: ModelSet, folder: Path, kind: type[LinearDetector]) -> Arrays:
    """The arrays of a detector in a set of weights. Raises WeightsError where they do not fit."""
    path = checked_file(model_set, folder, kind.name)
    try:
        arrays = load_file(path)
        shapes = [arrays[name].shape for name in ("mean", "scale", "coefficients", "intercept")]
    except Exception as error:
        raise WeightsError(f"{path.name} is not a linear model: {error}", "train again") from error
    if shapes != [(kind.n_features,)] * 3 + [(1,)]:
        raise WeightsError(f"{path.name} was made for other features", "train again")
    return arrays


def save_arrays(arrays: Arrays, folder: Path, name: str, settings: dict[str, str | int | float]) -> WeightFile:
    """Write the arrays of the detector `name` as safetensors and describe the file; settings: how it was fitted."""
    file = f"{name}.safetensors"
    temporary = folder / f".{file}.tmp"
    save_file(arrays, temporary)
    temporary.chmod(0o644)  # safetensors leaves it to its owner alone
    temporary.replace(folder / file)
    return WeightFile(file=file, sha256=sha256_of_file(folder / file), settings=settings)
