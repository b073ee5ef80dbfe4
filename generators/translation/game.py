"""One step of learning from pairs: least error, and where it is asked for a discriminator and a likeness in features.

Isola et al. 2016, arXiv 1611.07004 (L1 and a conditional adversary); Ledig et al. 2016, arXiv 1609.04802 (content first,
then the adversary at a small weight, likeness in the features of a named extractor). The first `content_steps` steps leave
adversary and features out.
"""

import contextlib
import copy
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from generators.checkpoint import AVERAGE, Tensors
from generators.game import DTYPES, step_seed
from generators.objectives import OBJECTIVES
from generators.optimizers import adam, load_tensors, tensors_of
from generators.parallel import Processes
from generators.pictures import to_uint8
from generators.translation.pairs import Pairs
from generators.translation_config import TranslationConfig
from generators.translator import Critic, Translator

INIT_STREAM, DROPOUT_STREAM = 41, 42
GENERATOR, DISCRIMINATOR = "generator.", "discriminator."
TOTALS = ("loss", "l1", "perceptual", "adversarial", "loss_d", "accuracy")
# How likeness in features is named where no extractor is given.
OWN_FEATURES = "discriminator"
N = TypeVar("N", bound=nn.Module)


class FeatureExtractor(Protocol):
    """Features by which pictures are compared; `name` stands in the record of a run."""

    name: str

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> features, differentiable in the pictures."""


class PairedGame:
    """Networks and optimizers on a device; totals sum what is reported until someone takes it."""

    def __init__(
        self, translator: Translator, config: TranslationConfig, precision: str, processes: Processes,
        extractor: FeatureExtractor | None = None,
    ) -> None:  # fmt: skip
        self._config, self._processes, self._device = config, processes, processes.device
        self._dtype = DTYPES.get(precision)
        self._objective = OBJECTIVES[config.objective]()
        self._extractor = extractor
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.generator = self._placed(translator.generator(config))
        self.discriminator: Critic | None = None
        if config.adversarial_weight:
            self.discriminator = self._placed(translator.discriminator(config))
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        betas = (config.beta1, config.beta2)
        self._optimizers = {GENERATOR: adam(self.generator, config.learning_rate_g, betas, self._device)}
        if self.discriminator is not None:
            self._optimizers[DISCRIMINATOR] = adam(self.discriminator, config.learning_rate_d, betas, self._device)
        self._scalers = {
            name: torch.amp.GradScaler(self._device.type, enabled=precision == "float16") for name in self._optimizers
        }
        self._totals = torch.zeros(len(TOTALS), device=self._device)
        self._n_totals = 0

    # -- a step

    def step(self, pairs: Pairs, step: int, rollbacks: int) -> None:
        """One update of the generator, and of the discriminator before it; adds to the totals."""
        config = self._config
        torch.manual_seed(step_seed(config.seed, DROPOUT_STREAM, rollbacks, step) + self._processes.rank)
        self._set_rates(step)
        self.generator.train()
        given, target = self._on_device(pairs.given), self._on_device(pairs.target)
        with self._autocast():
            drawn = self.generator(given)
        drawn = drawn.float()
        l1 = (drawn - target).abs().mean()
        loss = config.l1_weight * l1
        nothing = torch.zeros_like(l1)
        perceptual, adversarial, loss_d, accuracy = nothing, nothing, nothing, torch.full_like(l1, float("nan"))
        if self.discriminator is not None and step >= config.content_steps:
            self.discriminator.train()
            shown = self._enlarged(given, target)
            loss_d, accuracy = self._update_discriminator(shown, target, drawn.detach())
            self.discriminator.requires_grad_(False)
            with self._autocast():
                *maps, logits = self.discriminator.features(shown, drawn)
            adversarial = self._objective.generator_loss(logits.float().flatten(), None)
            loss = loss + config.adversarial_weight * adversarial
            if config.perceptual_weight:
                perceptual = self._unlikeness(shown, drawn, target, maps)
                loss = loss + config.perceptual_weight * perceptual
            self.discriminator.requires_grad_(True)
        self._descend(GENERATOR, self.generator, loss)
        self._update_average(step)
        with torch.no_grad():
            self._totals += torch.stack([loss, l1, perceptual, adversarial, loss_d, accuracy])
            self._n_totals += 1

    def _update_discriminator(
        self, given: torch.Tensor, real: torch.Tensor, fake: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.discriminator is not None  # noqa: S101  (called with one alone)
        with self._autocast():
            of_real = self.discriminator.features(given, real)[-1]
            of_fake = self.discriminator.features(given, fake)[-1]
        of_real, of_fake = of_real.float().flatten(), of_fake.float().flatten()
        loss = self._objective.discriminator_loss(of_real, of_fake, None)
        self._descend(DISCRIMINATOR, self.discriminator, loss)
        with torch.no_grad():
            right = torch.cat([self._objective.realness(of_real) > 0, self._objective.realness(of_fake) < 0])
        return loss.detach(), right.float().mean()

    def _unlikeness(
        self, given: torch.Tensor, drawn: torch.Tensor, target: torch.Tensor, maps: list[torch.Tensor]
    ) -> torch.Tensor:
        """Mean difference in the extractor's features; without one, in those of the discriminator."""
        if self._extractor is not None:
            with self._autocast():
                found, wanted = self._extractor(drawn), self._extractor(target)
            return (found.float() - wanted.float().detach()).square().mean()
        assert self.discriminator is not None  # noqa: S101  (the configuration asks for one)
        with torch.no_grad(), self._autocast():
            *wanted_maps, _ = self.discriminator.features(given, target)
        parts = [(a.float() - b.float()).abs().mean() for a, b in zip(maps, wanted_maps, strict=True)]
        return torch.stack(parts).mean()

    def _descend(self, name: str, network: nn.Module, loss: torch.Tensor) -> None:
        optimizer, scaler = self._optimizers[name], self._scalers[name]
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._processes.mean_gradients(network)
        scaler.step(optimizer)
        scaler.update()

    def _set_rates(self, step: int) -> None:
        """Constant, then linear to 0 over the second half (Zhu et al. 2017, arXiv 1703.10593, section 4)."""
        config = self._config
        half = config.steps / 2
        share = min(1.0, (config.steps - step) / half) if config.decay == "linear" else 1.0
        rates = {GENERATOR: config.learning_rate_g, DISCRIMINATOR: config.learning_rate_d}
        for name, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rates[name] * max(share, 0.0)

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        decay = min(self._config.ema_decay, (1 + step) / (10 + step))
        new, old = self.generator.state_dict(), self.average.state_dict()
        mixed = [name for name, value in new.items() if value.is_floating_point()]
        torch._foreach_lerp_([old[n] for n in mixed], [new[n] for n in mixed], 1 - decay)
        for name in new.keys() - set(mixed):
            old[name].copy_(new[name])

    # -- what comes out

    @torch.inference_mode()
    def draw(self, given: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Inputs (N, h, w, 3) uint8 through the averaged generator, in float32."""
        return to_uint8(self.average(self._on_device(given)))

    def take_totals(self) -> dict[str, float]:
        """Means of TOTALS since the last call, over all processes."""
        mean = self._processes.mean(self._totals / max(1, self._n_totals)).tolist()
        self._totals.zero_()
        self._n_totals = 0
        return dict(zip(TOTALS, mean, strict=True))

    def is_finite(self) -> bool:
        """Whether losses so far and all weights are numbers."""
        networks = [self.generator, *([self.discriminator] if self.discriminator is not None else [])]
        kept = [value for network in networks for value in network.state_dict().values() if value.is_floating_point()]
        finite = torch.stack([torch.isfinite(v).all() for v in (self._totals[:5], *kept)]).all()
        return not self._processes.any(not bool(finite))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and plain values from which `load_state` makes the same game again."""
        tensors: Tensors = {}
        for prefix, network in self._networks():
            tensors |= {f"{prefix}{name}": value for name, value in network.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            tensors |= tensors_of(optimizer, f"optimizer.{name}")
        tensors["totals"] = self._totals.clone()
        scalers = {name: scaler.state_dict() for name, scaler in self._scalers.items()}
        return tensors, {"n_totals": self._n_totals, "scalers": scalers}

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        """Take up a state. Raises KeyError, ValueError or RuntimeError for one that does not fit."""
        for prefix, network in self._networks():
            network.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        for name, optimizer in self._optimizers.items():
            load_tensors(optimizer, tensors, f"optimizer.{name}")
            self._scalers[name].load_state_dict(plain["scalers"][name])
        self._totals.copy_(tensors["totals"])
        self._n_totals = int(plain["n_totals"])

    def _networks(self) -> list[tuple[str, nn.Module]]:
        found: list[tuple[str, nn.Module]] = [(GENERATOR, self.generator), (AVERAGE, self.average)]
        return [*found, (DISCRIMINATOR, self.discriminator)] if self.discriminator is not None else found

    # -- how it is made

    def _enlarged(self, given: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Inputs at the side of targets, for a discriminator that looks at both."""
        if given.shape[-2:] == target.shape[-2:]:
            return given
        return nn.functional.interpolate(given, size=target.shape[-2:], mode="nearest")

    def _placed(self, network: N) -> N:
        layout = torch.channels_last if self._config.channels_last else torch.contiguous_format
        return network.to(self._device).to(memory_format=layout)

    def _on_device(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return (x if self._config.channels_last else x.contiguous()).to(torch.float32).mul_(2 / 255).sub_(1)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None)
