"""FGSM and projected gradient ascent on one batch of pictures of equal size.

Gradients are taken with respect to the pixels only. Each picture's random numbers come from its own key, so that neither
its place nor its companions in the batch matter (beyond the last bits in which a network's own batches differ).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from eval.attacks.kinds import Attack, Logits
from eval.attacks.transforms import through_channel
from forensics.common.errors import DetectorError
from forensics.common.seeds import rng_for

LEVELS = 255.0
Threshold = float | torch.Tensor
# Streams of random numbers: of starts, of the transformations of each step, of the control without gradient.
START_STREAM, TRANSFORM_STREAM, NOISE_STREAM = 1, 2, 3
# Below this a gradient is nothing but rounding; it also keeps zero from being divided by zero.
TINY = 1e-30


def ascend(
    logits: Logits,
    originals: torch.Tensor,
    labels: torch.Tensor,
    attack: Attack,
    keys: Sequence[int],
    threshold: Threshold = 0.0,
) -> torch.Tensor:
    """Adversarial versions of a batch, (N, 3, H, W) float32 in [0, 1], within epsilon of it up to float rounding.

    originals: (N, 3, H, W) float32, 8-bit levels over 255. labels: (N,), 1 = fake. keys: one per picture, what its random
    numbers derive from. threshold: the logit at which the call changes, or (N,) of them. Epsilon 0 gives the originals
    back. Raises DetectorError where a logit is not a number, ValueError for a network that is not in evaluation mode.
    """
    if isinstance(logits, torch.nn.Module) and logits.training:
        raise ValueError("the network is in training mode: call eval() first")
    if attack.epsilon == 0 or len(originals) == 0:
        return originals.clone()
    if attack.kind.is_on_grid and attack.epsilon < 1:
        return originals.clone()  # no other 8-bit picture is that near
    if not attack.kind.follows_gradient:
        return _project(originals + _signs(originals, attack, keys) * attack.epsilon / LEVELS, originals, attack)
    chosen, chosen_margin = originals.clone(), torch.full((len(originals),), -math.inf, device=originals.device)
    if attack.kind.keeps_best:  # never worse than the picture as it is
        with torch.no_grad():
            chosen_margin = fooling_margin(checked_logits(logits, originals), labels, threshold)
    for restart in range(attack.restarts):
        picture = _start(originals, attack, keys, restart)
        for step in range(attack.steps):
            gradient, margin = _direction(logits, picture, labels, attack, keys, (restart, step), threshold)
            if attack.kind.keeps_best:
                chosen, chosen_margin = _better(chosen, chosen_margin, picture, margin)
            picture = _project(_step(picture, gradient, attack), originals, attack)
        if attack.kind.keeps_best or attack.restarts > 1:
            chosen, chosen_margin = _better(
                chosen, chosen_margin, picture, _final_margin(logits, picture, labels, attack, keys, restart, threshold)
            )
        else:
            chosen = picture
    return chosen


def fooling_margin(logits: torch.Tensor, labels: torch.Tensor, threshold: Threshold = 0.0) -> torch.Tensor:
    """How far each logit is on the wrong side of the threshold, (N,): positive = the detector is fooled."""
    return torch.where(labels == 1, -1.0, 1.0) * (logits - threshold)


def checked_logits(logits: Logits, pictures: torch.Tensor) -> torch.Tensor:
    """(N,) logits on the pictures' device. Raises DetectorError for another shape or values that are not numbers."""
    values = logits(pictures).to(pictures.device)
    if values.shape != (len(pictures),) or not bool(torch.isfinite(values).all()):
        raise DetectorError(
            f"the detector gave {tuple(values.shape)} logits for {len(pictures)} pictures, or some that are not numbers",
            "logits(x) should map (N, 3, H, W) in [0, 1] to (N,) finite values",
        )
    return values


def _direction(
    logits: Logits,
    picture: torch.Tensor,
    labels: torch.Tensor,
    attack: Attack,
    keys: Sequence[int],
    moment: tuple[int, int],
    threshold: Threshold,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient in which the detector errs more, (N, 3, H, W), and the margin of each picture, (N,)."""
    if attack.draws == 1:
        with torch.enable_grad():
            x = picture.detach().requires_grad_(True)
            margin = fooling_margin(checked_logits(logits, x), labels, threshold)
            (gradient,) = torch.autograd.grad(margin.sum(), x)
        return gradient, margin.detach()
    total, margins = torch.zeros_like(picture), torch.zeros(len(picture), device=picture.device)
    for draw in range(attack.draws):
        rngs = [rng_for(attack.seed, TRANSFORM_STREAM, key, *moment, draw) for key in keys]
        with torch.enable_grad():
            x = picture.detach().requires_grad_(True)
            seen = torch.cat([through_channel(x[i : i + 1], draw, rng) for i, rng in enumerate(rngs)])
            margin = fooling_margin(checked_logits(logits, seen), labels, threshold)
            # Loss against the other class: it pulls hardest by the draws that are not fooled yet.
            (gradient,) = torch.autograd.grad(-F.softplus(-margin).sum(), x)
        total += gradient
        margins += margin.detach() / attack.draws
    return total, margins


def _final_margin(
    logits: Logits,
    picture: torch.Tensor,
    labels: torch.Tensor,
    attack: Attack,
    keys: Sequence[int],
    restart: int,
    threshold: Threshold,
) -> torch.Tensor:
    if attack.draws > 1:
        # The same transformations for all restarts, so that they are compared on equal terms.
        return _direction(logits, picture, labels, attack, keys, (0, attack.steps), threshold)[1]
    with torch.no_grad():
        return fooling_margin(checked_logits(logits, picture), labels, threshold)


def _start(originals: torch.Tensor, attack: Attack, keys: Sequence[int], restart: int) -> torch.Tensor:
    """Uniform in the ball (L-inf), or in a random direction at a uniform share of its radius (L2)."""
    if not attack.kind.starts_at_random:
        return originals.clone()
    shape = tuple(originals.shape[1:])
    noise = np.empty(tuple(originals.shape), np.float32)
    for i, key in enumerate(keys):
        rng = rng_for(attack.seed, START_STREAM, key, restart)
        if attack.kind.norm == "l2":
            direction = rng.standard_normal(shape)
            noise[i] = direction / np.sqrt(np.mean(direction**2)) * rng.uniform(0, attack.epsilon)
        elif attack.kind.is_on_grid:
            noise[i] = rng.integers(-int(attack.epsilon), int(attack.epsilon), shape, endpoint=True)
        else:
            noise[i] = rng.uniform(-attack.epsilon, attack.epsilon, shape)
    return _project(originals + torch.from_numpy(noise).to(originals.device) / LEVELS, originals, attack)


def _signs(originals: torch.Tensor, attack: Attack, keys: Sequence[int]) -> torch.Tensor:
    """-1 or 1 per value."""
    shape = tuple(originals.shape[1:])
    signs = [rng_for(attack.seed, NOISE_STREAM, key, 1).integers(0, 2, shape) * 2 - 1 for key in keys]
    return torch.from_numpy(np.stack(signs).astype(np.float32)).to(originals.device)


def _step(picture: torch.Tensor, gradient: torch.Tensor, attack: Attack) -> torch.Tensor:
    size = attack.step_size / LEVELS
    if attack.kind.norm == "l2":
        rms = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(TINY)
        return picture + size * gradient / rms
    if attack.kind.is_on_grid:
        size = max(1, round(attack.step_size)) / LEVELS
    return picture + size * gradient.sign()


def _project(picture: torch.Tensor, originals: torch.Tensor, attack: Attack) -> torch.Tensor:
    """The nearest picture inside the ball and inside [0, 1]; on the 8-bit grid for attacks that live there."""
    change = picture - originals
    if attack.kind.norm == "l2":
        rms = change.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(TINY)
        change = change * (attack.epsilon / LEVELS / rms).clamp_max(1.0)
    else:
        epsilon = math.floor(attack.epsilon) if attack.kind.is_on_grid else attack.epsilon
        change = change.clamp(-epsilon / LEVELS, epsilon / LEVELS)
    projected = (originals + change).clamp(0.0, 1.0)
    return (projected * LEVELS).round() / LEVELS if attack.kind.is_on_grid else projected


def _better(
    best: torch.Tensor, best_margin: torch.Tensor, picture: torch.Tensor, margin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    is_better = margin > best_margin
    return torch.where(is_better[:, None, None, None], picture, best), torch.where(is_better, margin, best_margin)
