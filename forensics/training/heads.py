"""The networks that a recipe trains, each with its framing, its share of the data, its pairs and its augmentation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from forensics.common.manifest import Item
from forensics.detectors.cnn import CnnDetector
from forensics.detectors.cnn_network import FaceCnn, FaceNetwork, NetworkDetector, resize
from forensics.detectors.devices import to_tensor
from forensics.detectors.mesonet import DETECTORS as MESONETS
from forensics.detectors.mesonet import INPUT_PX as MESONET_PX
from forensics.detectors.mesonet import MesoNet
from forensics.detectors.protocol import Seen
from forensics.detectors.texture import TextureDetector
from forensics.faces.types import Frame
from forensics.training.augment import augment, augment_tile
from forensics.training.config import TrainConfig
from forensics.training.initial import load_initial_weights
from forensics.training.plan import Blending


@dataclass(frozen=True)
class Head:
    """One network of the recipe.

    sees: what of a picture it is given; `view` makes the network's input (3, input_px, input_px) of that. blendings:
    pseudo-fakes per kind, as shares of each data set's pairs; they are made of faces, not of what surrounds them.
    fakes_of: data sets whose fakes it is shown (empty: all); of the others it is shown reals alone, `reals_cap` of each at
    most. backbone and init: what the network is and where it starts, for the fingerprint of a run; `network` builds it
    before its first step. Raises UsageError or WeightsError where `init` cannot be had.
    """

    detector: type[NetworkDetector]  # what its network is scored as
    backbone: str
    init: str
    framing: str
    input_px: int  # in training
    epochs: float
    learning_rate: float
    family_floor: float
    max_repeat: float
    blendings: Mapping[Blending, float]
    sees: Seen
    view: Callable[[Frame, int, np.random.Generator], torch.Tensor]
    network: Callable[[], FaceNetwork]
    early_px: int = 0  # instead of input_px in its first part, which is `early_share` of the steps
    early_share: float = 0.0
    family_cap: int | None = None
    fakes_of: tuple[str, ...] = ()
    reals_cap: int | None = None

    @property
    def name(self) -> str:
        """The detector's."""
        return self.detector.name

    def left_out(self, items: Sequence[Item], of_all: Sequence[str]) -> tuple[str, ...]:
        """Data sets whose fakes it is not shown: those that no head is (`of_all`), and those that are not `fakes_of`."""
        others = {item.dataset for item in items} - set(self.fakes_of) if self.fakes_of else set()
        return tuple(sorted(others | set(of_all)))


def heads_of(config: TrainConfig) -> list[Head]:
    """The heads that a configuration asks for, in the order in which they are trained."""
    heads = [_whole(config), *([_tile(config)] if config.texture_epochs else []), *_mesonets(config)]
    return [head for head in heads if head.name in config.detectors]


def _whole(config: TrainConfig) -> Head:
    return Head(
        detector=CnnDetector,
        backbone=config.backbone,
        init=config.init,
        framing="whole",
        input_px=config.input_px,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        family_floor=config.family_floor,
        max_repeat=config.max_repeat,
        blendings=config.blendings,
        sees="face",
        view=_whole_view,
        network=partial(_initial_cnn, config, config.input_px, "whole", "none"),
        early_px=config.early_px,
        early_share=config.early_share if config.early_px else 0.0,
    )


def _tile(config: TrainConfig) -> Head:
    # Families count the same here: the finest traces are learnt from the small sets or not at all.
    return Head(
        detector=TextureDetector,
        backbone=config.backbone,
        init=config.init,
        framing="tile",
        input_px=config.texture_px,
        epochs=config.texture_epochs,
        learning_rate=config.learning_rate,
        family_floor=1.0,
        max_repeat=config.max_repeat,
        blendings={},
        sees="surroundings",
        view=_tile_view,
        network=partial(_initial_cnn, config, config.texture_scored_px, "tile", config.texture_filter),
        family_cap=config.texture_family_cap,
        fakes_of=config.texture_fakes,
        reals_cap=config.texture_reals_cap,
    )


def _mesonets(config: TrainConfig) -> list[Head]:
    """The baselines see the same pictures as the CNN, in their own size and number of epochs."""
    return [
        Head(
            detector=detector,
            backbone=kind,
            init="none",
            framing="whole",
            input_px=MESONET_PX,
            epochs=config.meso_epochs,
            learning_rate=config.meso_learning_rate,
            family_floor=config.family_floor,
            max_repeat=config.max_repeat,
            blendings={},
            sees="face",
            view=_whole_view,
            network=partial(MesoNet, kind),
        )
        for kind, detector in MESONETS.items()
    ]


def _initial_cnn(config: TrainConfig, scored_px: int, framing: str, filtered: str) -> FaceCnn:
    """The network before its first step; its last layer is zero, so that it begins undecided."""
    network = FaceCnn(config.backbone, scored_px, framing, config.drop_rate, config.drop_path_rate, filtered)
    load_initial_weights(network.backbone, config.init)
    return network


def _whole_view(crop: Frame, input_px: int, rng: np.random.Generator) -> torch.Tensor:
    return resize(to_tensor(augment(crop, rng))[None], input_px)[0]


def _tile_view(crop: Frame, input_px: int, rng: np.random.Generator) -> torch.Tensor:
    tile = to_tensor(augment_tile(crop, input_px, rng))[None]
    return tile[0] if tile.shape[-1] == input_px else resize(tile, input_px)[0]
