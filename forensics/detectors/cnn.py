"""The CNN detector: one network on the whole face crop, or the mean of several, with class activation maps.

Heatmaps follow HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): the gradient of the logit times the last feature
maps, summed over channels. For a network whose head is average pooling and one linear layer this is exactly each
place's share of the logit (up to the bias), which Grad-CAM only approximates.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.detectors.cnn_network import FaceNetwork, NetworkDetector, load_network, save_network
from forensics.detectors.model_set import ModelSet, WeightFile
from forensics.detectors.protocol import Crop

NAME = "cnn"


class CnnDetector(NetworkDetector):
    """The whole crop, resized to the network's input."""

    name = NAME
    description = "convolutional networks on the whole face: blending, texture, geometry"
    averages_mirror = True

    def explain(self, crops: Sequence[Crop]) -> list[NDArray[np.float32]]:
        """Share of each place in the logit's evidence for fake, scaled so that the strongest place is 1."""
        maps: list[NDArray[np.float32]] = []
        for crop in crops:
            framed = self._framed(crop).to(self._device, memory_format=torch.channels_last)
            shares = (self._shares(framed) + self._shares(framed.flip(-1)).flip(-1)) / 2
            heat = np.maximum(shares[0].float().cpu().numpy(), 0)
            maps.append((heat / max(float(heat.max()), 1e-12)).astype(np.float32))
        return maps

    def _shares(self, framed: torch.Tensor) -> torch.Tensor:
        """(N, h, w): what each place adds to the logit."""
        features = self._network.features(framed).detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(self._network.head(features).sum(), features)
        return (gradient * features).sum(1).detach()


def load(model_set: ModelSet, folder: Path, device: torch.device) -> CnnDetector:
    """The detector of a set of weights. Raises WeightsError where they do not fit."""
    return CnnDetector(load_network(model_set, folder, NAME), device)


def save(networks: Sequence[FaceNetwork], folder: Path, stored_as: str = "float16") -> WeightFile:
    """Write one network, or several whose mean logit is the detector's, each to a file of its own, and describe them."""
    first, *others = [save_network(network, folder, member_name(i), stored_as) for i, network in enumerate(networks)]
    return first.model_copy(update={"more_files": {other.file: other.sha256 for other in others}})


def member_name(i: int) -> str:
    """Of what belongs to the network `i`, from 0."""
    return NAME if i == 0 else f"{NAME}-{i + 1}"
