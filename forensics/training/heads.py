"""The networks that a recipe trains, each with its framing, its share of the data and its augmentation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from forensics.detectors.cnn import CnnDetector
from forensics.detectors.cnn_network import FaceCnn, NetworkDetector, resize
from forensics.detectors.devices import to_tensor
from forensics.detectors.texture import TextureDetector
from forensics.faces.types import Frame
from forensics.training.augment import augment, augment_tile
from forensics.training.config import TrainConfig


@dataclass(frozen=True)
class Head:
    """One network of the recipe; `view` makes the network's input (3, input_px, input_px) of a training crop."""

    detector: type[NetworkDetector]  # what its network is scored as
    framing: str
    input_px: int  # in training
    scored_px: int  # in use
    epochs: int
    learning_rate: float
    family_floor: float
    max_repeat: float
    family_cap: int | None
    view: Callable[[Frame, int, np.random.Generator], torch.Tensor]

    @property
    def name(self) -> str:
        """The detector's."""
        return self.detector.name

    def network(self, config: TrainConfig) -> FaceCnn:
        """The network before its first step, with a head that is not set yet."""
        return FaceCnn(config.backbone, self.scored_px, self.framing)


def heads_of(config: TrainConfig) -> list[Head]:
    """The heads that a configuration asks for."""
    whole = Head(
        CnnDetector,
        "whole",
        config.input_px,
        config.input_px,
        config.epochs,
        config.learning_rate,
        config.family_floor,
        config.max_repeat,
        None,
        _whole_view,
    )
    if config.texture_epochs == 0:
        return [whole]
    # Families count the same here: the finest traces are learnt from the small sets or not at all.
    tile = Head(
        TextureDetector,
        "tile",
        config.texture_px,
        config.texture_scored_px,
        config.texture_epochs,
        config.learning_rate,
        1.0,
        config.max_repeat,
        config.texture_family_cap,
        _tile_view,
    )
    return [whole, tile]


def _whole_view(crop: Frame, input_px: int, rng: np.random.Generator) -> torch.Tensor:
    return resize(to_tensor(augment(crop, rng))[None], input_px)[0]


def _tile_view(crop: Frame, input_px: int, rng: np.random.Generator) -> torch.Tensor:
    tile = to_tensor(augment_tile(crop, input_px, rng))[None]
    return tile[0] if tile.shape[-1] == input_px else resize(tile, input_px)[0]
