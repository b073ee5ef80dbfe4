"""Conditional GAN: one pair of networks that draws, and judges, every class of the data.

Mirza and Osindero 2014, arXiv 1411.1784: both networks are told the class. The bodies are DCGAN's. The generator gets
an embedding of the class beside z. The discriminator is told in one of two ways:
  projection (the default)  Miyato and Koyama 2018, arXiv 1802.05637, equation 3 and figure 1d: to DCGAN's own logit
                            psi(phi(x)) comes the inner product of the class's embedding and phi(x), the last features
                            summed over their 4x4 places.
  concatenation             the paper's way, for a picture: the class as planes beside the colours, ones in its own.
Limits: needs at least two classes. Concatenation carries a plane for each class through the first layer: dear beyond
some tens of classes, and the weaker of the two in Miyato's comparison.
"""

import torch
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import UsageError
from generators.config import GanConfig
from generators.layers import doublings, init_normal, spectral
from generators.networks import dcgan
from generators.system import System

# Length of the class's embedding in the generator: about half of z, so that neither drowns in the projection that
# reads both. N(0, 1) as z is, for the same reason.
EMBEDDING = 50


class Generator(nn.Module):
    """z, y -> (N, 3, S, S): DCGAN's generator on z and the class's embedding."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_classes(config), EMBEDDING)
        self.body = dcgan.Generator(config.model_copy(update={"latent": config.latent + EMBEDDING}))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        pictures: torch.Tensor = self.body(torch.cat([z, self.embedding(y)], 1))
        return pictures


class ProjectionDiscriminator(nn.Module):
    """(N, 3, S, S), y -> (N,): psi(phi(x)) + <embedding(y), phi(x) summed over places>."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        body = dcgan.Discriminator(config).layers
        self.features, self.head = body[:-1], body[-1]
        channels = config.width << (doublings(config.image_px) - 1)
        self.embedding = spectral(nn.Embedding(_classes(config), channels), config.spectral_norm)
        init_normal(self.embedding)  # as every weight of DCGAN

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        features = self.features(x)  # (N, C, 4, 4)
        unconditional: torch.Tensor = self.head(features).flatten()
        conditional: torch.Tensor = (self.embedding(y) * features.sum((2, 3))).sum(1)
        return unconditional + conditional


class ConcatenationDiscriminator(nn.Module):
    """(N, 3, S, S), y -> (N,): DCGAN's discriminator on the colours and one plane for each class."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.classes = _classes(config)
        self.body = dcgan.Discriminator(config, channels=3 + self.classes)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        planes = F.one_hot(y, self.classes).to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        logits: torch.Tensor = self.body(torch.cat([x, planes], 1))
        return logits


def discriminator(config: GanConfig) -> nn.Module:
    """The discriminator that `conditioning` names."""
    is_projection = config.conditioning == "projection"
    return ProjectionDiscriminator(config) if is_projection else ConcatenationDiscriminator(config)


def _classes(config: GanConfig) -> int:
    if config.classes < 2:
        raise UsageError(
            f"option 'classes': a conditional GAN needs at least 2 classes, not {config.classes}",
            "--class-by COLUMN says which column of the manifest is the class; without classes, train dcgan",
        )
    return config.classes


SYSTEM = System(
    name="cgan",
    title="Conditional GAN",
    reference="Mirza, Osindero 2014, arXiv 1411.1784; Miyato, Koyama 2018, arXiv 1802.05637",
    presets={
        "cpu": {"image_px": 32, "width": 32, "batch_size": 64, "steps": 4000},
        "gpu": {"image_px": 64, "width": 64, "batch_size": 128, "steps": 100_000, "save_every": 1000, "grid_every": 1000,
                "quality_every": 2500, "quality_samples": 2500},
    },
    generator=Generator,
    discriminator=discriminator,
    ignores=frozenset({"generators"}),
    condition="class",
    has_batch_statistics=True,
)  # fmt: skip
