"""One step of training a swap: both people's faces through the shared encoder, each by its own decoder.

Both are taken in one pass, and one Adam minimises the sum of what both lose; the original takes turns with two optimizers,
which costs twice the passes. The variant `gan` adds a critic for each person, by the least-squares objective (Mao et al.
2016, arXiv 1611.04076).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from generators.base_game import ACCURACY, BaseGame, step_seed
from generators.faceswap.config import SwapConfig
from generators.faceswap.training.losses import edge_difference, ssim_map, total_variation, weighted_mean
from generators.faceswap.training.networks import PEOPLE, Critic, SwapNetwork, drawn
from generators.faceswap.training.warp_pairs import Pairs
from generators.objectives import LeastSquares
from generators.parallel import Processes

INIT_STREAM = 11
NETWORK, CRITICS = "network.", "critics."


class SwapGame(BaseGame):
    """Networks and optimizers on a device; totals sum what is reported until someone takes it."""

    TOTALS = ("loss", "ssim", "l1", "mask", "adversarial", ACCURACY)

    def __init__(self, config: SwapConfig, precision: str, processes: Processes) -> None:
        super().__init__(config, precision, processes)
        self._config, self._objective = config, LeastSquares()
        betas = (config.beta1, config.beta2)
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.network = self._learning(NETWORK, SwapNetwork(config), config.learning_rate, betas)
        self.critics: nn.ModuleList | None = None
        if config.variant == "gan":
            critics = nn.ModuleList(Critic(config) for _ in PEOPLE)
            self.critics = self._learning(CRITICS, critics, config.learning_rate, betas)

    # -- a step

    def step(self, source: Pairs, target: Pairs) -> None:
        """One update of encoder and decoders (and of the critics before it); adds to the totals."""
        config = self._config
        given = self._on_device(np.concatenate([source.warped, target.warped]))
        real = self._on_device(np.concatenate([source.target, target.target]))
        outline = self._on_device(np.concatenate([source.mask, target.mask])[..., None])
        with self._autocast():
            logits = self.network.both(given)
        face, mask_logits, alpha = drawn(logits, given)
        weights = config.background + (1 - config.background) * outline
        ssim = weighted_mean(ssim_map(face, real), weights)
        l1 = weighted_mean((face - real).abs(), weights)
        mask = F.binary_cross_entropy_with_logits(mask_logits, outline)
        loss = config.ssim_weight * (1 - ssim) + config.l1_weight * l1 + config.mask_weight * mask
        adversarial, accuracy = torch.zeros_like(loss), torch.full_like(loss, float("nan"))
        if self.critics is not None and alpha is not None:
            accuracy = self._update_critics(face.detach(), real, given)
            self.critics.requires_grad_(False)
            adversarial = self._objective.generator_loss(self._judged(face, given), None)
            self.critics.requires_grad_(True)
            loss = loss + config.adversarial_weight * adversarial
            loss = loss + config.edge_weight * edge_difference(face, real) + config.tv_weight * total_variation(alpha)
        self._descend(NETWORK, loss)
        self._add(loss, ssim, l1, mask, adversarial, accuracy)

    def _update_critics(self, fake: torch.Tensor, real: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        assert self.critics is not None  # noqa: S101  (called for `gan` alone)
        of_real, of_fake = self._judged(real, given), self._judged(fake, given)
        self._descend(CRITICS, self._objective.discriminator_loss(of_real, of_fake, None))
        with torch.no_grad():
            right_real = (self._objective.realness(of_real) > 0).float().mean()
            right_fake = (self._objective.realness(of_fake) < 0).float().mean()
        return (right_real + right_fake) / 2

    def _judged(self, faces: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """Each person's half of the batch by its critic: logits of patches."""
        assert self.critics is not None  # noqa: S101  (called for `gan` alone)
        with self._autocast():
            halves = zip(self.critics, faces.chunk(2), given.chunk(2), strict=True)
            return torch.cat([critic(face, seen) for critic, face, seen in halves]).float()

    # -- what comes out

    def draw(self, faces: NDArray[np.uint8], person: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Faces (N, P, P, 3) uint8 as that person's decoder draws them, and masks (N, P, P) uint8; in float32."""
        return draw(self.network, faces, person, self._device)

    def _on_device(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [0, 1]."""
        return self._pixels(pictures).div_(255)


@torch.inference_mode()
def draw(
    network: SwapNetwork, faces: NDArray[np.uint8], person: int, device: torch.device
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Faces (N, P, P, 3) uint8 as that person's decoder draws them, and masks (N, P, P) uint8; in float32."""
    x = torch.from_numpy(np.ascontiguousarray(faces)).to(device).permute(0, 3, 1, 2).float().div_(255)
    face, mask_logits, _ = drawn(network(x, person), x)
    out = torch.cat([face, torch.sigmoid(mask_logits)], 1)
    if not bool(torch.isfinite(out).all()):
        raise ValueError("pictures hold values that are not finite")
    values = out.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3])
