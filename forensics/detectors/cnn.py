"""The CNN detector: one network on the whole face crop, with class activation maps.

Heatmaps follow HiResCAM (Draelos and Carin 2020, arXiv 2011.08891): the gradient of the logit times the last feature
maps, summed over channels. For a network whose head is average pooling and one linear layer this is exactly each
place's share of the logit (up to the bias), which Grad-CAM only approximates.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.detectors.cnn_network import FaceCnn, NetworkDetector, load_network, save_network
from forensics.detectors.model_set import ModelSet, WeightFile
from forensics.detectors.protocol import Crop

NAME = "cnn"


class CnnDetector(NetworkDetector):
    """The whole crop, resized to the network's input."""

    name = NAME
    description = "convolutional network on the whole face: blending, texture, geometry"

    def explain(self, crops: Sequence[Crop]) -> list[NDArray[np.float32]]:
        """Share of each place in the logit's evidence for fake, scaled so that the strongest place is 1."""
        maps: list[NDArray[np.float32]] = []
        for crop in crops:
            framed = self._framed(crop).to(self._device, memory_format=torch.channels_last)
            features = self._network.features(framed).detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self._network.head(features).sum(), features)
            heat = (gradient * features).sum(1)[0].detach().float().cpu().numpy()
            heat = np.maximum(heat, 0)
            maps.append((heat / max(float(heat.max()), 1e-12)).astype(np.float32))
        return maps


def load(model_set: ModelSet, folder: Path, device: torch.device) -> CnnDetector:
    """The detector of a set of weights. Raises WeightsError where they do not fit."""
    return CnnDetector(load_network(model_set, folder, NAME), device)


def save(network: FaceCnn, folder: Path) -> WeightFile:
    """Write the network as fp16 safetensors and describe the file."""
    return save_network(network, folder, NAME)
