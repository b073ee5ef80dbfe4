"""Restoration: the residual trunk of SRGAN without its enlargement, trained to undo what was done to pictures on the fly.

Trunk after Ledig et al. 2016, arXiv 1609.04802, figure 4; that the network gives the difference to its input, so that it
begins as the identity, and that one network serves a range of strengths, after Zhang et al. 2016 (DnCNN, arXiv 1608.03981).
colourise: the difference has no luminance (Rec. 601), so the picture's own is kept.
Limits: knows the degradation that it was trained on: sampled strengths of one kind, no camera's mixture.
"""

import torch

from generators.networks.patchgan import PatchDiscriminator
from generators.networks.srgan import Trunk
from generators.translation_config import TranslationConfig
from generators.translator import CYCLE_OPTIONS, PictureNetwork, Translator

LUMA = (0.299, 0.587, 0.114)


class Generator(PictureNetwork):
    """(N, 3, H, W) -> (N, 3, H, W): the input and what the trunk adds to it."""

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        self.keeps_luma = config.task == "colourise"
        self.trunk = Trunk(config.width, config.blocks, config.norm)
        self.reach_px = self.trunk.reach_px
        self.luma: torch.Tensor
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        difference: torch.Tensor = self.trunk(x)
        if self.keeps_luma:
            difference = difference - (difference * self.luma).sum(1, keepdim=True)
        return x + difference


def discriminator(config: TranslationConfig) -> PatchDiscriminator:
    """That of patches, which sees the degraded picture too."""
    return PatchDiscriminator(config.d_width, is_conditional=True, halvings=config.d_layers)


TRANSLATOR = Translator(
    name="restore",
    title="Restoration",
    reference="Ledig et al. 2016, arXiv 1609.04802; Zhang et al. 2016, arXiv 1608.03981",
    presets={
        "cpu": {"image_px": 64, "picture_px": 128, "width": 32, "blocks": 6, "norm": "none", "batch_size": 16,
                "steps": 2500, "learning_rate_g": 5e-4, "beta1": 0.9},
        "gpu": {"image_px": 96, "picture_px": 256, "width": 64, "blocks": 16, "norm": "none", "batch_size": 32,
                "steps": 200_000, "learning_rate_g": 2e-4, "beta1": 0.9, "report_every": 500, "grid_every": 5000,
                "save_every": 5000, "quality_every": 5000},
    },
    generator=Generator,
    discriminator=discriminator,
    ignores=frozenset({"make", "scale", "dropout"}) | CYCLE_OPTIONS,
)  # fmt: skip
