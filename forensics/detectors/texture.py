"""The texture detector: the same kind of network on a tile at native resolution.

Generators and re-synthesis leave traces at the scale of single pixels, which any resize blurs; a tile that is copied
instead of resized keeps them (as Chai et al. 2020, arXiv 2008.10588, classify by patches).
The tile is the middle of what the detector sees: of the face's surroundings, since what was synthesised as a whole carries
traces in hair and background too, or of the face itself with weights that do not say otherwise (`sees` in model.json).
Limits: knows little of faces as a whole; shifts with compression and with any resize of the picture before it came here.
"""

from pathlib import Path
from typing import cast, get_args

import torch

from forensics.common.errors import WeightsError
from forensics.detectors.cnn_network import FaceNetwork, NetworkDetector, load_network, save_network
from forensics.detectors.model_set import ModelSet, WeightFile
from forensics.detectors.protocol import Seen

NAME = "texture"


class TextureDetector(NetworkDetector):
    """The middle tile, not resized."""

    name = NAME
    description = "convolutional network on a tile at native resolution: traces of synthesis and processing"

    def __init__(self, network: FaceNetwork, device: torch.device, sees: Seen = "face") -> None:
        super().__init__(network, device)
        self.sees: Seen = sees


def load(model_set: ModelSet, folder: Path, device: torch.device) -> TextureDetector:
    """The detector of a set of weights. Raises WeightsError where they do not fit."""
    network = load_network(model_set, folder, NAME)
    sees = model_set.weights[NAME].settings.get("sees", "face")
    if sees not in get_args(Seen):
        raise WeightsError(f"the weights in {folder} say that {NAME} sees '{sees}'", "train again")
    return TextureDetector(network, device, cast(Seen, sees))


def save(network: FaceNetwork, folder: Path, sees: Seen = "surroundings", stored_as: str = "float16") -> WeightFile:
    """Write the network as safetensors and describe the file, with what it was trained to see."""
    written = save_network(network, folder, NAME, stored_as)
    return written.model_copy(update={"settings": {**written.settings, "sees": sees}})
