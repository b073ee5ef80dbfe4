"""Modes covered of a mixture of eight Gaussians: MAD-GAN's game with eight generators against one generator.

The ring of Metz et al. 2016, arXiv 1611.02163, with radius 1. The two sides have as many generator weights (to 2 %), the
same discriminator but for its last layer's columns, the same optimizer, batches and number of steps.

Such games are chaotic, and which seed ends well depends on the processor's rounding too. Seeds 0 to 7, on the machine
that this was written on, as modes covered of 8 (share of the samples within three standard deviations of a mode):
  eight generators  8 (.99)  7 (1.0)  8 (.94)  7 (1.0)  6 (.89)  8 (.92)  7 (.89)  6 (.87)   mean 7.1
  one generator     2 (.51)  7 (.47)  2 (.42)  0 (.00)  0 (.00)  0 (.00)  8 (.80)  8 (.74)   mean 3.4
Eight generators cover all modes in 3 of the 8, where one covers 2, 2 and 0; they cover more in 5, as many in 1, fewer in 2.
What they miss, they miss because two of them sit on one. The test plays seeds 0 and 2 and asks for less than was found:
on another processor they ended with 7 (.99) and 6 (.99), against 5 (.63) and 2 (.45). The settings were found by search:
of some 16 others (rates, widths, radii, steps, noise, averaging; 3 to 6 seeds each) a few showed no advantage or the
reverse, so that this is an example of what several generators can do, and no measure of how often they do it.
"""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from generators.networks.madgan import WhichGenerator
from generators.objectives import NonSaturating, Objective

MODES, STD = 8, 0.02
GENERATORS, LATENT, HIDDEN, OWN, SEEN = 8, 16, 128, 16, 128
BATCH, STEPS, RATE = 256, 1500, 2e-3
SAMPLES = 4000
SEEDS = (0, 2)
ANGLES = torch.arange(MODES) * 2 * math.pi / MODES
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


class Several(nn.Module):
    """Generators with a shared first layer and two of their own: z (n, LATENT), in equal blocks of rows -> (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(LATENT, HIDDEN)
        self.w1, self.b1 = self._own(HIDDEN, OWN)
        self.w2, self.b2 = self._own(OWN, 2)

    @staticmethod
    def _own(n: int, m: int) -> tuple[nn.Parameter, nn.Parameter]:
        """torch's first weights of a linear layer, once for each generator."""
        weight, bias = ((torch.rand(GENERATORS, rows, m) * 2 - 1) / math.sqrt(n) for rows in (n, 1))
        return nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        features = self.shared(z).relu().unflatten(0, (GENERATORS, -1))
        own = torch.baddbmm(self.b1, features, self.w1).relu()
        return torch.baddbmm(self.b2, own, self.w2).flatten(0, 1)


def mlp(hidden: int, columns: int, inputs: int, leak: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LeakyReLU(leak), nn.Linear(hidden, hidden), nn.LeakyReLU(leak),
        nn.Linear(hidden, columns),
    )  # fmt: skip


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def one_of_the_same_size() -> nn.Sequential:
    wanted = count(Several())
    return next(g for g in (mlp(hidden, 2, LATENT) for hidden in range(8, 512)) if count(g) >= wanted)


def reals() -> torch.Tensor:
    return CENTRES[torch.randint(MODES, (BATCH,))] + STD * torch.randn(BATCH, 2)


def played(
    generator: nn.Module, discriminator: nn.Module, objective: Objective, y: torch.Tensor | None
) -> torch.Tensor:
    """Both networks trained against each other; then samples (SAMPLES, 2)."""
    optimizers = [torch.optim.Adam(m.parameters(), RATE, (0.5, 0.999), fused=True) for m in (generator, discriminator)]

    def judged(x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = discriminator(x)
        return outputs.squeeze(1)

    def descend(which: int, loss: torch.Tensor) -> None:
        optimizers[which].zero_grad()
        loss.backward()
        optimizers[which].step()

    for step in range(STEPS):
        for optimizer in optimizers:  # constant, and falling to 0 in the second half, so that both sides settle
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 - 2 * step / STEPS)
        fake = generator(torch.randn(BATCH, LATENT))
        descend(1, objective.discriminator_loss(judged(reals()), judged(fake.detach()), y))
        descend(0, objective.generator_loss(judged(fake), y))
    with torch.no_grad():
        samples: torch.Tensor = generator(torch.randn(SAMPLES, LATENT))
    return samples


def covered(samples: torch.Tensor) -> tuple[int, float]:
    """Modes that get at least a quarter of their share from samples within three standard deviations; the share of all
    samples that are so near to a mode."""
    distance, mode = torch.cdist(samples, CENTRES).min(1)
    near = distance < 3 * STD
    shares = torch.bincount(mode[near], minlength=MODES) / len(samples)
    return int((shares >= 0.25 / MODES).sum()), near.double().mean().item()


def game_of_several(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    y = torch.arange(GENERATORS).repeat_interleave(BATCH // GENERATORS)
    return played(Several(), mlp(SEEN, GENERATORS + 1, 2, leak=0.2), WhichGenerator(), y)


def game_of_one(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return played(one_of_the_same_size(), mlp(SEEN, 1, 2, leak=0.2), NonSaturating(), None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order; and for matrices this small, faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_both_sides_have_as_many_generator_weights() -> None:
    assert count(Several()) <= count(one_of_the_same_size()) <= 1.02 * count(Several())


def test_coverage_counts_modes_with_a_quarter_of_their_share() -> None:
    assert covered(CENTRES.repeat_interleave(100, 0)) == (8, 1.0)
    half_lost = torch.cat([CENTRES[:4].repeat_interleave(100, 0), CENTRES[4:].repeat_interleave(10, 0)])
    assert covered(half_lost) == (4, 1.0)
    assert covered(CENTRES * (1 + 4 * STD)) == (0, 0.0)


def test_eight_generators_cover_most_modes_and_one_of_their_size_covers_fewer() -> None:
    several = [covered(game_of_several(seed)) for seed in SEEDS]
    one = [covered(game_of_one(seed)) for seed in SEEDS]
    assert sum(modes for modes, _ in several) >= 5 * len(SEEDS)
    assert sum(near for _, near in several) > 0.8 * len(SEEDS)
    assert sum(modes for modes, _ in one) < sum(modes for modes, _ in several)
    assert sum(near for _, near in one) < sum(near for _, near in several)
