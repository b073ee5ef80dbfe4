"""pix2pix: a U-Net that is told what to draw, against a discriminator that sees both.

Isola, Zhu, Zhou, Efros 2016, arXiv 1611.07004, section 3 and appendix 6.1: convolutions of 4 pixels with stride 2 down to a
single pixel, C64-C128-C256-C512-C512..., and back up with what was seen on the way down beside it; LeakyReLU 0.2 down, ReLU
up; batch normalisation but in the first and the innermost layer; dropout of one half in up to three inner layers up, as in
the authors' later code (a network of few layers has fewer); loss L1 x 100 plus the adversarial part; Adam 2e-4 with beta1
0.5. The paper applies it with dropout on and statistics of the test batch; here both are as in training's end: dropout
off, running averages, which is why the batch is not the paper's 1. At 256 px with 64 channels the generator has
54,413,955 weights.
Limits: pictures have the side that it was trained with; larger ones are done in tiles, which do not know of each other.
"""

import torch
from torch import nn

from forensics.common.errors import UsageError
from generators.layers import BatchNorm2d, init_normal
from generators.networks.patchgan import LEAK, PatchDiscriminator
from generators.translation_config import TranslationConfig
from generators.translator import CYCLE_OPTIONS, PictureNetwork, Translator

MAX_FACTOR = 8  # of the first layer's channels
DROPPED_LAYERS = 3


class Generator(PictureNetwork):
    """(N, 3, S, S) in [-1, 1] -> (N, 3, S, S) in [-1, 1], S = image_px, a power of two."""

    reach_px = None

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        n = config.image_px.bit_length() - 1
        if config.image_px != 1 << n:
            raise UsageError(
                f"option 'image_px': {config.image_px} is not a power of two",
                "32, 64, 128, 256: pix2pix halves to one pixel",
            )
        widths = [config.width * min(1 << k, MAX_FACTOR) for k in range(n)]  # 256 px: 64 128 256 512 512 512 512 512
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for k, width in enumerate(widths):
            has_norm = 0 < k < n - 1
            layers: list[nn.Module] = [] if k == 0 else [nn.LeakyReLU(LEAK)]
            layers += [nn.Conv2d(3 if k == 0 else widths[k - 1], width, 4, 2, 1, bias=False)]
            self.down.append(nn.Sequential(*layers, *([BatchNorm2d(width)] if has_norm else [])))
        for k in reversed(range(n)):
            given = widths[k] * (1 if k == n - 1 else 2)
            if k == 0:
                self.up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(given, 3, 4, 2, 1), nn.Tanh()))
                continue
            is_dropped = n - 1 - DROPPED_LAYERS <= k < n - 1 and widths[k] == widths[-1] and config.dropout > 0
            dropped = [nn.Dropout(config.dropout)] if is_dropped else []
            conv = nn.ConvTranspose2d(given, widths[k - 1], 4, 2, 1, bias=False)
            self.up.append(nn.Sequential(nn.ReLU(), conv, BatchNorm2d(widths[k - 1]), *dropped))
        init_normal(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        x = self.up[0](seen.pop())
        for layer in list(self.up)[1:]:
            x = layer(torch.cat([seen.pop(), x], 1))
        return x


def discriminator(config: TranslationConfig) -> PatchDiscriminator:
    """That of patches, which sees input and picture."""
    return PatchDiscriminator(config.d_width, is_conditional=True, halvings=config.d_layers)


TRANSLATOR = Translator(
    name="pix2pix",
    title="pix2pix",
    reference="Isola, Zhu, Zhou, Efros 2016, arXiv 1611.07004",
    presets={
        # Patches of 16 px: 70 would be the whole picture.
        "cpu": {"image_px": 64, "width": 32, "d_width": 32, "d_layers": 1, "batch_size": 16, "steps": 6000,
                "l1_weight": 100.0, "adversarial_weight": 1.0, "learning_rate_g": 2e-4, "learning_rate_d": 1e-4},
        # The paper's size. D learns at half the rate of G: the paper halves its loss for that, which Adam does not notice.
        "gpu": {"image_px": 256, "picture_px": 286, "batch_size": 16, "steps": 80_000, "l1_weight": 100.0,
                "adversarial_weight": 1.0, "learning_rate_g": 2e-4, "learning_rate_d": 1e-4, "ema_decay": 0.0,
                "report_every": 500, "grid_every": 5000, "save_every": 5000, "quality_every": 5000},
    },
    generator=Generator,
    discriminator=discriminator,
    pairing="given or made",
    ignores=frozenset({"task", "weakest", "strongest", "judged", "scale", "blocks", "norm"}) | CYCLE_OPTIONS,
)  # fmt: skip
