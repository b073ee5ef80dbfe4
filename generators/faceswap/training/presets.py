"""What there is to train, and what ships, in words."""

import torch

from generators.faceswap.config import PRESETS, configured
from generators.faceswap.training.networks import SwapNetwork
from generators.faceswap.training.swapper import SHIPPED


def describe_swaps() -> list[str]:
    """A line for each preset, and one for each swap that ships."""
    lines = []
    for name in PRESETS:
        config = configured(name, {})
        with torch.device("meta"):
            weights = sum(parameter.numel() for parameter in SwapNetwork(config).parameters())
        lines.append(f"{name} ({config.image_px} px, {weights / 1e6:.1f} million weights)")
    return [*lines, *(f"ships: {path.stem}" for path in sorted(SHIPPED.glob("*.safetensors")))]
