"""The networks of a swap: one encoder for both people, one decoder for each, and a critic for the variant `gan`.

The autoencoder that gave deepfakes their name (2017; described by Korshunov and Marcel 2018, arXiv 1812.08685, section 3,
and by Perov et al. 2020, arXiv 2005.05535): convolutions 5x5 of stride 2 with 128-256-512-1024 channels and LeakyReLU 0.1,
a code of 1024, and doublings by convolution and pixel shuffle (Shi et al. 2016, arXiv 1609.05158). 82 million weights at
64 px. What is added: a mask beside the picture, and, for `gan`, an alpha with which the picture lies over the input
(as in the faceswap-GAN of 2018).
Each decoder gives (N, channels, P, P) logits: 3 of the picture, 1 of the mask, and 1 of alpha with `gan`; the picture is
their sigmoid, in [0, 1].
"""

import itertools

import torch
from torch import nn

from generators.faceswap.config import HALVINGS, SwapConfig
from generators.layers import icnr_

LEAK = 0.1
CRITIC_LEAK = 0.2
SOURCE, TARGET = 0, 1
PEOPLE = ("source", "target")


class Doubling(nn.Module):
    """(N, in, H, W) -> (N, out, 2H, 2W): convolution, LeakyReLU, pixel shuffle; at first without a checkerboard."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(wide, 4 * narrow, 3, 1, 1)
        icnr_(self.convolution.weight, 2, _fill)
        nn.init.zeros_(_bias(self.convolution))
        self.rest = nn.Sequential(nn.LeakyReLU(LEAK, inplace=True), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.rest(self.convolution(x))
        return out


class Encoder(nn.Module):
    """(N, 3, P, P) in [0, 1] -> (N, 4f, P/8, P/8): to P/16, through the code, and one doubling back."""

    def __init__(self, config: SwapConfig) -> None:
        super().__init__()
        widths = [3, *(config.width << k for k in range(HALVINGS))]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            layers += [_drawn(nn.Conv2d(narrow, wide, 5, 2, 2)), nn.LeakyReLU(LEAK, inplace=True)]
        self.halvings = nn.Sequential(*layers)
        side = config.image_px >> HALVINGS
        self.shape = (widths[-1], side, side)
        n = widths[-1] * side * side
        self.code = nn.Sequential(_drawn(nn.Linear(n, config.latent)), _drawn(nn.Linear(config.latent, n)))
        self.doubling = Doubling(widths[-1], widths[-1] // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.code(self.halvings(x).flatten(1)).view(-1, *self.shape)  # (N, 8f, P/16, P/16)
        out: torch.Tensor = self.doubling(h)
        return out


class Decoder(nn.Module):
    """(N, 4f, P/8, P/8) -> (N, channels, P, P) logits."""

    def __init__(self, config: SwapConfig) -> None:
        super().__init__()
        widths = [8 * config.width >> k for k in range(1, HALVINGS + 1)]  # 4f 2f f f/2
        self.doublings = nn.Sequential(*(Doubling(a, b) for a, b in itertools.pairwise(widths)))
        self.last = _drawn(nn.Conv2d(widths[-1], channels_of(config), 5, 1, 2))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.doublings(h))
        return out


class SwapNetwork(nn.Module):
    """The encoder and both decoders, by the person that they draw: 0 the source, 1 the target."""

    def __init__(self, config: SwapConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.decoders = nn.ModuleList(Decoder(config) for _ in PEOPLE)

    def forward(self, x: torch.Tensor, person: int) -> torch.Tensor:
        out: torch.Tensor = self.decoders[person](self.encoder(x))
        return out

    def both(self, x: torch.Tensor) -> torch.Tensor:
        """(2N, 3, P, P), the source's faces and then the target's -> (2N, channels, P, P), each by its own decoder."""
        codes = self.encoder(x).chunk(2)
        return torch.cat([decoder(code) for decoder, code in zip(self.decoders, codes, strict=True)])


class Critic(nn.Module):
    """(N, 6, P, P), a face and the input that it was drawn from -> (N, P/8 - 2, P/8 - 2) logits of patches, high = real.

    After Isola et al. 2016, arXiv 1611.07004 (a conditional discriminator of patches); one for each person.
    """

    def __init__(self, config: SwapConfig) -> None:
        super().__init__()
        widths = [6, config.width, 2 * config.width, 4 * config.width]
        layers: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            conv = nn.utils.parametrizations.spectral_norm(_drawn(nn.Conv2d(narrow, wide, 4, 2, 1)))
            layers += [conv, nn.LeakyReLU(CRITIC_LEAK, inplace=True)]
        layers.append(nn.utils.parametrizations.spectral_norm(_drawn(nn.Conv2d(widths[-1], 1, 3, 1, 0))))
        self.layers = nn.Sequential(*layers)

    def forward(self, face: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(torch.cat([face, given], 1))
        return out.flatten(1)


def channels_of(config: SwapConfig) -> int:
    """What a decoder gives: picture, mask, and alpha for `gan`."""
    return 5 if config.variant == "gan" else 4


def drawn(logits: torch.Tensor, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Face (N, 3, P, P), mask logits (N, 1, P, P) and alpha (N, 1, P, P; None without one), from a decoder's logits.

    given: what the encoder saw, (N, 3, P, P); it shows where alpha is low.
    """
    face = torch.sigmoid(logits[:, :3].float())
    if logits.shape[1] == 4:
        return face, logits[:, 3:4].float(), None
    alpha = torch.sigmoid(logits[:, 4:5].float())
    return alpha * face + (1 - alpha) * given, logits[:, 3:4].float(), alpha


def _drawn(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """First weights: Glorot's, as the original's library draws them, without a bias."""
    _fill(layer.weight)
    nn.init.zeros_(_bias(layer))
    return layer


def _fill(weight: torch.Tensor) -> torch.Tensor:
    return nn.init.xavier_uniform_(weight)


def _bias(layer: nn.Conv2d | nn.Linear) -> torch.Tensor:
    assert layer.bias is not None  # noqa: S101  (made with one)
    return layer.bias
