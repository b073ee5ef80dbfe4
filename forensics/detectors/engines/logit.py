"""The part of a detector that an engine runs: framed pictures in, the detector's logits out."""

from typing import Protocol

import torch
from torch import nn


class Network(Protocol):
    """What an engine needs of a network (`forensics.detectors.cnn_network.FaceNetwork`)."""

    input_px: int

    def features(self, framed: torch.Tensor) -> torch.Tensor:
        """Feature maps (N, C, h, w) of framed pictures (N, 3, H, W) in [0, 1]."""
        ...

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (N,) of feature maps."""
        ...

    def settings(self) -> dict[str, str | int | float]:
        """Architecture, input side and framing."""
        ...


class Engine(Protocol):
    """Runs a network."""

    def __call__(self, framed: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 RGB in [0, 1] -> (N,) float32 logits on the CPU, greater = more likely fake."""
        ...


class DetectorLogit(nn.Module):
    """Framed pictures (N, 3, H, W) float32 RGB in [0, 1] -> (N,) logits, averaged over mirror images where asked to."""

    def __init__(self, network: Network, averages_mirror: bool) -> None:
        super().__init__()
        self.network = network
        self.averages_mirror = averages_mirror

    def forward(self, framed: torch.Tensor) -> torch.Tensor:
        """Differentiable in `framed`."""
        if not self.averages_mirror:
            return self.network.head(self.network.features(framed))
        both = torch.cat([framed, framed.flip(-1)])
        return self.network.head(self.network.features(both)).reshape(2, -1).mean(0)


def has_free_size(network: Network) -> bool:
    """Whether framed pictures come in several sizes: tiles are as large as the crop allows."""
    return network.settings().get("framing") == "tile"
