"""The discriminator of patches: one logit for each overlapping square of 70 pixels, or of 34 or 16.

Isola, Zhu, Zhou, Efros 2016, arXiv 1611.07004, section 3.2.2 and appendix 6.1.2: C64-C128-C256-C512, kernels of 4, strides
2, 2, 2, 1, then one convolution to a logit; batch normalisation but in the first layer; LeakyReLU 0.2. With six channels
(input and picture) it has 2,768,705 weights, with three (picture alone) 2,765,633. With fewer strides of 2 a patch is 34 or
16 px (section 4.4): for small pictures, of which 70 px would be the whole.
"""

import torch
from torch import nn

from generators.layers import BatchNorm2d, InstanceNorm2d, init_normal
from generators.translator import Critic

LEAK = 0.2
HALVINGS = 3


def shape_of(halvings: int = HALVINGS) -> tuple[tuple[int, int], ...]:
    """(kernel, stride) of its convolutions; the field that one logit sees follows from them."""
    return (*((4, 2) for _ in range(halvings)), (4, 1), (4, 1))


def field_px(halvings: int = HALVINGS) -> int:
    """Side of the square that one logit depends on."""
    side = 1
    for kernel, stride in reversed(shape_of(halvings)):
        side = (side - 1) * stride + kernel
    return side


class PatchDiscriminator(Critic):
    """Pictures y (N, 3, H, W), and inputs x of the same size where it is conditional -> feature maps, the last logits."""

    def __init__(
        self, width: int, is_conditional: bool, norm: type[nn.Module] = BatchNorm2d, halvings: int = HALVINGS
    ) -> None:
        super().__init__()
        self.is_conditional = is_conditional
        widths = [6 if is_conditional else 3, *(width << k for k in range(halvings + 1))]
        *shape, last = shape_of(halvings)
        stages: list[nn.Module] = []
        for k, (kernel, stride) in enumerate(shape):
            has_norm = k > 0
            conv = nn.Conv2d(widths[k], widths[k + 1], kernel, stride, 1, bias=not has_norm or norm is InstanceNorm2d)
            normed = [norm(widths[k + 1])] if has_norm else []
            stages.append(nn.Sequential(conv, *normed, nn.LeakyReLU(LEAK, inplace=True)))
        stages.append(nn.Conv2d(widths[-1], 1, *last, 1))
        self.stages = nn.ModuleList(stages)
        init_normal(self)

    def features(self, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of each stage, the last the logits (N, 1, h, w)."""
        found: list[torch.Tensor] = []
        here = torch.cat([x, y], 1) if self.is_conditional else y
        for stage in self.stages:
            here = stage(here)
            found.append(here)
        return found
