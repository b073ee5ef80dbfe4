"""CycleGAN: from one set of pictures to another and back, without pairs.

Zhu, Park, Isola, Efros 2017, arXiv 1703.10593, section 4 and appendix 7: two generators after Johnson et al. 2016
(arXiv 1603.08155): c7s1-64, d128, d256, residual blocks R256 (6 at 128 px, 9 at 256), u128, u64, c7s1-3, reflected edges,
instance normalisation without weights; two discriminators of 70 px patches on pictures alone; least squares; cycle 10,
identity 5 (half of it); 50 pictures drawn before are shown to the discriminators again; Adam 2e-4 with beta1 0.5, constant,
then linear to 0; batch 1. At width 64 a generator has 11,378,179 weights with 9 blocks and 7,837,699 with 6. The paper's
adversarial part is (D - 1)^2, and `lsgan` here half of it: a weight of 2 is the paper's.
The preset `cpu` judges patches of 34 px: 70 would be the whole of its 64.
Limits: instance normalisation sees the whole picture, so that tiles are blended and never quite those of the whole. What is
learned is a mapping that can be undone, of colours and texture; shapes stay.
"""

import torch
from torch import nn

from forensics.common.errors import UsageError
from generators.layers import InstanceNorm2d, init_normal
from generators.networks.patchgan import PatchDiscriminator
from generators.translation_config import TranslationConfig
from generators.translator import PictureNetwork, Translator

OUTER_PX = 7
HALVINGS = 2


class Residual(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_conv(width, width), nn.ReLU(), *_conv(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.layers(x)
        return out


class Generator(PictureNetwork):
    """(N, 3, H, W) in [-1, 1] -> (N, 3, H, W) in [-1, 1], sides multiples of 4."""

    reach_px = None
    side_step = 1 << HALVINGS

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        if config.image_px % self.side_step:
            raise UsageError(
                f"option 'image_px': {config.image_px} is not a multiple of {self.side_step}", "64, 128, 256"
            )
        w = config.width
        layers: list[nn.Module] = [nn.ReflectionPad2d(OUTER_PX // 2), nn.Conv2d(3, w, OUTER_PX)]
        layers += [InstanceNorm2d(w), nn.ReLU()]
        for k in range(HALVINGS):
            layers += [nn.Conv2d(w << k, w << k + 1, 3, 2, 1), InstanceNorm2d(w << k + 1), nn.ReLU()]
        layers += [Residual(w << HALVINGS) for _ in range(config.blocks)]
        for k in reversed(range(HALVINGS)):
            layers += [
                nn.ConvTranspose2d(w << k + 1, w << k, 3, 2, 1, output_padding=1),
                InstanceNorm2d(w << k),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(OUTER_PX // 2), nn.Conv2d(w, 3, OUTER_PX), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


def _conv(given: int, width: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(given, width, 3), InstanceNorm2d(width)]


def discriminator(config: TranslationConfig) -> PatchDiscriminator:
    """That of patches, which sees pictures alone."""
    return PatchDiscriminator(config.d_width, is_conditional=False, norm=InstanceNorm2d, halvings=config.d_layers)


TRANSLATOR = Translator(
    name="cyclegan",
    title="CycleGAN",
    reference="Zhu, Park, Isola, Efros 2017, arXiv 1703.10593",
    presets={
        "cpu": {"image_px": 64, "picture_px": 72, "width": 32, "d_width": 32, "d_layers": 2, "blocks": 6, "batch_size": 1,
                "steps": 3000, "objective": "lsgan", "adversarial_weight": 2.0, "ema_decay": 0.99},
        "gpu-128": {"image_px": 128, "picture_px": 143, "blocks": 6, "batch_size": 1, "steps": 200_000,
                    "objective": "lsgan", "adversarial_weight": 2.0, "ema_decay": 0.0, "report_every": 500,
                    "grid_every": 5000, "save_every": 5000, "quality_every": 5000},
        # The paper's: 200 rounds through about 1000 pictures.
        "gpu": {"image_px": 256, "picture_px": 286, "blocks": 9, "batch_size": 1, "steps": 200_000, "objective": "lsgan",
                "adversarial_weight": 2.0, "ema_decay": 0.0, "report_every": 500, "grid_every": 5000, "save_every": 5000,
                "quality_every": 5000},
    },
    generator=Generator,
    discriminator=discriminator,
    pairing="unpaired",
    ignores=frozenset({"task", "weakest", "strongest", "judged", "scale", "norm", "dropout", "l1_weight",
                       "perceptual_weight", "content_steps"}),
)  # fmt: skip
