"""Adam, and its state as named tensors, so that checkpoints hold nothing pickled."""

import torch
from torch import nn

from generators.checkpoint import Tensors


def adam(network: nn.Module, rate: float, betas: tuple[float, float], device: torch.device) -> torch.optim.Optimizer:
    """Kingma and Ba 2014, arXiv 1412.6980; one pass over memory where the device can."""
    return torch.optim.Adam(network.parameters(), rate, betas, fused=device.type in ("cpu", "cuda"))


def tensors_of(optimizer: torch.optim.Optimizer, prefix: str) -> Tensors:
    """Moments and counters, named `{prefix}{index of the weight}.{name}`."""
    states = optimizer.state_dict()["state"].items()
    return {f"{prefix}{index}.{key}": value for index, moments in states for key, value in moments.items()}


def load_tensors(optimizer: torch.optim.Optimizer, tensors: Tensors, prefix: str) -> None:
    """Take up what `tensors_of` gave. Raises ValueError or RuntimeError for what does not fit."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for full, value in tensors.items():
        if full.startswith(prefix):
            index, key = full.removeprefix(prefix).split(".")
            state.setdefault(int(index), {})[key] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # A fused optimizer walks through memory: moments lie as their weights do, also after they were in a file.
    for weight, moments in optimizer.state.items():
        for key, value in moments.items():
            if value.shape == weight.shape:
                moments[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
