"""Attacks on a list of 8-bit pictures of any sizes: grouped, batched, quantised."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from eval.attacks.gradient import ascend, checked_logits
from eval.attacks.kinds import Attack, Logits
from eval.attacks.quantisation import Picture, quantise

CPU = torch.device("cpu")
# Large enough to fill two cores.
BATCH = 16
# An attack needs some 140 bytes per pixel of its batch (measured: PGD, 16 pictures of 1024 x 1024, 2.3 GB), so 600 MB here,
# beside what a network needs at its own size.
MAX_BATCH_PIXELS = 1 << 22


@dataclass(frozen=True, eq=False)
class Crafted:
    """An adversarial picture: what is saved, and the logit of what the attack ended with, before any rounding."""

    pixels: Picture
    logit_in_memory: float


def craft_pictures(
    logits: Logits,
    pictures: Sequence[Picture],
    labels: Sequence[int],
    keys: Sequence[int],
    attack: Attack,
    threshold: float | Sequence[float] = 0.0,
    batch: int = BATCH,
    device: torch.device = CPU,
    on_done: Callable[[int], None] = lambda _count: None,
) -> list[Crafted]:
    """Adversarial versions in the order of `pictures`, each (H, W, 3) uint8 within epsilon of its original.

    labels: 1 = fake. keys: one per picture, what its random numbers derive from. threshold: the logit at which the call
    changes, or one per picture. Not for `patch`, which is trained first (`train_patch`). Raises as `ascend` does.
    """
    if attack.kind.norm == "area":
        raise ValueError("a universal patch is trained by train_patch and applied by apply_patch")
    crafted: list[Crafted | None] = [None] * len(pictures)
    thresholds = per_picture(threshold, len(pictures), device)
    for indices in batches_by_size(pictures, batch):
        originals = to_batch([pictures[i] for i in indices], device)
        chosen = torch.tensor([labels[i] for i in indices], device=device)
        adversarial = ascend(logits, originals, chosen, attack, [keys[i] for i in indices], thresholds[indices])
        with torch.no_grad():
            values = checked_logits(logits, adversarial).cpu().tolist()
        for i, picture, value in zip(indices, adversarial, values, strict=True):
            floats = picture.permute(1, 2, 0).cpu().numpy()
            crafted[i] = Crafted(quantise(floats, pictures[i], attack.epsilon, attack.kind.norm), value)
        on_done(len(indices))
    return [one for one in crafted if one is not None]


def logits_of(
    logits: Logits, pictures: Sequence[Picture], batch: int = BATCH, device: torch.device = CPU
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Logits (N,) of 8-bit pictures of any sizes."""
    values = np.zeros(len(pictures))
    for indices in batches_by_size(pictures, batch):
        with torch.no_grad():
            found = checked_logits(logits, to_batch([pictures[i] for i in indices], device))
        values[indices] = found.double().cpu().numpy()
    return values


def batches_by_size(pictures: Sequence[Picture], batch: int) -> Iterator[list[int]]:
    """Indices of pictures of one size, at most `batch` at a time and fewer large ones (see MAX_BATCH_PIXELS), sizes in the
    order in which they first appear."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(picture.shape, []).append(index)
    for (height, width, *_), indices in groups.items():
        n = max(1, min(batch, MAX_BATCH_PIXELS // (height * width)))
        for start in range(0, len(indices), n):
            yield indices[start : start + n]


def per_picture(threshold: float | Sequence[float], n: int, device: torch.device = CPU) -> torch.Tensor:
    """One threshold for each of n pictures, (n,) float32."""
    return torch.from_numpy(np.broadcast_to(np.asarray(threshold, np.float32), (n,)).copy()).to(device)


def to_batch(pictures: Sequence[Picture], device: torch.device = CPU) -> torch.Tensor:
    """Pictures of one size -> (N, 3, H, W) float32, levels over 255."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 255.0
