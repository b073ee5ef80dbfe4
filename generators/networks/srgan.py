"""SRGAN: a residual network that enlarges, first for the least error, then against a discriminator for sharper pictures.

Ledig et al. 2016, arXiv 1609.04802: figure 4 (16 blocks of two 3x3 convolutions with 64 channels, PReLU, batch
normalisation; a skip over all of them; pixel shuffle by two at a time; 9x9 at both ends), section 3.2 (discriminator of
eight convolutions, 64 to 512 channels, then 1024 and 1), 3.4 (content loss plus 1e-3 of the adversarial part). Their loss
of content is VGG19's features, ours L1 and, where weights are given, those features (`--vgg-weights`); else the features of
the discriminator (as in feature matching, Salimans et al. 2016, arXiv 1606.03498), and the run says which. `--norm none`
leaves batch normalisation out, as EDSR does (Lim et al. 2017, arXiv 1707.02921). Shuffles begin as nearest neighbour
(ICNR). At x4, 16 blocks of 64, with batch normalisation, the generator has 1,549,462 weights.
Limits: what the adversarial part adds is invented, and is no evidence of what was in front of the camera.
"""

import itertools

import torch
from torch import nn

from generators.layers import BatchNorm2d, icnr_
from generators.networks.patchgan import LEAK
from generators.translation_config import TranslationConfig
from generators.translator import CYCLE_OPTIONS, Critic, PictureNetwork, Translator

OUTER_PX, INNER_PX = 9, 3
DENSE = 1024
# What the last residuals begin with: an untrained network is then the identity, or nearest neighbour.
LAST_GAIN = 0.1


class Block(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()

        def conv() -> list[nn.Module]:
            has_norm = norm == "batch"
            layer = nn.Conv2d(width, width, INNER_PX, 1, INNER_PX // 2)
            return [layer, BatchNorm2d(width)] if has_norm else [layer]

        self.layers = nn.Sequential(*conv(), nn.PReLU(), *conv())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.layers(x)
        return out


class Trunk(nn.Module):
    """(N, 3, H, W) -> (N, 3, scale H, scale W): what restoration and enlargement share."""

    def __init__(self, width: int, blocks: int, norm: str, scale: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, width, OUTER_PX, 1, OUTER_PX // 2), nn.PReLU())
        last = [nn.Conv2d(width, width, INNER_PX, 1, INNER_PX // 2), *([BatchNorm2d(width)] if norm == "batch" else [])]
        self.body = nn.Sequential(*(Block(width, norm) for _ in range(blocks)), *last)
        doublings: list[nn.Module] = []
        for _ in range(scale.bit_length() - 1):
            conv = nn.Conv2d(width, 4 * width, INNER_PX, 1, INNER_PX // 2)
            icnr_(conv.weight, 2, nn.init.kaiming_normal_)
            doublings += [conv, nn.PixelShuffle(2), nn.PReLU()]
        self.enlarging = nn.Sequential(*doublings)
        self.last = nn.Conv2d(width, 3, OUTER_PX, 1, OUTER_PX // 2)
        with torch.no_grad():
            self.last.weight.mul_(LAST_GAIN)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)
        # In pixels of the input: each convolution reaches half its kernel, those after a doubling half as far.
        self.reach_px = OUTER_PX // 2 + (2 * blocks + 1) * (INNER_PX // 2)
        for k in range(scale.bit_length() - 1):
            self.reach_px += -(-(INNER_PX // 2) // (1 << k))
        self.reach_px += -(-(OUTER_PX // 2) // scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        out: torch.Tensor = self.last(self.enlarging(first + self.body(first)))
        return out


class Generator(PictureNetwork):
    """(N, 3, H, W) -> (N, 3, scale H, scale W): the trunk's output is added to the bilinear enlargement."""

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        self.scale = config.scale
        self.trunk = Trunk(config.width, config.blocks, config.norm, config.scale)
        self.reach_px = max(self.trunk.reach_px, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base = nn.functional.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        out: torch.Tensor = base + self.trunk(x)
        return out


class Discriminator(Critic):
    """Pictures y (N, 3, S, S) -> feature maps, the last logits (N, 1); what they were made of it does not look at."""

    def __init__(self, config: TranslationConfig) -> None:
        super().__init__()
        w = config.d_width
        widths = [3, w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w]
        stages: list[nn.Module] = []
        side = config.image_px
        for k, (before, after) in enumerate(itertools.pairwise(widths)):
            stride = 1 + k % 2
            side = -(-side // stride)
            layers = [nn.Conv2d(before, after, 3, stride, 1, bias=k == 0), *([BatchNorm2d(after)] if k else [])]
            stages.append(nn.Sequential(*layers, nn.LeakyReLU(LEAK)))
        dense = DENSE * w // 64
        stages.append(
            nn.Sequential(
                nn.Flatten(), nn.Linear(widths[-1] * side * side, dense), nn.LeakyReLU(LEAK), nn.Linear(dense, 1)
            )
        )
        self.stages = nn.ModuleList(stages)

    def features(self, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for stage in self.stages:
            y = stage(y)
            found.append(y)
        return found


TRANSLATOR = Translator(
    name="srgan",
    title="SRGAN",
    reference="Ledig et al. 2016, arXiv 1609.04802",
    presets={
        # The stage of least error alone; `cpu-gan` goes on from there against the discriminator.
        "cpu": {"image_px": 128, "scale": 4, "width": 32, "blocks": 8, "norm": "none", "batch_size": 16, "steps": 2500,
                "learning_rate_g": 5e-4, "beta1": 0.9},
        "cpu-gan": {"image_px": 128, "scale": 4, "width": 32, "blocks": 8, "norm": "none", "d_width": 16, "batch_size": 16,
                    "steps": 2400, "content_steps": 1600, "learning_rate_g": 5e-4, "learning_rate_d": 1e-4, "beta1": 0.9,
                    "adversarial_weight": 1e-3, "perceptual_weight": 0.01},
        # The paper's networks, batch and number of steps.
        "gpu": {"image_px": 96, "picture_px": 256, "scale": 4, "batch_size": 16, "steps": 1_200_000,
                "content_steps": 1_000_000, "learning_rate_g": 1e-4, "learning_rate_d": 1e-4, "beta1": 0.9,
                "adversarial_weight": 1e-3, "perceptual_weight": 1.0, "decay": "none",
                "report_every": 1000, "grid_every": 10_000, "save_every": 10_000, "quality_every": 10_000},
    },
    generator=Generator,
    discriminator=Discriminator,
    ignores=frozenset({"task", "make", "weakest", "strongest", "judged", "dropout", "d_layers"}) | CYCLE_OPTIONS,
)  # fmt: skip
