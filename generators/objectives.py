"""What generator and discriminator play for, by the objectives' true names, on logits.

minimax, non_saturating: Goodfellow et al. 2014, arXiv 1406.2661, section 3. hinge: Lim and Ye 2017, arXiv 1705.02894.
lsgan: Mao et al. 2016, arXiv 1611.04076 (a = 0, b = c = 1). What many repositories call minimax is non-saturating.
An objective sees the outputs of one discriminator for reals and fakes; both losses are means over the batch, in float32.
"""

from typing import Protocol

import torch
from torch.nn import functional as F

from generators.config import ObjectiveName


class Objective(Protocol):
    """One game. Outputs are logits (N,), high = real, unless the system says otherwise; `y` (N,) int64 or None."""

    def discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        """What the discriminator minimises: a scalar."""

    def generator_loss(self, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        """What the generator minimises: a scalar."""

    def realness(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N,) logits of "real" from the discriminator's outputs: above 0 it says real. For accuracy and for R1."""


class Minimax:
    """V = E log D(x) + E log(1 - D(G(z))): D maximises it, G minimises it and gets no gradient where D is sure."""

    def discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()

    def generator_loss(self, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return -F.softplus(fake.float()).mean()

    def realness(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs


class NonSaturating(Minimax):
    """D as in minimax; G maximises E log D(G(z)) instead."""

    def generator_loss(self, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return F.softplus(-fake.float()).mean()


class Hinge(Minimax):
    """D: E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))); G: -E D(G(z))."""

    def discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()

    def generator_loss(self, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return -fake.float().mean()


class LeastSquares(Minimax):
    """D: 1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2; G: 1/2 E (D(G(z)) - 1)^2. An output above 1/2 says real."""

    def discriminator_loss(self, real: torch.Tensor, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return 0.5 * ((real.float() - 1).square().mean() + fake.float().square().mean())

    def generator_loss(self, fake: torch.Tensor, fake_y: torch.Tensor | None) -> torch.Tensor:
        return 0.5 * (fake.float() - 1).square().mean()

    def realness(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs - 0.5


OBJECTIVES: dict[ObjectiveName, type[Minimax]] = {
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "hinge": Hinge,
    "lsgan": LeastSquares,
}
