"""One universal square patch that fools the detector on any picture it is pasted on.

Brown et al. 2017 (Adversarial Patch, arXiv 1712.09665); on detectors of synthetic faces Carlini and Farid 2020, arXiv
2004.00622. The patch is trained by Adam on pictures of one class to reach the other; both classes attacked need two
patches. It has the size of `epsilon` percent of each picture's area, rounded down, and lies at one place relative to the
picture: where the detector's gradient is strongest over the training pictures, or, on request, anywhere.
Limits: it is visible; it is measured on the pictures that it was trained on unless these are many.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from eval.attacks.gradient import checked_logits, fooling_margin
from eval.attacks.kinds import Attack, Logits
from eval.attacks.pictures import BATCH, CPU, batches_by_size, per_picture, to_batch
from eval.attacks.quantisation import Picture
from forensics.common.errors import UsageError
from forensics.common.seeds import rng_for

# Pictures that are looked at to find the place, and the cells a side in which it is sought.
SALIENCY_PICTURES = 64
SALIENCY_CELLS = 50
ORDER_STREAM, PLACE_STREAM, CONTENT_STREAM = 11, 12, 13
# Gradients of a single-pixel patch are noise.
MIN_SIDE_PX = 2


@dataclass(frozen=True, eq=False)
class Patch:
    """pixels: (P, P, 3) uint8. percent: of a picture's area. place: (y, x) in [0, 1] of the way that the patch can move
    down and right; None: anywhere, by each picture's key."""

    pixels: Picture
    percent: float
    place: tuple[float, float] | None
    seed: int


def side_px(height: int, width: int, percent: float) -> int:
    """Side of the largest square on at most `percent` of the area, within the picture."""
    return min(math.isqrt(int(percent / 100.0 * height * width)), height, width)


def train_patch(
    logits: Logits,
    pictures: Sequence[Picture],
    label: int,
    keys: Sequence[int],
    attack: Attack,
    threshold: float | Sequence[float] = 0.0,
    batch: int = BATCH,
    device: torch.device = CPU,
    on_step: Callable[[int], None] = lambda _count: None,
) -> Patch:
    """A patch that moves pictures of one class (label 1 = fake) over the threshold (a logit, or one each) to the other.

    attack.steps: optimisation steps of one batch each; attack.epsilon: percent of the area. Raises UsageError where the
    pictures are so small that the patch would have no two pixels a side, or there are none.
    """
    sides = [side_px(picture.shape[0], picture.shape[1], attack.epsilon) for picture in pictures]
    if not sides or min(sides) < MIN_SIDE_PX:
        raise UsageError(
            f"a patch on {attack.epsilon:g} % of the area is smaller than {MIN_SIDE_PX} pixels",
            "larger pictures, or a larger share with --patch-percent",
        )
    place = _salient_place(logits, pictures, label, attack, batch, device) if attack.place == "salient" else None
    side = int(np.median(sides))
    rng = rng_for(attack.seed, CONTENT_STREAM, label)
    content = torch.from_numpy(rng.uniform(0, 1, (1, 3, side, side)).astype(np.float32)).to(device).requires_grad_(True)
    optimiser = torch.optim.Adam([content], lr=attack.step_size)
    batches = list(batches_by_size(pictures, batch))
    weights = np.array([len(indices) for indices in batches], np.float64) / len(pictures)
    order, thresholds = rng_for(attack.seed, ORDER_STREAM, label), per_picture(threshold, len(pictures), device)
    for step in range(attack.steps):
        indices = batches[order.choice(len(batches), p=weights)]
        originals = to_batch([pictures[i] for i in indices], device)
        places = [_place_of(place, attack.seed, keys[i], step) for i in indices]
        patched = _paste(originals, content, attack.epsilon, places)
        margin = fooling_margin(
            checked_logits(logits, patched), torch.full((len(indices),), label, device=device), thresholds[indices]
        )
        # Against the other class: pictures that are fooled already pull no more.
        (gradient,) = torch.autograd.grad(F.softplus(-margin).mean(), content)
        content.grad = gradient
        optimiser.step()
        with torch.no_grad():
            content.clamp_(0.0, 1.0)
        on_step(1)
    pixels = (content.detach()[0].permute(1, 2, 0).cpu().numpy() * 255.0).round().astype(np.uint8)
    return Patch(pixels, attack.epsilon, place, attack.seed)


def apply_patch(picture: Picture, patch: Patch, key: int) -> Picture:
    """The picture, (H, W, 3) uint8, with the patch on it; `key` decides the place where it is anywhere."""
    place = _place_of(patch.place, patch.seed, key, 0)
    patched = _paste(to_batch([picture]), to_batch([patch.pixels]), patch.percent, [place])
    return np.asarray((patched[0].permute(1, 2, 0).numpy() * 255.0).round(), np.uint8)


def _paste(
    originals: torch.Tensor, content: torch.Tensor, percent: float, places: Sequence[tuple[float, float]]
) -> torch.Tensor:
    """Patched copies of (N, 3, H, W); differentiable in content (1, 3, P, P)."""
    height, width = originals.shape[-2:]
    side = side_px(height, width, percent)
    if side == 0:
        return originals.clone()
    fitted = (
        content if content.shape[-1] == side else F.interpolate(content, (side, side), mode="bilinear", antialias=True)
    )
    patched = originals.clone()
    for i, (y, x) in enumerate(places):
        top, left = round(y * (height - side)), round(x * (width - side))
        patched[i, :, top : top + side, left : left + side] = fitted[0].clamp(0.0, 1.0)
    return patched


def _place_of(place: tuple[float, float] | None, seed: int, key: int, step: int) -> tuple[float, float]:
    if place is not None:
        return place
    y, x = rng_for(seed, PLACE_STREAM, key, step, 1).uniform(0, 1, 2)
    return float(y), float(x)


def _salient_place(
    logits: Logits, pictures: Sequence[Picture], label: int, attack: Attack, batch: int, device: torch.device
) -> tuple[float, float]:
    """Where the gradient's mean magnitude over a square of the patch's size is greatest, over all pictures."""
    total = torch.zeros(1, 1, SALIENCY_CELLS, SALIENCY_CELLS)
    for indices in batches_by_size(pictures[:SALIENCY_PICTURES], batch):
        x = to_batch([pictures[i] for i in indices], device).requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(checked_logits(logits, x).sum(), x)
        per_picture = gradient.abs().mean(1, keepdim=True)
        per_picture /= per_picture.mean((1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        total += F.adaptive_avg_pool2d(per_picture, SALIENCY_CELLS).sum(0, keepdim=True).cpu()
    window = max(1, round(SALIENCY_CELLS * math.sqrt(attack.epsilon / 100.0)))
    mean = F.avg_pool2d(total, window, stride=1)[0, 0]
    row, column = divmod(int(mean.argmax()), mean.shape[1])
    free = max(1, SALIENCY_CELLS - window)
    return row / free, column / free
