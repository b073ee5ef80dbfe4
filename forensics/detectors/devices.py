"""Which device computes, and how pictures get there."""

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; a device asked for by name must be there (UsageError)."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name, False):
        raise UsageError(f"--device {name}: this machine has no such device", "use --device auto or --device cpu")
    return torch.device(name)


def to_tensor(picture: NDArray[np.uint8]) -> torch.Tensor:
    """(H, W, 3) uint8 RGB -> (3, H, W) float32 in [0, 1]."""
    return torch.tensor(picture).permute(2, 0, 1).float().div_(255.0)
