"""Adaptive-convolution GAN: up-sampling by kernels that the network predicts anew for every place of every picture.

Nguyen and Ray 2018, arXiv 1802.02226: a transposed or resize convolution up-samples a cheek and a hair line by the same
kernel; an adaptive convolution block looks at the local context of each place and regresses the kernel to use there. To
keep that affordable it is separable: the predicted 3x3 kernels are depthwise, and a 1x1 convolution, the same at all
places, mixes the channels. Every doubling of the generator is such a block: nearest neighbour x2; context by a 3x3
convolution; kernels by a 1x1 convolution of the context, 9 a channel; depthwise sum; 1x1 convolution. The rest of the
generator, and the discriminator, are DCGAN's.
Choices of ours: the context has half the block's channels; the kernels begin as the binomial filter, and are not
normalised, for a batch norm follows.
Limits: kernels take 9 times the memory of the features that they act on; a step costs about five times DCGAN's.
"""

import itertools
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from generators.config import GanConfig
from generators.layers import BatchNorm2d, doublings, init_normal, nearest_doubling
from generators.networks import dcgan
from generators.system import System

TAPS = [(dy, dx) for dy in range(3) for dx in range(3)]
# Nearest neighbour, then this, is close to bilinear interpolation: a smooth picture to begin with.
BINOMIAL = (1 / 16, 2 / 16, 1 / 16, 2 / 16, 4 / 16, 2 / 16, 1 / 16, 2 / 16, 1 / 16)


def convolve_adaptively(x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Depthwise 3x3 with a kernel for each place.

    x: (N, C, H, W); kernels: (N, 9, C, H, W), taps in row order, not flipped; beyond the border x is 0. Returns
    (N, C, H, W): the sum over taps of `F.unfold`'s windows times kernels, without the windows, which would take as much
    memory as the kernels again. Differentiable once.
    """
    out: torch.Tensor = _AdaptiveConvolution.apply(x.contiguous().to(kernels.dtype), kernels)
    return out


class _AdaptiveConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, kernels)
        out = torch.zeros_like(x)
        for tap, window in enumerate(_windows(F.pad(x, (1, 1, 1, 1)))):
            out.addcmul_(window, kernels[:, tap])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, kernels = ctx.saved_tensors
        gradient, padded = gradient.contiguous(), F.pad(x, (1, 1, 1, 1))
        to_padded, to_kernels = torch.zeros_like(padded), torch.empty_like(kernels)
        for tap, (window, to_window) in enumerate(zip(_windows(padded), _windows(to_padded), strict=True)):
            torch.mul(window, gradient, out=to_kernels[:, tap])
            to_window.addcmul_(kernels[:, tap], gradient)
        return to_padded[:, :, 1:-1, 1:-1], to_kernels


def _windows(padded: torch.Tensor) -> list[torch.Tensor]:
    """Views of the picture that each tap sees: 9 of (N, C, H, W) into (N, C, H + 2, W + 2)."""
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    return [padded[:, :, dy : dy + height, dx : dx + width] for dy, dx in TAPS]


class AdaptiveDoubling(nn.Module):
    """(N, wide, H, W) -> (N, narrow, 2H, 2W)."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        hidden = max(1, wide // 2)
        self.context = nn.Sequential(nn.Conv2d(wide, hidden, 3, 1, 1), nn.ReLU(inplace=True))
        self.kernels = nn.Linear(hidden, len(TAPS) * wide)  # of every place alike: a 1x1 convolution
        self.mix = nn.Conv2d(wide, narrow, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nearest_doubling(x)  # (N, wide, 2H, 2W)
        context = self.context(x).contiguous().flatten(2)  # (N, hidden, 2H * 2W)
        # A product with ones for the bias, not a convolution: kernels come out in planes, which the sum is fastest on.
        context = torch.cat([context, torch.ones_like(context[:, :1])], 1)
        weight = torch.cat([self.kernels.weight, self.kernels.bias[:, None]], 1)
        kernels = torch.bmm(weight.expand(len(x), -1, -1), context)
        kernels = kernels.view(len(x), len(TAPS), *x.shape[1:])  # (N, 9, wide, 2H, 2W)
        out: torch.Tensor = self.mix(convolve_adaptively(x, kernels))
        return out

    def start_binomial(self) -> None:
        """Make the binomial filter what kernels vary about."""
        with torch.no_grad():
            self.kernels.bias.view(len(TAPS), -1).copy_(torch.tensor(BINOMIAL)[:, None])


class Generator(nn.Module):
    """z -> (N, 3, S, S): DCGAN's 4x4 projection of z, then one adaptive doubling per layer."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        n, f = doublings(config.image_px), config.width
        widths = [f << k for k in range(n - 1, -1, -1)]  # 32 px: 4f 2f f
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.latent, widths[0], 4, 1, 0, bias=False),  # (N, 4f, 4, 4)
            BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for wide, narrow in itertools.pairwise(widths):
            layers += [AdaptiveDoubling(wide, narrow), BatchNorm2d(narrow), nn.ReLU(inplace=True)]
        layers += [AdaptiveDoubling(widths[-1], 3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_normal(self)
        for layer in layers:
            if isinstance(layer, AdaptiveDoubling):
                layer.start_binomial()

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.layers(z[:, :, None, None])
        return out


SYSTEM = System(
    name="adaptive-conv",
    title="Adaptive-convolution GAN",
    reference="Nguyen, Ray 2018, arXiv 1802.02226",
    presets={
        "cpu": {"image_px": 32, "width": 16, "batch_size": 64, "steps": 2500},
        "gpu": {"image_px": 64, "width": 64, "batch_size": 128, "steps": 100_000, "save_every": 1000, "grid_every": 1000,
                "quality_every": 2500, "quality_samples": 2500},
    },
    generator=Generator,
    discriminator=dcgan.Discriminator,
    ignores=frozenset({"generators", "classes", "conditioning", "upsampling"}),
    has_batch_statistics=True,
)  # fmt: skip
