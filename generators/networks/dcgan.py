"""DCGAN: convolutions all the way, batch normalisation, and the architecture that made GANs trainable.

Radford, Metz, Chintala 2015, arXiv 1511.06434: section 3 (guidelines), figure 1 (the generator), section 4 (training
details: Adam 2e-4, beta1 0.5, batch 128, weights N(0, 0.02), LeakyReLU 0.2, pictures in [-1, 1]). Kernels are 4x4 as in
the authors' code: a kernel that is a multiple of the stride leaves no checkerboard of uneven overlap (Odena et al. 2016,
Distill).
f channels at the last hidden resolution, doubled at each coarser one: at 64 px and f = 64 the generator has
3,576,704 weights and the discriminator 2,765,568.
Limits: forgets modes when trained long; published CIFAR runs are best early, so the checkpoint with the best KID is kept.
"""

import itertools

import torch
from torch import nn

from generators.config import GanConfig
from generators.layers import BatchNorm2d, doublings, init_normal, spectral
from generators.system import System

LEAK = 0.2


class Generator(nn.Module):
    """z -> (N, 3, S, S): a 4x4 projection of z, then one doubling per layer."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        n, f = doublings(config.image_px), config.width
        widths = [f << k for k in range(n - 1, -1, -1)]  # 64 px: 8f 4f 2f f
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.latent, widths[0], 4, 1, 0, bias=False),  # (N, 8f, 4, 4)
            BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for wide, narrow in itertools.pairwise(widths):
            layers += [*_doubling(wide, narrow, config.upsampling), BatchNorm2d(narrow), nn.ReLU(inplace=True)]
        layers += [*_doubling(widths[-1], 3, config.upsampling), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.layers(z[:, :, None, None])
        return out


def _doubling(wide: int, narrow: int, upsampling: str) -> list[nn.Module]:
    if upsampling == "transposed":
        return [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
    return [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(wide, narrow, 3, 1, 1, bias=False)]


class Discriminator(nn.Module):
    """(N, channels, S, S) -> (N,): the generator mirrored; no normalisation in the first layer."""

    def __init__(self, config: GanConfig, channels: int = 3) -> None:
        super().__init__()
        n, f, sn = doublings(config.image_px), config.width, config.spectral_norm
        layers: list[nn.Module] = [
            spectral(nn.Conv2d(channels, f, 4, 2, 1, bias=False), sn),  # (N, f, S/2, S/2)
            nn.LeakyReLU(LEAK, inplace=True),
        ]
        for k in range(n - 1):
            layers += [
                spectral(nn.Conv2d(f << k, f << (k + 1), 4, 2, 1, bias=False), sn),
                BatchNorm2d(f << (k + 1)),
                nn.LeakyReLU(LEAK, inplace=True),
            ]
        layers += [spectral(nn.Conv2d(f << (n - 1), 1, 4, 1, 0, bias=False), sn)]  # (N, 1, 1, 1)
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out.flatten()


SYSTEM = System(
    name="dcgan",
    title="Deep convolutional GAN",
    reference="Radford, Metz, Chintala 2015, arXiv 1511.06434",
    presets={
        # Faces that a person recognises in under a quarter of an hour on two cores.
        "cpu": {"image_px": 64, "width": 32, "batch_size": 64, "steps": 6000},
        "cpu-32": {"image_px": 32, "width": 32, "batch_size": 64, "steps": 4000},
        # The paper's size; its batch of 128.
        "gpu": {"image_px": 64, "width": 64, "batch_size": 128, "steps": 100_000, "save_every": 1000, "grid_every": 1000,
                "quality_every": 2500, "quality_samples": 2500},
    },
    generator=Generator,
    discriminator=Discriminator,
    ignores=frozenset({"generators", "classes", "conditioning"}),
    has_batch_statistics=True,
)  # fmt: skip
