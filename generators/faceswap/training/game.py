"""One step of training a swap: both people's faces through the shared encoder, each by its own decoder.

Both are taken in one pass, and one Adam minimises the sum of what both lose; the original takes turns with two optimizers,
which costs twice the passes. The variant `gan` adds a critic for each person, by the least-squares objective (Mao et al.
2016, arXiv 1611.04076).
"""

import contextlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from generators.checkpoint import Tensors
from generators.faceswap.config import SwapConfig
from generators.faceswap.training.losses import edge_difference, ssim_map, total_variation, weighted_mean
from generators.faceswap.training.networks import PEOPLE, Critic, SwapNetwork, drawn
from generators.faceswap.training.warp_pairs import Pairs
from generators.game import DTYPES, step_seed
from generators.objectives import LeastSquares
from generators.optimizers import adam, load_tensors, tensors_of
from generators.parallel import Processes

INIT_STREAM = 11
NETWORK, CRITICS = "network.", "critics."
TOTALS = ("loss", "ssim", "l1", "mask", "adversarial", "accuracy")


class SwapGame:
    """Networks and optimizers on a device; totals sum what is reported until someone takes it."""

    def __init__(self, config: SwapConfig, precision: str, processes: Processes) -> None:
        self._config, self._processes, self._device = config, processes, processes.device
        self._dtype = DTYPES.get(precision)
        torch.manual_seed(step_seed(config.seed, INIT_STREAM, 0, 0))
        self.network = SwapNetwork(config)
        self._place(self.network)
        self.critics = nn.ModuleList(Critic(config) for _ in PEOPLE) if config.variant == "gan" else None
        betas = (config.beta1, config.beta2)
        self._optimizers = {NETWORK: adam(self.network, config.learning_rate, betas, self._device)}
        if self.critics is not None:
            self._place(self.critics)
            self._optimizers[CRITICS] = adam(self.critics, config.learning_rate, betas, self._device)
        is_half = precision == "float16"
        self._scalers = {name: torch.amp.GradScaler(self._device.type, enabled=is_half) for name in self._optimizers}
        self._objective = LeastSquares()
        self._totals = torch.zeros(len(TOTALS), device=self._device)
        self._n_totals = 0

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
        self._descend(NETWORK, self.network, loss)
        with torch.no_grad():
            self._totals += torch.stack([loss, ssim, l1, mask, adversarial, accuracy])
            self._n_totals += 1

    def _update_critics(self, fake: torch.Tensor, real: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        assert self.critics is not None  # noqa: S101  (called for `gan` alone)
        of_real, of_fake = self._judged(real, given), self._judged(fake, given)
        self._descend(CRITICS, self.critics, self._objective.discriminator_loss(of_real, of_fake, None))
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

    def _descend(self, name: str, network: nn.Module, loss: torch.Tensor) -> None:
        optimizer, scaler = self._optimizers[name], self._scalers[name]
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._processes.mean_gradients(network)
        scaler.step(optimizer)
        scaler.update()

    # -- what comes out

    def draw(self, faces: NDArray[np.uint8], person: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Faces (N, P, P, 3) uint8 as that person's decoder draws them, and masks (N, P, P) uint8; in float32."""
        return draw(self.network, faces, person, self._device)

    def take_totals(self) -> dict[str, float]:
        """Means of TOTALS since the last call, over all processes."""
        mean = self._processes.mean(self._totals / max(1, self._n_totals)).tolist()
        self._totals.zero_()
        self._n_totals = 0
        return dict(zip(TOTALS, mean, strict=True))

    def is_finite(self) -> bool:
        """Whether losses so far and all weights are numbers."""
        kept = [*self.network.parameters(), *(self.critics.parameters() if self.critics is not None else ())]
        finite = torch.stack([torch.isfinite(v).all() for v in (self._totals[:5], *kept)]).all()
        return not self._processes.any(not bool(finite))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and plain values from which `load_state` makes the same game again."""
        tensors = {f"{NETWORK}{n}": v for n, v in self.network.state_dict().items()}
        if self.critics is not None:
            tensors |= {f"{CRITICS}{n}": v for n, v in self.critics.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            tensors |= tensors_of(optimizer, f"optimizer.{name}")
        tensors["totals"] = self._totals.clone()
        scalers = {name: scaler.state_dict() for name, scaler in self._scalers.items()}
        return tensors, {"n_totals": self._n_totals, "scalers": scalers}

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        """Take up a state. Raises KeyError, ValueError or RuntimeError for one that does not fit."""
        for prefix, network in ((NETWORK, self.network), (CRITICS, self.critics)):
            if network is not None:
                network.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        for name, optimizer in self._optimizers.items():
            load_tensors(optimizer, tensors, f"optimizer.{name}")
            self._scalers[name].load_state_dict(plain["scalers"][name])
        self._totals.copy_(tensors["totals"])
        self._n_totals = int(plain["n_totals"])

    # -- how it is made

    def _place(self, network: nn.Module) -> None:
        layout = torch.channels_last if self._config.channels_last else torch.contiguous_format
        network.to(self._device).to(memory_format=layout)

    def _on_device(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [0, 1]."""
        x = torch.from_numpy(pictures).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return (x if self._config.channels_last else x.contiguous()).to(torch.float32).div_(255)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None)


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
