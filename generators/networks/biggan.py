"""BigGAN: residual, attentive, class-conditional in every normalisation.

Brock, Donahue, Simonyan 2018, arXiv 1809.11096: figure 15 and table 4 (the blocks and their widths at 128 px), appendix C
(training: hinge, orthogonal weights, Adam with beta1 0, averaged generator). Where the paper is silent the sizes follow
the authors' public PyTorch code; in particular the first layer reads z's first chunk alone (table 4 joins the class to
it). With 96 channels and 1000 classes at 128 px the generator has 70,433,988 weights and the discriminator 87,982,370: the
numbers that google/compare_gan, too, tests its reimplementation against.
  z is split          one chunk for the first layer and one for each block, so that each resolution has its own noise;
  classes             one embedding of 128 numbers, shared by all blocks; each batch normalisation gets gain and bias from
                      it and the block's chunk by a linear layer. The discriminator judges by projection
                      (Miyato and Koyama 2018, arXiv 1802.05637);
  spectral norm       on every layer of both networks but the generator's embedding (Miyato et al. 2018, arXiv 1802.05957);
  self-attention      Zhang et al. 2018, arXiv 1805.08318, once in each network: at 64 px, and in pictures smaller than
                      128 px at half their side (the authors' own script for CIFAR has none).
Without classes in the data it trains as a system of one class. The truncation trick is the sampler's.
Limits: sizes of 16 to 512 px, powers of two. The published quality needs batches of 2048 and days of many accelerators.
The paper's orthogonal regularisation, which makes more of its models amenable to truncation, is not here.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import UsageError
from generators.config import GanConfig
from generators.layers import BatchNorm2d, fill_weight, nearest_doubling, spectral
from generators.system import System

SHARED = 128  # length of the class's embedding: Embed(y) of table 4
START_PX = 4
ATTENTION_PX = 64
# The authors start their 32 px networks from N(0, 0.02) and larger ones from orthogonal matrices.
NORMAL_UP_TO_PX = 32
INITIAL_STD = 0.02


@dataclass(frozen=True)
class Plan:
    """Channels in multiples of `width`. generator: before the first block and after each; discriminator: after each
    block, of which the first `halvings` halve the picture."""

    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    halvings: int


# 128, 256, 512: tables 4, 5, 6. 32 and 64: the authors' code. 16 is 32 without its largest resolution.
PLANS = {
    16: Plan((4, 4, 4), (4, 4, 4), 1),
    32: Plan((4, 4, 4, 4), (4, 4, 4, 4), 2),
    64: Plan((16, 16, 8, 4, 2), (1, 2, 4, 8, 16), 4),
    128: Plan((16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), 5),
    256: Plan((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), 6),
    512: Plan((16, 16, 8, 8, 4, 2, 1, 1), (1, 1, 2, 4, 8, 8, 16, 16), 7),
}


def chunks_of(config: GanConfig) -> int:
    """How many parts z has: one for the first layer and one for each block of the generator."""
    return len(_plan(config).generator)


class Generator(nn.Module):
    """z, y -> (N, 3, S, S); y may be None where there is one class."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        widths = [config.width * k for k in _plan(config).generator]
        n = chunks_of(config)
        if config.latent % n:
            fitting = config.latent + -config.latent % n
            raise UsageError(
                f"option 'latent': {config.latent} does not split into the {n} chunks of a {config.image_px} px BigGAN",
                f"{fitting}, or another multiple of {n}",
            )
        self.chunk = config.latent // n
        self.shared = nn.Embedding(max(config.classes, 1), SHARED)
        self.first = spectral(nn.Linear(self.chunk, widths[0] * START_PX**2))
        self.blocks = nn.ModuleList(UpBlock(a, b, SHARED + self.chunk) for a, b in pairwise(widths))
        # Block k ends at 8 << k pixels.
        self.attention_after = [START_PX << (k + 1) for k in range(n - 1)].index(_attention_px(config))
        self.attention = SelfAttention(widths[self.attention_after + 1])
        self.last = nn.Sequential(
            BatchNorm2d(widths[-1]), nn.ReLU(inplace=True), spectral(nn.Conv2d(widths[-1], 3, 3, padding=1)), nn.Tanh()
        )
        _initialise(self, config)

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        first, *rest = z.chunk(1 + len(self.blocks), 1)
        label = self.shared(_class_or_only(y, z, self.shared))  # (N, 128)
        x = self.first(first).view(len(z), -1, START_PX, START_PX)
        for k, (block, chunk) in enumerate(zip(self.blocks, rest, strict=True)):
            x = block(x, torch.cat([label, chunk], 1))
            if k == self.attention_after:
                x = self.attention(x)
        out: torch.Tensor = self.last(x)
        return out


class UpBlock(nn.Module):
    """(N, a, S, S), condition (N, C) -> (N, b, 2S, 2S): figure 15b."""

    def __init__(self, a: int, b: int, condition: int) -> None:
        super().__init__()
        self.norm1 = ConditionalNorm(a, condition)
        self.conv1 = spectral(nn.Conv2d(a, b, 3, padding=1))
        self.norm2 = ConditionalNorm(b, condition)
        self.conv2 = spectral(nn.Conv2d(b, b, 3, padding=1))
        self.shortcut = spectral(nn.Conv2d(a, b, 1))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = self.conv1(nearest_doubling(F.relu(self.norm1(x, condition))))
        h = self.conv2(F.relu(self.norm2(h, condition)))
        # A 1x1 convolution commutes with copying pixels: done before, it has a quarter of the work.
        out: torch.Tensor = h + nearest_doubling(self.shortcut(x))
        return out


class ConditionalNorm(nn.Module):
    """Batch normalisation whose gain, centred at 1, and bias are linear in a condition (N, C)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels, affine=False)
        self.gain = spectral(nn.Linear(condition, channels, bias=False))
        self.bias = spectral(nn.Linear(condition, channels, bias=False))

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        gain, bias = 1 + self.gain(condition), self.bias(condition)  # (N, channels)
        return torch.addcmul(bias[:, :, None, None], self.norm(x), gain[:, :, None, None])


class SelfAttention(nn.Module):
    """(N, C, S, S) -> the same: every place reads all places, whose keys and values are pooled to S/2.

    Starts as the identity: gamma is 0. Written out, because fused attention has no second derivative for R1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = spectral(nn.Conv2d(channels, narrow, 1, bias=False))
        self.key = spectral(nn.Conv2d(channels, narrow, 1, bias=False))
        self.value = spectral(nn.Conv2d(channels, half, 1, bias=False))
        self.out = spectral(nn.Conv2d(half, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query = self.query(x).flatten(2)  # (N, C/8, S*S)
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # (N, C/8, S*S/4)
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # (N, C/2, S*S/4)
        weights = torch.softmax(query.transpose(1, 2) @ key, -1)  # (N, S*S, S*S/4), each row sums to 1
        read = (value @ weights.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])  # (N, C/2, S, S)
        attended: torch.Tensor = self.out(read)
        return x + self.gamma * attended


class Discriminator(nn.Module):
    """(N, 3, S, S), y -> (N,): psi(h) + <embedding(y), h>, h the last features summed over their places. y as above."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        plan = _plan(config)
        widths = [3, *(config.width * k for k in plan.discriminator)]
        self.blocks = nn.ModuleList(
            DownBlock(a, b, halves=k < plan.halvings, first=k == 0) for k, (a, b) in enumerate(pairwise(widths))
        )
        # Block k ends at S >> (k + 1) pixels.
        self.attention_after = (config.image_px // _attention_px(config)).bit_length() - 2
        self.attention = SelfAttention(widths[self.attention_after + 1])
        self.head = spectral(nn.Linear(widths[-1], 1))
        self.embedding = spectral(nn.Embedding(max(config.classes, 1), widths[-1]))
        _initialise(self, config)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k == self.attention_after:
                x = self.attention(x)
        features = F.relu(x).sum((2, 3))  # (N, C)
        unconditional: torch.Tensor = self.head(features).flatten()
        conditional: torch.Tensor = (self.embedding(_class_or_only(y, x, self.embedding)) * features).sum(1)
        return unconditional + conditional


class DownBlock(nn.Module):
    """(N, a, S, S) -> (N, b, S/2, S/2), or (N, b, S, S) where it does not halve: figure 15c.

    The first block has no activation before its first convolution: a picture is not a feature. A shortcut that changes
    neither size nor channels is the identity.
    """

    def __init__(self, a: int, b: int, halves: bool, first: bool) -> None:
        super().__init__()
        self.halves, self.first = halves, first
        self.conv1 = spectral(nn.Conv2d(a, b, 3, padding=1))
        self.conv2 = spectral(nn.Conv2d(b, b, 3, padding=1))
        self.shortcut = spectral(nn.Conv2d(a, b, 1)) if a != b or halves else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.halves:
            # Averages commute with 1x1 convolutions: pooled first, the shortcut has a quarter of the work.
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        out: torch.Tensor = h + self.shortcut(x)
        return out


def _class_or_only(y: torch.Tensor | None, batch: torch.Tensor, embedding: nn.Module) -> torch.Tensor:
    """The classes (N,), or zeros where there is but one. Raises ValueError where nobody can know."""
    if y is not None:
        return y
    if embedding.num_embeddings != 1:
        raise ValueError(f"which of {embedding.num_embeddings} classes?")
    return torch.zeros(len(batch), dtype=torch.long, device=batch.device)


def _plan(config: GanConfig) -> Plan:
    if config.image_px not in PLANS:
        sizes = ", ".join(map(str, PLANS))
        raise UsageError(f"option 'image_px': BigGAN has no size {config.image_px}", f"one of {sizes}")
    return PLANS[config.image_px]


def _attention_px(config: GanConfig) -> int:
    return min(ATTENTION_PX, config.image_px // 2)


def _initialise(network: nn.Module, config: GanConfig) -> None:
    """First weights of every layer and embedding; biases 0, as the authors' layers have them."""

    draw = partial(nn.init.normal_, std=INITIAL_STD) if config.image_px <= NORMAL_UP_TO_PX else nn.init.orthogonal_

    def fill(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            fill_weight(module, draw)

    network.apply(fill)


# Adam's beta1 is 0 and the generator is averaged by 0.9999 in the paper; hinge throughout.
COMMON = {"objective": "hinge", "beta1": 0.0}
SYSTEM = System(
    name="biggan",
    title="BigGAN",
    reference="Brock, Donahue, Simonyan 2018, arXiv 1809.11096",
    presets={
        # The blocks of 32 px with a quarter of their channels. The paper's two steps of D: with one, at twice to four
        # times the generator's rate or at the same, D stayed closer to a guess in short trials on faces.
        "cpu": {**COMMON, "image_px": 32, "width": 16, "latent": 80, "batch_size": 64, "d_steps": 2, "steps": 1000},
        # The authors' script for CIFAR-10: 64 channels, batch 50, four steps of D.
        "cifar": {**COMMON, "image_px": 32, "width": 64, "latent": 128, "batch_size": 50, "d_steps": 4, "steps": 125_000,
                  "ema_decay": 0.9999, "save_every": 1000, "grid_every": 1000, "quality_every": 5000,
                  "quality_samples": 5000},
        # The paper's networks and rates; its batch is 2048.
        "gpu": {**COMMON, "image_px": 128, "width": 96, "latent": 120, "batch_size": 256, "d_steps": 2,
                "learning_rate_g": 5e-5, "learning_rate_d": 2e-4, "steps": 140_000, "ema_decay": 0.9999,
                "save_every": 1000, "grid_every": 1000, "quality_every": 5000, "quality_samples": 5000},
    },
    generator=Generator,
    discriminator=Discriminator,
    ignores=frozenset({"generators", "conditioning", "upsampling", "spectral_norm"}),
    condition="class",
)  # fmt: skip
