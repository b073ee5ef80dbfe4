"""MesoNet: Meso-4 and MesoInception-4, two small convolutional networks on the whole face crop.

Afchar, Nozick, Yamagishi, Echizen: MesoNet: a Compact Facial Video Forgery Detection Network (2018), arXiv 1809.00888,
"Meso-4" and "MesoInception-4". Each layer is convolution, ReLU, batch norm, max pooling, in this order; two dense layers
with dropout classify. 27 977 and 28 615 trainable parameters. Pictures are 256 x 256, in [0, 1], not normalised.

Baselines: they can be trained here, and the authors' published weights can be used (`forensics.detectors.mesonet_keras`).
Limits: the published weights, learnt on swaps and reenactments of 2018, do little better than chance on DFDC (AUC 0.54 to
0.59). The authors' example resizes by nearest neighbour; here it is the antialiased resize of the other detectors.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import WeightsError
from forensics.detectors.cnn_network import FaceNetwork, NetworkDetector, load_state, resize
from forensics.detectors.mesonet_keras import INCEPTION, MESO4, read_keras
from forensics.detectors.model_set import ModelSet, checked_file

INPUT_PX = 256  # the classifier's first dense layer fits this side alone
# The defaults of Keras 2, which the published weights were trained with; torch's momentum is the share of the new value.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 1 - 0.99
LEAK = 0.1
DROPOUT = 0.5
HIDDEN = 16


class InceptionBlock(nn.Module):
    """Four branches side by side: 1 x 1, and 3 x 3 with dilation 1, 2 and 3, each behind a 1 x 1."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, *others = widths
        self.point = nn.Conv2d(inputs, first, 1)
        self.reduce = nn.ModuleList(nn.Conv2d(inputs, width, 1) for width in others)
        self.dilated = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=rate, dilation=rate) for rate, width in enumerate(others, start=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, sum of widths, H, W), each branch behind its own ReLUs."""
        branches = [F.relu(self.point(x))]
        for reduce, dilated in zip(self.reduce, self.dilated, strict=True):
            branches.append(F.relu(dilated(F.relu(reduce(x)))))
        return torch.cat(branches, 1)


class MesoNet(FaceNetwork):
    """Logit of a face crop: greater = more likely fake. Starts as Keras starts: Glorot uniform, biases zero."""

    input_px = INPUT_PX

    def __init__(self, kind: str) -> None:
        super().__init__()
        # Convolution, its outputs, and the pooling behind it; sides 256 -> 128 -> 64 -> 32 -> 8.
        first: list[tuple[nn.Module, int, int]] = (
            [(nn.Conv2d(3, 8, 3, padding=1), 8, 2), (nn.Conv2d(8, 8, 5, padding=2), 8, 2)]
            if kind == MESO4
            else [(InceptionBlock(3, (1, 4, 4, 2)), 11, 2), (InceptionBlock(11, (2, 4, 4, 2)), 12, 2)]
        )
        last = first[-1][1]
        second = [(nn.Conv2d(last, 16, 5, padding=2), 16, 2), (nn.Conv2d(16, 16, 5, padding=2), 16, 4)]
        stages = [*first, *second]
        self.kind = kind
        self.convolutions = nn.ModuleList(convolution for convolution, _, _ in stages)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, eps=NORM_EPSILON, momentum=NORM_MOMENTUM) for _, width, _ in stages
        )
        self.poolings = [pooling for _, _, pooling in stages]
        self.hidden = nn.Linear(16 * 8 * 8, HIDDEN)
        self.output = nn.Linear(HIDDEN, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def frame(self, x: torch.Tensor) -> torch.Tensor:
        """The whole crop (N, 3, H, W) at 256 pixels."""
        return x if x.shape[-2:] == (INPUT_PX, INPUT_PX) else resize(x, INPUT_PX)

    def features(self, framed: torch.Tensor) -> torch.Tensor:
        """Last feature maps (N, 16, 8, 8)."""
        x = framed
        for convolution, norm, pooling in zip(self.convolutions, self.norms, self.poolings, strict=True):
            x = F.max_pool2d(norm(F.relu(convolution(x))), pooling)
        return x

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (N,) of feature maps."""
        x = F.dropout(features.flatten(1), DROPOUT, self.training)  # (N, 1024), channels first
        x = F.dropout(F.leaky_relu(self.hidden(x), LEAK), DROPOUT, self.training)
        logits: torch.Tensor = self.output(x)
        return logits.flatten()

    def settings(self) -> dict[str, str | int | float]:
        """What model.json says of it."""
        return {"input_px": INPUT_PX}


class Meso4Detector(NetworkDetector):
    """Meso-4 on the whole crop."""

    name = MESO4
    description = "Meso-4 (2018): four convolutions on the whole face; a baseline"


class MesoInception4Detector(NetworkDetector):
    """MesoInception-4 on the whole crop."""

    name = INCEPTION
    description = "MesoInception-4 (2018): Meso-4 with dilated inception blocks; a baseline"


DETECTORS: dict[str, type[NetworkDetector]] = {MESO4: Meso4Detector, INCEPTION: MesoInception4Detector}


def _loader(kind: str) -> Callable[[ModelSet, Path, torch.device], NetworkDetector]:
    def load(model_set: ModelSet, folder: Path, device: torch.device) -> NetworkDetector:
        """The detector of a set of weights. Raises WeightsError where they do not fit."""
        path = checked_file(model_set, folder, kind)
        network = MesoNet(kind)
        try:
            load_state(network, path)
        except Exception as error:
            raise WeightsError(f"{path.name} does not fit {kind}: {error}", "train again") from error
        return DETECTORS[kind](network, device)

    return load


load_meso4 = _loader(MESO4)
load_mesoinception4 = _loader(INCEPTION)


def load_published(kind: str, file: Path, device: torch.device) -> NetworkDetector:
    """A detector with the weights of one of the authors' Keras files. Raises UsageError or WeightsError."""
    network = MesoNet(kind)
    state = network.state_dict()
    arrays = read_keras(file, kind)
    network.load_state_dict({name: torch.from_numpy(arrays[name]) if name in arrays else state[name] for name in state})
    return DETECTORS[kind](network, device)
