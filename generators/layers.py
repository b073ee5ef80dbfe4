"""Blocks that several systems share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from forensics.common.errors import UsageError

# From random vectors to a singular vector: as many as torch does for a new spectral norm.
POWER_ITERATIONS = 15


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient, any number of times (R1 asks for two)."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        out = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return _Total.apply(*gradients)


class _SharedStatistics(_BatchNorm):
    """Batch normalisation over the batch of all processes, on any device (torch's SyncBatchNorm needs CUDA).

    Ioffe and Szegedy 2015, arXiv 1502.03167. In one process it is torch's own. Processes may have batches of different
    sizes, or none; where all are empty, statistics stay as they are and gradients are 0 (torch's own would write NaN).
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        is_shared = self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not is_shared and (len(input) or not self.training):
            return super().forward(input)

        def total(v: torch.Tensor) -> torch.Tensor:
            if not is_shared:
                return v
            out: torch.Tensor = _Total.apply(v)
            return out

        def spread(v: torch.Tensor) -> torch.Tensor:
            return v.view(-1, *[1] * (x.dim() - 2))

        x = input.float()
        others = [k for k in range(x.dim()) if k != 1]  # all but the channels
        # Two rounds, the mean and then the squared distances from it: one round of sums of squares cancels digits.
        size = torch.full((1,), x.numel() // x.shape[1], dtype=x.dtype, device=x.device)
        sums, count = total(torch.cat([x.sum(others), size])).tensor_split([x.shape[1]])
        n = count.clamp(min=1)
        mean = sums / n
        centred = x - spread(mean)
        variance = total(centred.square().sum(others)) / n
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                is_new = (count > 0).float()
                self.num_batches_tracked += is_new.squeeze().long()
                momentum = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.clamp(min=1)
                self.running_mean.lerp_(mean.detach(), momentum * is_new)
                self.running_var.lerp_(variance.detach() * (n / (n - 1).clamp(min=1)), momentum * is_new)
        out = centred * spread(torch.rsqrt(variance + self.eps))
        if self.affine:
            out = out * spread(self.weight) + spread(self.bias)
        return out.to(input.dtype)


class BatchNorm1d(_SharedStatistics, nn.BatchNorm1d):
    """(N, C) or (N, C, L), normalised per channel over the batch of all processes."""


class BatchNorm2d(_SharedStatistics, nn.BatchNorm2d):
    """(N, C, H, W), normalised per channel over the batch of all processes."""


def doublings(image_px: int, start_px: int = 4) -> int:
    """How often `start_px` doubles to image_px. Raises UsageError, naming the field, where it does not."""
    n = (image_px // start_px).bit_length() - 1
    if image_px != start_px << max(n, 0) or n < 1:
        sizes = ", ".join(str(start_px << k) for k in range(1, 6))
        raise UsageError(
            f"option 'image_px': {image_px} is not {start_px} doubled a number of times", f"one of {sizes}"
        )
    return n


def spectral(module: nn.Module, enabled: bool = True) -> nn.Module:
    """Spectral norm of a layer's weight, one power iteration a forward pass (Miyato et al. 2018, arXiv 1802.05957)."""
    return nn.utils.parametrizations.spectral_norm(module) if enabled else module


def nearest_doubling(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), every pixel four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def icnr_(weight: torch.Tensor, scale: int, fill: Callable[[torch.Tensor], Any]) -> None:
    """Fill, in place, the weight (C * scale**2, in, k, k) of a convolution before `nn.PixelShuffle(scale)`: each output
    channel draws one kernel by `fill` and gives it to all scale**2 places that are shuffled into it, so that at first the
    pair is a nearest-neighbour enlargement, without a checkerboard (Aitken et al. 2017, arXiv 1707.02937). Raises
    ValueError where channels do not divide."""
    if len(weight) % scale**2:
        raise ValueError(f"{len(weight)} channels are not a multiple of {scale**2}")
    with torch.no_grad():
        kernels = weight[:: scale**2].clone()
        fill(kernels)
        weight.copy_(kernels.repeat_interleave(scale**2, 0))


def fill_weight(module: Any, fill: Callable[[torch.Tensor], Any]) -> None:
    """Draw a layer's first weight by `fill`, which works in place; biases are 0. Under a spectral norm it is the weight
    before the division, and the norm's singular vectors are found for it."""
    if is_parametrized(module, "weight"):
        weight = module.parametrizations.weight.original
        fill(weight)
        with torch.no_grad():
            for _ in range(0 if weight.is_meta else POWER_ITERATIONS):  # without numbers they only cost seconds
                _ = module.weight  # reading it is one power iteration
    else:
        fill(module.weight)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)


class InstanceNorm2d(nn.Module):
    """Instance normalisation without weights: each channel of each picture to mean 0 and variance 1, computed in float32.

    Ulyanov, Vedaldi, Lempitsky 2016, arXiv 1607.08022. Not torch's own, which on a CPU rounds means to bfloat16, and whose
    gradients are wrong (seen in torch 2.14) for one picture whose gradient comes in channels_last.
    """

    EPSILON = 1e-5

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = x.float()
        variance, mean = torch.var_mean(values, (2, 3), correction=0, keepdim=True)
        return ((values - mean) * torch.rsqrt(variance + self.EPSILON)).to(x.dtype)


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Weights N(0, std), norms N(1, std) with bias 0: Radford et al. 2015, section 4, and the reference code."""

    def fill(module: Any) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            fill_weight(module, partial(nn.init.normal_, std=std))
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.affine:
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)

    network.apply(fill)
