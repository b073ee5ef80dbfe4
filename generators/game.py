"""The two networks, their optimizers, and one step of the game between them.

Goodfellow et al. 2014, arXiv 1406.2661, algorithm 1, with what later work added as options: spectral normalisation (in
the networks), R1 on reals (Mescheder et al. 2018, arXiv 1801.04406; lazily as in StyleGAN2, Karras et al. 2019, arXiv
1912.04958, appendix B), an exponential average of the generator with a ramp, differentiable augmentation (Zhao et al.
2020, arXiv 2006.10738), warm-up of the discriminator. All that is random in a step is a function of (seed, rollbacks,
step).
"""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from generators.augmentation import augment, strength_for
from generators.base_game import DISCRIMINATOR, GENERATOR, BaseGame, step_seed, update_average
from generators.checkpoint import AVERAGE, Tensors
from generators.config import GanConfig
from generators.monitor.health import diversity
from generators.parallel import Processes
from generators.system import System

# Streams of the run's seed.
INIT_STREAM, STEP_STREAM, WARM_UP_STREAM = 1, 2, 3
WARM_ENOUGH = 0.95  # share of its judgements in which a warmed-up discriminator is right


@dataclass(frozen=True)
class Reals:
    """A batch of this process: uint8 (n, S, S, 3) pictures and their classes (n,) int64."""

    pictures: np.ndarray
    labels: np.ndarray


class Game(BaseGame):
    """Networks and optimizers on a device; totals sum what is reported until someone takes it."""

    TOTALS = ("loss_d", "loss_g", "accuracy_real", "accuracy_fake")

    def __init__(
        self, system: System, config: GanConfig, precision: str, n_pictures: int, processes: Processes
    ) -> None:
        super().__init__(config, precision, processes)
        self._system, self._config = system, config
        self._objective = system.objective(config)
        self._strength = strength_for(n_pictures) if config.augment == "auto" else _strength(config.augment)
        betas = (config.beta1, config.beta2)
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.generator = self._learning(GENERATOR, system.generator(config), config.learning_rate_g, betas)
        self.discriminator = self._learning(DISCRIMINATOR, system.discriminator(config), config.learning_rate_d, betas)
        self.average = self._kept(AVERAGE, copy.deepcopy(self.generator).eval().requires_grad_(False))
        self._d_updates = 0
        self.last_diversity = float("nan")

    # -- a step

    def step(self, reals: Iterator[Reals], step: int, rollbacks: int, measure_diversity: bool) -> None:
        """`d_steps` updates of the discriminator and one of the generator; adds to `totals`."""
        config = self._config
        draws = self._draws(STEP_STREAM, step, rollbacks)
        self.generator.train()
        self.discriminator.train()
        for k in range(config.d_steps):
            batch = next(reals)
            x, y = self._reals(batch, draws)
            is_last = k == config.d_steps - 1
            z, y_fake = self._latents(y, draws)
            with contextlib.nullcontext() if is_last else torch.no_grad():
                fake = self._draw(z, y_fake)
            real_outputs, fake_outputs, loss_d = self._update_discriminator(x, y, fake.detach(), y_fake, draws)
        loss_g = self._update_generator(fake, y_fake, draws)
        update_average(self.average, self.generator, config.ema_decay, step)
        with torch.no_grad():
            right_real = (self._objective.realness(real_outputs) > 0).float().mean()
            right_fake = (self._objective.realness(fake_outputs) < 0).float().mean()
            self._add(loss_d, loss_g, right_real, right_fake)
            if measure_diversity and len(x) > 1:
                self.last_diversity = diversity(fake.detach().float(), x.float())

    def warm_up(self, reals: Iterator[Reals], step: int, rollbacks: int) -> bool:
        """One update of the discriminator against a frozen generator; whether it is warm enough now."""
        draws = self._draws(WARM_UP_STREAM, step, rollbacks)
        self.generator.train()
        self.discriminator.train()
        x, y = self._reals(next(reals), draws)
        z, y_fake = self._latents(y, draws)
        with torch.no_grad():
            fake = self._draw(z, y_fake)
        real_outputs, fake_outputs, _ = self._update_discriminator(x, y, fake, y_fake, draws)
        right = torch.cat([self._objective.realness(real_outputs) > 0, self._objective.realness(fake_outputs) < 0])
        return bool(self._processes.mean(right.float().mean()) >= WARM_ENOUGH)

    def _update_discriminator(
        self, x: torch.Tensor, y: torch.Tensor | None, fake: torch.Tensor, y_fake: torch.Tensor | None, draws: "Draws"
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        config, objective = self._config, self._objective
        seen, seen_fake = self._augmented(x, draws), self._augmented(fake, draws)
        y_shown = y_fake if self._system.condition == "class" else None
        with self._autocast():
            if self._system.has_batch_statistics:  # of reals and of fakes apart, as in the papers
                real_outputs, fake_outputs = self.discriminator(seen, y), self.discriminator(seen_fake, y_shown)
            else:
                both_y = None if y is None or y_shown is None else torch.cat([y, y_shown])
                real_outputs, fake_outputs = self.discriminator(torch.cat([seen, seen_fake]), both_y).tensor_split(2)
        loss = objective.discriminator_loss(real_outputs, fake_outputs, y_fake)
        penalised = loss
        if config.r1_gamma and self._d_updates % config.r1_every == 0:
            penalised = loss + config.r1_gamma / 2 * config.r1_every * self._r1(seen.detach(), y)
        self._d_updates += 1
        self._descend(DISCRIMINATOR, penalised)
        return real_outputs.detach(), fake_outputs.detach(), loss.detach()

    def _update_generator(self, fake: torch.Tensor, y_fake: torch.Tensor | None, draws: "Draws") -> torch.Tensor:
        self.discriminator.requires_grad_(False)  # its weights' gradients are not needed here
        with self._autocast():
            outputs = self.discriminator(
                self._augmented(fake, draws), y_fake if self._system.condition == "class" else None
            )
        loss = self._objective.generator_loss(outputs, y_fake)
        self._descend(GENERATOR, loss)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _r1(self, x: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        """Mean squared norm of D's gradient at the reals, in float32."""
        x = x.float().requires_grad_(True)
        score = self._objective.realness(self.discriminator(x, y)).sum()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean()

    # -- what goes in

    def _draws(self, stream: int, step: int, rollbacks: int) -> "Draws":
        config = self._config
        torch.manual_seed(step_seed(config.seed, stream, rollbacks, step) + self._processes.rank)  # of dropout, if any
        return Draws(step_seed(config.seed, stream, rollbacks, step), config, self._processes)

    def _reals(self, batch: Reals, draws: "Draws") -> tuple[torch.Tensor, torch.Tensor | None]:
        """Pictures in [-1, 1], mirrored at random; classes where the system wants them."""
        x = self._pixels(batch.pictures).mul_(2 / 255).sub_(1)
        if self._config.flip:
            mirrored = draws.bits().to(self._device, non_blocking=True)
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        y = torch.from_numpy(batch.labels).to(self._device) if self._system.condition == "class" else None
        return x, y

    def _latents(self, y: torch.Tensor | None, draws: "Draws") -> tuple[torch.Tensor, torch.Tensor | None]:
        """Noise, and the second input of the generator: classes as frequent as in the data, or which generator draws."""
        z = draws.normal(self._config.latent).to(self._device, non_blocking=True)
        if self._system.condition == "generator":
            return z, draws.integers(self._config.generators).to(self._device)
        return z, y

    def _draw(self, z: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        with self._autocast():
            out: torch.Tensor = self.generator(z, y)
        return out.float()

    def _augmented(self, x: torch.Tensor, draws: "Draws") -> torch.Tensor:
        return augment(x, self._strength, draws.generator) if self._strength else x

    # -- what is kept

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, plain = super().state()
        return tensors, {**plain, "d_updates": self._d_updates}

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        super().load_state(tensors, plain)
        self._d_updates = int(plain["d_updates"])


class Draws:
    """All that is random in one step, in a fixed order. Drawn for the batch of all processes; each takes its rows, so that
    the number of processes changes nothing."""

    def __init__(self, seed: int, config: GanConfig, processes: Processes) -> None:
        self._n, self._rows = config.batch_size, processes.share(config.batch_size)
        self._shared = torch.Generator().manual_seed(seed)
        # Augmentation draws as it goes, for this process's rows alone.
        self.generator = torch.Generator().manual_seed(seed + 1 + processes.rank)

    def normal(self, length: int) -> torch.Tensor:
        """(n, length) float32 standard normal."""
        return torch.randn(self._n, length, generator=self._shared)[self._rows]

    def integers(self, high: int) -> torch.Tensor:
        """(n,) int64 below high."""
        return torch.randint(high, (self._n,), generator=self._shared)[self._rows]

    def bits(self) -> torch.Tensor:
        """(n,) bool, even odds."""
        return torch.randint(2, (self._n,), generator=self._shared)[self._rows].bool()


def _strength(text: str) -> float:
    return 0.0 if text == "off" else float(text)
