"""The texture detector: the same kind of network on the middle of the crop at native resolution.

Generators and re-synthesis leave traces at the scale of single pixels, which any resize blurs; a tile that is copied
instead of resized keeps them (as Chai et al. 2020, arXiv 2008.10588, classify by patches).
Limits: knows little of faces as a whole; shifts with compression and with any resize of the picture before it came here.
"""

from pathlib import Path

import torch

from forensics.detectors.cnn_network import NetworkDetector, load_network
from forensics.detectors.model_set import ModelSet

NAME = "texture"


class TextureDetector(NetworkDetector):
    """The middle tile, not resized."""

    name = NAME
    description = "convolutional network on a tile at native resolution: traces of synthesis and processing"


def load(model_set: ModelSet, folder: Path, device: torch.device) -> TextureDetector:
    """The detector of a set of weights. Raises WeightsError where they do not fit."""
    return TextureDetector(load_network(model_set, folder, NAME), device)
