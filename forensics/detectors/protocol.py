"""What a detector is. Adding one is one file that satisfies this and one line in `forensics.detectors.registry`."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

Crop = NDArray[np.uint8]  # (S, S, 3) RGB, canonical frame, native resolution

# Scores are turned into logits for averaging and fusion; beyond this they are certain enough.
MAX_LOGIT = 30.0


@runtime_checkable
class Detector(Protocol):
    """Scores face crops. `score` is required; the protocols below are what some detectors can do beside it."""

    name: str
    description: str

    def score(self, crops: Sequence[Crop]) -> NDArray[np.float64]:
        """(N,) in [0, 1], 1 = fake, one per crop, each independent of the others in the call."""
        ...


@runtime_checkable
class Explainer(Protocol):
    """A detector that can say where it looked."""

    def explain(self, crops: Sequence[Crop]) -> list[NDArray[np.float32]]:
        """One (h, w) map per crop in [0, 1], over the crop's own area: greater = spoke more for fake."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A detector that attacks can differentiate through."""

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 RGB in [0, 1] -> (N,) logits, differentiable in x."""
        ...


def logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of scores in [0, 1], cut off at MAX_LOGIT."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(np.log(scores) - np.log1p(-scores), -MAX_LOGIT, MAX_LOGIT))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))))
