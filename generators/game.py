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
from torch import nn

from forensics.common.seeds import rng_for
from generators.augmentation import augment, strength_for
from generators.checkpoint import AVERAGE, Tensors
from generators.config import GanConfig
from generators.monitor.health import diversity
from generators.optimizers import adam, load_tensors, tensors_of
from generators.parallel import Processes
from generators.system import System

# Streams of the run's seed.
INIT_STREAM, STEP_STREAM, WARM_UP_STREAM = 1, 2, 3
WARM_ENOUGH = 0.95  # share of its judgements in which a warmed-up discriminator is right
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Reals:
    """A batch of this process: uint8 (n, S, S, 3) pictures and their classes (n,) int64."""

    pictures: np.ndarray
    labels: np.ndarray


class Game:
    """Networks and optimizers on a device; `totals` sums what is reported until someone takes it."""

    def __init__(
        self, system: System, config: GanConfig, precision: str, n_pictures: int, processes: Processes
    ) -> None:
        self._system, self._config, self._processes = system, config, processes
        self._device = processes.device
        self._objective = system.objective(config)
        self._strength = strength_for(n_pictures) if config.augment == "auto" else _strength(config.augment)
        self._dtype = DTYPES.get(precision)
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.generator = self._placed(system.generator(config))
        self.discriminator = self._placed(system.discriminator(config))
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        betas = (config.beta1, config.beta2)
        self._optimizer_g = adam(self.generator, config.learning_rate_g, betas, self._device)
        self._optimizer_d = adam(self.discriminator, config.learning_rate_d, betas, self._device)
        is_half = precision == "float16"
        self._scalers = {name: torch.amp.GradScaler(self._device.type, enabled=is_half) for name in ("g", "d")}
        self._d_updates = 0
        self._totals = torch.zeros(4, device=self._device)
        self._n_totals = 0
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
        self._update_average(step)
        with torch.no_grad():
            right_real = (self._objective.realness(real_outputs) > 0).float().mean()
            right_fake = (self._objective.realness(fake_outputs) < 0).float().mean()
            self._totals += torch.stack([loss_d, loss_g, right_real, right_fake])
            self._n_totals += 1
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
        self._descend(penalised, self._optimizer_d, self.discriminator, "d")
        return real_outputs.detach(), fake_outputs.detach(), loss.detach()

    def _update_generator(self, fake: torch.Tensor, y_fake: torch.Tensor | None, draws: "Draws") -> torch.Tensor:
        self.discriminator.requires_grad_(False)  # its weights' gradients are not needed here
        with self._autocast():
            outputs = self.discriminator(
                self._augmented(fake, draws), y_fake if self._system.condition == "class" else None
            )
        loss = self._objective.generator_loss(outputs, y_fake)
        self._descend(loss, self._optimizer_g, self.generator, "g")
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _r1(self, x: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        """Mean squared norm of D's gradient at the reals, in float32."""
        x = x.float().requires_grad_(True)
        score = self._objective.realness(self.discriminator(x, y)).sum()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean()

    def _descend(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer, network: nn.Module, name: str) -> None:
        optimizer.zero_grad(set_to_none=True)
        scaler = self._scalers[name]
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._processes.mean_gradients(network)
        scaler.step(optimizer)
        scaler.update()

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(self._config.ema_decay, (1 + step) / (10 + step))
        new, old = self.generator.state_dict(), self.average.state_dict()
        if decay == 0:
            self.average.load_state_dict(new)
            return
        # Weights and the statistics of norms are averaged; counters, and the vectors of power iterations, are states.
        mixed = [n for n, v in new.items() if v.is_floating_point() and not n.endswith(("._u", "._v"))]
        torch._foreach_lerp_([old[n] for n in mixed], [new[n] for n in mixed], 1 - decay)
        for name in new.keys() - set(mixed):
            old[name].copy_(new[name])

    # -- what goes in

    def _draws(self, stream: int, step: int, rollbacks: int) -> "Draws":
        config = self._config
        torch.manual_seed(step_seed(config.seed, stream, rollbacks, step) + self._processes.rank)  # of dropout, if any
        return Draws(step_seed(config.seed, stream, rollbacks, step), config, self._processes)

    def _reals(self, batch: Reals, draws: "Draws") -> tuple[torch.Tensor, torch.Tensor | None]:
        """Pictures in [-1, 1], mirrored at random; classes where the system wants them."""
        x = torch.from_numpy(batch.pictures).to(self._device, non_blocking=True).permute(0, 3, 1, 2)  # channels last
        x = x.to(torch.float32).mul_(2 / 255).sub_(1)
        if not self._config.channels_last:
            x = x.contiguous()
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

    def take_totals(self) -> tuple[float, float, float, float]:
        """Mean losses (D, G) and shares judged rightly (reals, fakes) since the last call, over all processes."""
        mean = self._processes.mean(self._totals / max(1, self._n_totals)).tolist()
        self._totals.zero_()
        self._n_totals = 0
        return mean[0], mean[1], mean[2], mean[3]

    def is_finite(self) -> bool:
        """Whether losses so far and all weights are numbers."""
        weights = [*self.generator.state_dict().values(), *self.discriminator.state_dict().values()]
        seen = [self._totals[:2], *(w for w in weights if w.is_floating_point())]
        finite = torch.stack([torch.isfinite(values).all() for values in seen]).all()  # one look at the device
        return not self._processes.any(not bool(finite))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and plain values from which `load_state` makes the same game again."""
        tensors = {f"generator.{n}": v for n, v in self.generator.state_dict().items()}
        tensors |= {f"discriminator.{n}": v for n, v in self.discriminator.state_dict().items()}
        tensors |= {f"{AVERAGE}{n}": v for n, v in self.average.state_dict().items()}
        tensors |= tensors_of(self._optimizer_g, "optimizer_g.") | tensors_of(self._optimizer_d, "optimizer_d.")
        plain = {
            "d_updates": self._d_updates,
            "totals": self._totals.tolist(),
            "n_totals": self._n_totals,
            "scalers": {name: scaler.state_dict() for name, scaler in self._scalers.items()},
        }
        return tensors, plain

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        """Take up a state. Raises KeyError, ValueError or RuntimeError for one that does not fit."""
        for prefix, network in (
            ("generator.", self.generator), ("discriminator.", self.discriminator), (AVERAGE, self.average),
        ):  # fmt: skip
            network.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        for name, optimizer in (("g", self._optimizer_g), ("d", self._optimizer_d)):
            load_tensors(optimizer, tensors, f"optimizer_{name}.")
            self._scalers[name].load_state_dict(plain["scalers"][name])
        self._d_updates = int(plain["d_updates"])
        self._totals.copy_(torch.tensor(plain["totals"]))
        self._n_totals = int(plain["n_totals"])

    # -- how it is made

    def _placed(self, network: nn.Module) -> nn.Module:
        layout = torch.channels_last if self._config.channels_last else torch.contiguous_format
        return network.to(self._device).to(memory_format=layout)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None)


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


def step_seed(seed: int, stream: int, rollbacks: int, step: int) -> int:
    """Of torch's generators: 62 bits, room for the ranks above it."""
    return int(rng_for(seed, stream, rollbacks, step).integers(1 << 62))


def _strength(text: str) -> float:
    return 0.0 if text == "off" else float(text)
