"""One step of learning from pairs: least error, and where it is asked for a discriminator and a likeness in features.

Isola et al. 2016, arXiv 1611.07004 (L1 and a conditional adversary); Ledig et al. 2016, arXiv 1609.04802 (content first,
then the adversary at a small weight, likeness in the features of a named extractor). The first `content_steps` steps leave
adversary and features out.
"""

import copy
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from generators.base_game import ACCURACY, DISCRIMINATOR, GENERATOR, BaseGame, step_seed, update_average
from generators.checkpoint import AVERAGE
from generators.objectives import OBJECTIVES
from generators.parallel import Processes
from generators.pictures import to_uint8
from generators.translation.pairs import Pairs
from generators.translation.rates import rate_share
from generators.translation_config import TranslationConfig
from generators.translator import Critic, Translator

INIT_STREAM, DROPOUT_STREAM = 41, 42
# How likeness in features is named where no extractor is given.
OWN_FEATURES = "discriminator"


class FeatureExtractor(Protocol):
    """Features by which pictures are compared; `name` stands in the record of a run."""

    name: str

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> features, differentiable in the pictures."""


class PairedGame(BaseGame):
    """Networks and optimizers on a device; totals sum what is reported until someone takes it."""

    TOTALS = ("loss", "l1", "perceptual", "adversarial", "loss_d", ACCURACY)

    def __init__(
        self, translator: Translator, config: TranslationConfig, precision: str, processes: Processes,
        extractor: FeatureExtractor | None = None,
    ) -> None:  # fmt: skip
        super().__init__(config, precision, processes)
        self._config, self._extractor = config, extractor
        self._objective = OBJECTIVES[config.objective]()
        betas = (config.beta1, config.beta2)
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.generator = self._learning(GENERATOR, translator.generator(config), config.learning_rate_g, betas)
        self.discriminator: Critic | None = None
        if config.adversarial_weight:
            critic = translator.discriminator(config)
            self.discriminator = self._learning(DISCRIMINATOR, critic, config.learning_rate_d, betas)
        self.average = self._kept(AVERAGE, copy.deepcopy(self.generator).eval().requires_grad_(False))

    # -- a step

    def step(self, pairs: Pairs, step: int, rollbacks: int) -> None:
        """One update of the generator, and of the discriminator before it; adds to the totals."""
        config = self._config
        torch.manual_seed(step_seed(config.seed, DROPOUT_STREAM, rollbacks, step) + self._processes.rank)
        share = rate_share(config, step)
        self._set_rate(GENERATOR, config.learning_rate_g * share)
        if self.discriminator is not None:
            self._set_rate(DISCRIMINATOR, config.learning_rate_d * share)
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
        self._descend(GENERATOR, loss)
        update_average(self.average, self.generator, config.ema_decay, step)
        self._add(loss, l1, perceptual, adversarial, loss_d, accuracy)

    def _update_discriminator(
        self, given: torch.Tensor, real: torch.Tensor, fake: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.discriminator is not None  # noqa: S101  (called with one alone)
        with self._autocast():
            of_real = self.discriminator.features(given, real)[-1]
            of_fake = self.discriminator.features(given, fake)[-1]
        of_real, of_fake = of_real.float().flatten(), of_fake.float().flatten()
        loss = self._objective.discriminator_loss(of_real, of_fake, None)
        self._descend(DISCRIMINATOR, loss)
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

    # -- what comes out

    @torch.inference_mode()
    def draw(self, given: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Inputs (N, h, w, 3) uint8 through the averaged generator, in float32."""
        return to_uint8(self.average(self._on_device(given)))

    # -- how it is made

    def _enlarged(self, given: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Inputs at the side of targets, for a discriminator that looks at both."""
        if given.shape[-2:] == target.shape[-2:]:
            return given
        return nn.functional.interpolate(given, size=target.shape[-2:], mode="nearest")

    def _on_device(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
        return self._pixels(pictures).mul_(2 / 255).sub_(1)
