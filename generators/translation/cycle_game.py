"""One step of learning without pairs: there, back, and back and there again (`generators.networks.cyclegan`).

What a generator is to turn and what it is to leave as it is go through it together: instance normalisation looks at one
picture at a time, so that it is the same as one after the other. Pools of pictures drawn before are the same in all
processes.
"""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from forensics.common.seeds import rng_for
from generators.base_game import ACCURACY, DISCRIMINATOR, GENERATOR, BaseGame, step_seed, update_average
from generators.checkpoint import AVERAGE, Tensors
from generators.objectives import OBJECTIVES
from generators.parallel import Processes
from generators.pictures import to_uint8
from generators.translation.pairs import Pairs
from generators.translation.rates import rate_share
from generators.translation.replay import ReplayPool
from generators.translation_config import TranslationConfig
from generators.translator import BACK_AVERAGE, Critic, PictureNetwork, Translator

INIT_STREAM, REPLAY_STREAM = 43, 0x7A3
REPLAY = "replay."


class CycleGame(BaseGame):
    """Two generators, the critics of what they draw, and their pools; totals sum what is reported until someone takes it.

    forward draws pictures of the second set from those of the first, back the other way.
    """

    TOTALS = ("loss", "adversarial", "cycle", "identity", "loss_d", ACCURACY)

    def __init__(self, translator: Translator, config: TranslationConfig, precision: str, processes: Processes) -> None:
        super().__init__(config, precision, processes)
        self._config, self._objective = config, OBJECTIVES[config.objective]()
        self._share = processes.share(config.batch_size)
        betas = (config.beta1, config.beta2)
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.forward, self.back = translator.generator(config), translator.generator(config)
        self._learning(GENERATOR, nn.ModuleList([self.forward, self.back]), config.learning_rate_g, betas)
        self.critics = [translator.discriminator(config) for _ in range(2)]  # of the second set, and of the first
        self._critics = self._learning(DISCRIMINATOR, nn.ModuleList(self.critics), config.learning_rate_d, betas)
        self.averages: list[PictureNetwork] = [
            self._kept(prefix, copy.deepcopy(network).eval().requires_grad_(False))
            for prefix, network in ((AVERAGE, self.forward), (BACK_AVERAGE, self.back))
        ]
        picture = (3, config.image_px, config.image_px)
        self.pools = [ReplayPool(config.replay, picture, self._device) for _ in self.critics]

    # -- a step

    def step(self, pictures: Pairs, step: int, rollbacks: int) -> None:
        """One update of both generators, then one of both critics; adds to the totals.

        pictures: `given` of the first set, `target` of the second, which have nothing to do with each other.
        """
        config = self._config
        share = rate_share(config, step)
        self._set_rate(GENERATOR, config.learning_rate_g * share)
        self._set_rate(DISCRIMINATOR, config.learning_rate_d * share)
        first, second = self._on_device(pictures.given), self._on_device(pictures.target)
        drawn_second, same_second = self._passed(self.forward, first, second)
        drawn_first, same_first = self._passed(self.back, second, first)
        with self._autocast():
            first_again, second_again = self.back(drawn_second).float(), self.forward(drawn_first).float()
        cycle = (first_again - first).abs().mean() + (second_again - second).abs().mean()
        loss = config.cycle_weight * cycle
        identity = torch.zeros_like(cycle)
        if same_first is not None and same_second is not None:
            identity = (same_first - first).abs().mean() + (same_second - second).abs().mean()
            loss = loss + config.identity_weight * identity
        self._critics.requires_grad_(False)
        fakes = drawn_second, drawn_first
        judged = [self._judged(critic, fake) for critic, fake in zip(self.critics, fakes, strict=True)]
        adversarial = torch.stack([self._objective.generator_loss(logits, None) for logits in judged]).sum()
        self._critics.requires_grad_(True)
        loss = loss + config.adversarial_weight * adversarial
        self._descend(GENERATOR, loss)
        loss_d, accuracy = self._update_critics((second, first), fakes, step, rollbacks)
        for average, network in zip(self.averages, (self.forward, self.back), strict=True):
            update_average(average, network, config.ema_decay, step)
        self._add(loss, adversarial / 2, cycle / 2, identity / 2, loss_d / 2, accuracy)

    def _passed(
        self, network: PictureNetwork, from_there: torch.Tensor, own: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What it draws of the other set's pictures; and of those of its own, which it should leave, if that is asked."""
        if not self._config.identity_weight:
            with self._autocast():
                drawn: torch.Tensor = network(from_there)
            return drawn.float(), None
        with self._autocast():
            both = network(torch.cat([from_there, own]))
        drawn, same = both.float().tensor_split(2)
        return drawn, same

    def _judged(self, critic: Critic, pictures: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            logits = critic.features(pictures, pictures)[-1]
        return logits.float().flatten()

    def _update_critics(
        self, reals: tuple[torch.Tensor, ...], fakes: tuple[torch.Tensor, ...], step: int, rollbacks: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        losses, right = [], []
        for which, (critic, real, fake) in enumerate(zip(self.critics, reals, fakes, strict=True)):
            rng = rng_for(self._config.seed, REPLAY_STREAM, rollbacks, step, which)
            shown = self.pools[which].exchange(self._processes.gathered(fake.detach()), rng)[self._share]
            of_real, of_fake = self._judged(critic, real), self._judged(critic, shown)
            losses.append(self._objective.discriminator_loss(of_real, of_fake, None))
            right += [self._objective.realness(of_real) > 0, self._objective.realness(of_fake) < 0]
        loss = torch.stack(losses).sum()
        self._descend(DISCRIMINATOR, loss)
        return loss.detach(), torch.cat(right).float().mean()

    # -- what comes out

    @torch.inference_mode()
    def draw(self, pictures: NDArray[np.uint8], is_back: bool = False) -> NDArray[np.uint8]:
        """Pictures (N, S, S, 3) uint8 of the first set (back: of the second) through the averaged generator, in float32."""
        return to_uint8(self.averages[is_back](self._on_device(pictures)))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, plain = super().state()
        tensors |= {f"{REPLAY}{which}": pool.pictures for which, pool in enumerate(self.pools)}
        return tensors, {**plain, "replayed": [pool.count for pool in self.pools]}

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        super().load_state(tensors, plain)
        for which, pool in enumerate(self.pools):
            pool.pictures.copy_(tensors[f"{REPLAY}{which}"])
            pool.count = int(plain["replayed"][which])

    def _on_device(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """(N, S, S, 3) uint8 -> (N, 3, S, S) float32 in [-1, 1]."""
        return self._pixels(pictures).mul_(2 / 255).sub_(1)
