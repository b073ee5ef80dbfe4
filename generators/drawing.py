"""Latents, and the pictures that a trained generator draws of them.

The i-th sample of a seed is a function of the checkpoint, the seed and i alone, whatever else is drawn with it: latents
have a stream each, and networks always see batches of BATCH rows, because the last bits of a convolution depend on the
size of the batch. On one kind of device with the same libraries the bytes repeat.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from forensics.common.errors import UsageError
from forensics.common.seeds import rng_for
from generators.checkpoint import LoadedGenerator
from generators.pictures import Pictures, to_uint8

# Of the seed's streams, the one of latents ("z"): training's own draws are others.
LATENT_STREAM = 0x7A
# Half of the smallest step of numpy's uniforms: their 0 has no quantile.
SMALLEST_UNIFORM = 2.0**-54
# Rows that a network sees at a time. Part of the recipe of the samples: another number changes their last bits.
BATCH = 32

Latents = NDArray[np.float32]  # (N, latent)
Labels = NDArray[np.int64]  # (N,)


def draw_latents(n: int, latent: int, seed: int, truncation: float | None = None, start: int = 0) -> Latents:
    """(n, latent) float32, rows `start` to `start + n` of the seed's endless list: row i is a function of (seed, i) alone.

    Standard normal by its quantiles; with a truncation t > 0, normal on [-t, t], the distribution that redrawing every
    |z| > t gives (Brock et al. 2018, arXiv 1809.11096, section 3.1). Both come from the same uniforms: the picture of row
    i with truncation is a more ordinary one of what it is without.
    """
    if truncation is not None and not truncation > 0:
        raise UsageError(f"a truncation of {truncation} leaves no latents", "a number above 0, such as 0.5")
    uniforms = np.empty((n, latent), np.float64)
    for row in range(n):
        uniforms[row] = rng_for(seed, LATENT_STREAM, start + row).random(latent)
    low, high = (0.0, 1.0) if truncation is None else (ndtr(-truncation), ndtr(truncation))
    z = ndtri(low + (high - low) * np.maximum(uniforms, SMALLEST_UNIFORM))
    if truncation is not None:
        np.clip(z, -truncation, truncation, out=z)
    return np.asarray(z, np.float32)


def draw_pictures(
    loaded: LoadedGenerator,
    n: int,
    seed: int,
    *,
    start: int = 0,
    truncation: float | None = None,
    label: int | None = None,
) -> Iterator[Pictures]:
    """Samples `start` to `start + n` of the seed, (B, H, W, 3) uint8 RGB, B at most BATCH.

    label: the class (of MAD-GAN: the generator) of all; without it sample i has the (i modulo their number)-th.
    Raises UsageError for a generator whose pictures hold values that are not finite.
    """
    end = start + n
    for first in range(start - start % BATCH, end, BATCH):  # aligned, so that a sample always has the same row
        z = draw_latents(BATCH, loaded.config.latent, seed, truncation, first)
        y = labels_of(loaded, np.arange(first, first + BATCH), label)
        yield _forward(loaded, z, y)[max(0, start - first) : end - first]


def render(loaded: LoadedGenerator, z: Latents, y: Labels | None) -> Iterator[Pictures]:
    """The pictures of given latents, in order, (B, H, W, 3) uint8 RGB, B at most BATCH; y as `labels_of` gives it."""
    for first in range(0, len(z), BATCH):
        part = z[first : first + BATCH]
        fill = np.zeros(BATCH - len(part), np.int64)  # the first latent again: what fills the batch is thrown away
        filled = np.concatenate([part, z[fill]])
        labels = None if y is None else np.concatenate([y[first : first + BATCH], y[fill]])
        yield _forward(loaded, filled, labels)[: len(part)]


def n_labels(loaded: LoadedGenerator) -> int:
    """Classes of a conditional system, generators of MAD-GAN, 0 for a system without condition."""
    if loaded.system.condition == "class":
        return loaded.config.classes or len(loaded.class_names)
    return loaded.config.generators if loaded.system.condition == "generator" else 0


def labels_of(loaded: LoadedGenerator, indices: Labels, label: int | None = None) -> Labels | None:
    """The second input of the network for samples of these indices: `label`, or all in turn; None where it takes none."""
    n = n_labels(loaded)
    if n == 0:
        return None
    return np.asarray(indices % n if label is None else np.full(len(indices), label), np.int64)


def label_named(loaded: LoadedGenerator, name: str) -> int:
    """A class by its name or number, a generator of MAD-GAN by its number. Raises UsageError for another."""
    n = n_labels(loaded)
    if n == 0:
        raise UsageError(f"{loaded.system.name} draws without classes", "leave --class out")
    if name in loaded.class_names:
        return loaded.class_names.index(name)
    if name.isdecimal() and int(name) < n:
        return int(name)
    known = ", ".join(loaded.class_names) or f"0 to {n - 1}"
    raise UsageError(f"the generator has no class '{name}'", f"one of: {known}")


def label_text(loaded: LoadedGenerator, label: int) -> str:
    """What a manifest says of a label: the class's name where it has one."""
    is_named = loaded.system.condition == "class" and label < len(loaded.class_names)
    return loaded.class_names[label] if is_named else str(label)


@torch.inference_mode()
def _forward(loaded: LoadedGenerator, z: Latents, y: Labels | None) -> Pictures:
    device = next(loaded.network.parameters()).device
    pictures = loaded.network(torch.from_numpy(z).to(device), None if y is None else torch.from_numpy(y).to(device))
    try:
        return to_uint8(pictures)
    except ValueError as error:
        raise UsageError(
            f"the generator of {loaded.system.name} draws values that are not finite (step {loaded.step})",
            "its training went wrong: take an earlier checkpoint",
        ) from error
