"""The first GAN: two multi-layer perceptrons, every pixel an output of its own.

Goodfellow et al. 2014, arXiv 1406.2661: the game, the noise prior, and section 3's advice that the generator maximise
log D(G(z)) rather than minimise log(1 - D(G(z))). The paper leaves the layers to its configuration files (maxout,
dropout, momentum); the widths here are those by which the MLP GAN has been taught since, written for MNIST's 28x28
pixels: G 100-128-256-512-1024-pixels, D pixels-512-256-1, LeakyReLU 0.2, batch normalisation in the generator from its
second block on, Adam 2e-4 with beta1 0.5, batch 64. The pictures here have three channels, so pixels = 3 S S; the widths
do not grow with S. At 28 px the generator has 3,117,232 weights and the discriminator 1,336,321.
Limits: no notion of neighbourhood, so samples are grainy at any length of training and blurred averages above 32 px.
"""

import torch
from torch import nn

from generators.config import GanConfig
from generators.layers import BatchNorm1d, spectral
from generators.system import System

LEAK = 0.2
GENERATOR_WIDTHS = (128, 256, 512, 1024)
DISCRIMINATOR_WIDTHS = (512, 256)
CHANNELS = 3


class Generator(nn.Module):
    """z -> (N, 3, S, S)."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.image_px = config.image_px
        layers: list[nn.Module] = []
        before = config.latent
        for k, width in enumerate(GENERATOR_WIDTHS):
            layers += [nn.Linear(before, width)]  # (N, width)
            if k > 0:
                layers += [BatchNorm1d(width)]
            layers += [nn.LeakyReLU(LEAK, inplace=True)]
            before = width
        layers += [nn.Linear(before, CHANNELS * self.image_px**2), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.layers(z)
        return out.view(-1, CHANNELS, self.image_px, self.image_px)


class Discriminator(nn.Module):
    """(N, 3, S, S) -> (N,)."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = CHANNELS * config.image_px**2
        for width in DISCRIMINATOR_WIDTHS:
            layers += [spectral(nn.Linear(before, width), config.spectral_norm), nn.LeakyReLU(LEAK, inplace=True)]
            before = width
        layers += [spectral(nn.Linear(before, 1), config.spectral_norm)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.layers(x.flatten(1))
        return out.flatten()


SYSTEM = System(
    name="gan",
    title="The MLP of 2014",
    reference="Goodfellow et al. 2014, arXiv 1406.2661",
    presets={
        # MNIST's size. The networks are so small that the steps, not the pixels, are the cost.
        "cpu": {"image_px": 28, "latent": 100, "batch_size": 64, "augment": "off", "steps": 5000, "save_every": 1000,
                "grid_every": 1000, "report_every": 200, "quality_every": 2500},
        "gpu": {"image_px": 32, "latent": 100, "batch_size": 64, "augment": "off", "steps": 200_000, "save_every": 5000,
                "grid_every": 5000, "report_every": 1000, "quality_every": 10_000, "quality_samples": 2500},
    },
    generator=Generator,
    discriminator=Discriminator,
    ignores=frozenset({"width", "generators", "classes", "conditioning", "upsampling"}),
)  # fmt: skip
