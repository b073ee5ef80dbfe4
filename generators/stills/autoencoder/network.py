"""An autoencoder of faces with one encoder and three decoders that differ in how they double.

What the autoencoders of face swaps leave behind comes from few pixels, a narrow code, and the doublings: transposed
convolutions with overlapping kernels (Odena et al. 2016, Deconvolution and Checkerboard Artifacts, Distill), nearest
neighbour and convolution, or pixel shuffle (Shi et al. 2016, arXiv 1609.05158). One code feeds all three, so that one
training gives three kinds of traces.
"""

import itertools
from typing import Literal, get_args

import torch
from torch import nn

from generators.stills.autoencoder.config import HALVINGS, AutoencoderConfig

Upsampling = Literal["transposed", "nearest", "shuffle"]
UPSAMPLINGS: tuple[Upsampling, ...] = get_args(Upsampling)
LEAK = 0.1


class FaceAutoencoder(nn.Module):
    """(N, 3, P, P) in [0, 1] -> (N, 3, P, P) in [0, 1], by the decoder that is named."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.width << k for k in range(HALVINGS)]  # f 2f 4f 8f
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise([3, *widths]):
            layers += [nn.Conv2d(narrow, wide, 5, 2, 2), nn.LeakyReLU(LEAK, inplace=True)]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(widths[-1], config.code, 1))  # (N, code, P/16, P/16)
        self.decoders = nn.ModuleDict({name: _decoder(config, name) for name in UPSAMPLINGS})

    def forward(self, x: torch.Tensor, upsampling: Upsampling) -> torch.Tensor:
        logits: torch.Tensor = self.decoders[upsampling](self.encoder(x))
        return torch.sigmoid(logits.float())


def _decoder(config: AutoencoderConfig, upsampling: Upsampling) -> nn.Sequential:
    widths = [config.width << k for k in reversed(range(HALVINGS))] + [config.width]  # 8f 4f 2f f f
    layers: list[nn.Module] = [nn.Conv2d(config.code, widths[0], 1), nn.LeakyReLU(LEAK, inplace=True)]
    for wide, narrow in itertools.pairwise(widths):
        layers += [*_doubling(wide, narrow, upsampling), nn.LeakyReLU(LEAK, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, 1, 1))


def _doubling(wide: int, narrow: int, upsampling: Upsampling) -> list[nn.Module]:
    """(N, wide, H, W) -> (N, narrow, 2H, 2W)."""
    if upsampling == "transposed":
        # A kernel of 3 at a stride of 2 overlaps unevenly: the checkerboard that is asked for.
        return [nn.ConvTranspose2d(wide, narrow, 3, 2, 1, output_padding=1)]
    if upsampling == "nearest":
        return [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(wide, narrow, 3, 1, 1)]
    return [nn.Conv2d(wide, 4 * narrow, 3, 1, 1), nn.PixelShuffle(2)]
