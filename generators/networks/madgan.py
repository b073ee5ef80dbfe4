"""MAD-GAN: several generators that one discriminator must tell apart, so that they settle on different modes.

Ghosh, Kulharia, Namboodiri, Torr, Dokania 2017, arXiv 1704.02906, section 3: k generators with shared first layers, a
discriminator with a softmax over k + 1 (which generator, or real) that minimises the cross-entropy of the right answer.
Bodies are DCGAN's. How many layers are shared is a choice of ours: the projection of z and, where another follows, the
first doubling, by which a picture is laid out. The rest is each generator's own, statistics of norms included.
Generators maximise E log p_real, the non-saturating twin of the paper's min E log(1 - p_real); the objective `minimax`
is the paper's to the letter.
Limits: generators share modes where there are fewer of them than modes, and D's push apart weakens as k grows.
"""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import UsageError
from generators.config import GanConfig
from generators.layers import doublings, init_normal, spectral
from generators.networks import dcgan
from generators.objectives import Objective
from generators.system import System


class WhichGenerator:
    """The game on outputs (N, k + 1): columns 0 to k - 1 are the generators, column k is real."""

    def __init__(self, saturating: bool = False) -> None:
        self._saturating = saturating

    def discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        """-E log p_real(x) - E log p_i(G_i(z)), with fake_y (N,) the i of each fake."""
        if fake_y is None:
            raise ValueError("fake_y is missing: each fake comes with the number of its generator")
        is_real = torch.full((len(real),), real.shape[1] - 1, device=real.device)
        return F.cross_entropy(real.float(), is_real) + F.cross_entropy(fake.float(), fake_y)

    def generator_loss(self, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        """-E log p_real(G(z)), or E log(1 - p_real(G(z))) when saturating."""
        logit = self.realness(fake)
        return -F.softplus(logit).mean() if self._saturating else F.softplus(-logit).mean()

    def realness(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N,) logit of p_real: how far column k is above all the others together."""
        outputs = outputs.float()
        return outputs[:, -1] - torch.logsumexp(outputs[:, :-1], 1)


def objective(config: GanConfig) -> Objective:
    """The k + 1-way game. Raises UsageError for objectives that a softmax does not have."""
    if config.objective not in ("non_saturating", "minimax"):
        raise UsageError(
            f"option 'objective': madgan plays for a softmax, not for {config.objective}", "non_saturating or minimax"
        )
    return WhichGenerator(saturating=config.objective == "minimax")


class Generator(nn.Module):
    """z, y -> (N, 3, S, S): generator y[i] draws picture i; without y they take turns."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        k, layers = _generators(config), dcgan.Generator(config).layers
        ends = [i + 1 for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
        cut = ends[:2][-1]  # after the first doubling that a norm and a ReLU follow, else after the projection
        self.shared = layers[:cut]
        self.own = nn.ModuleList(copy.deepcopy(layers[cut:]) for _ in range(k))
        init_normal(self)

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        k = len(self.own)
        if y is None:
            y = torch.arange(len(z), device=z.device) % k
        features = self.shared(z[:, :, None, None])
        order = torch.argsort(y, stable=True)
        parts = features[order].split(torch.bincount(y, minlength=k).tolist())
        # While training, a generator that has no picture in this batch runs too: processes that share statistics must
        # run the same layers, and a gradient of zero must not depend on how many processes there are.
        drawn = [own(part) for own, part in zip(self.own, parts, strict=True) if self.training or len(part)]
        pictures: torch.Tensor = torch.cat(drawn)[torch.argsort(order)]
        return pictures


class Discriminator(nn.Module):
    """(N, 3, S, S) -> (N, k + 1): DCGAN's discriminator with a column for each generator and, last, one for real."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.features = dcgan.Discriminator(config).layers[:-1]
        widest = config.width << (doublings(config.image_px) - 1)
        columns = nn.Conv2d(widest, _generators(config) + 1, 4, 1, 0, bias=False)
        self.head = spectral(columns, config.spectral_norm)
        init_normal(self.head)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.features(x))
        return outputs.flatten(1)


def _generators(config: GanConfig) -> int:
    if config.generators < 2:
        raise UsageError(
            f"option 'generators': MAD-GAN needs at least 2, not {config.generators}", "with one generator, train dcgan"
        )
    return config.generators


SYSTEM = System(
    name="madgan",
    title="Multi-agent diverse GAN",
    reference="Ghosh, Kulharia, Namboodiri, Torr, Dokania 2017, arXiv 1704.02906",
    presets={
        "cpu": {"image_px": 32, "width": 32, "generators": 3, "batch_size": 64, "steps": 2500},
        "gpu": {"image_px": 64, "width": 64, "generators": 4, "batch_size": 128, "steps": 100_000, "save_every": 1000,
                "grid_every": 1000, "quality_every": 2500, "quality_samples": 2500},
    },
    generator=Generator,
    discriminator=Discriminator,
    ignores=frozenset({"classes", "conditioning"}),
    condition="generator",
    has_batch_statistics=True,
    objective=objective,
)  # fmt: skip
