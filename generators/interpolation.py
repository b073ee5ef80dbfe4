"""What lies between samples: pictures along arcs between latents.

Spherical linear interpolation (Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985; for latents: White
2016, arXiv 1609.04468). The straight line between two Gaussian latents passes nearer to the origin than any sample does,
where a generator was never trained; the arc keeps their length.
A conditional system keeps its class along the way: what lies between two classes is not part of what it learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from generators.checkpoint import LoadedGenerator
from generators.drawing import Labels, Latents, draw_latents, labels_of, render
from generators.pictures import Picture

# Below this sine of the angle two directions are one (or opposite), and the arc between them is not determined.
SMALLEST_SINE = 1e-6
# Pictures in a row of the strip, at most: two keyframes and what lies between.
STRIP_COLUMNS = 9
# Frames of a path: 13 minutes at 25 a second.
MOST_FRAMES = 20_000

Frames = NDArray[np.int64]  # indices into a path


@dataclass(frozen=True)
class Place:
    """A sample: the index-th latent of a seed."""

    seed: int
    index: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """From SEED/INDEX, or INDEX alone for seed 0. Raises UsageError."""
        seed, slash, index = text.rpartition("/")
        if not index.isdecimal() or (slash and not seed.isdecimal()):
            raise UsageError(f"'{text}' is not the place of a sample", "SEED/INDEX, such as 0/17")
        return cls(int(seed or 0), int(index))


def slerp(a: Latents, b: Latents, t: float) -> Latents:
    """The latent at t in [0, 1] on the arc from a to b, all (latent,): sin((1-t)w)/sin(w) a + sin(tw)/sin(w) b.

    w: the angle between them. Parallel and opposite latents have no arc, and a straight line is taken. Ends are exact.
    """
    if t in (0, 1):
        return np.asarray(b if t else a, np.float32)
    u, v = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    angle = float(np.arccos(np.clip(u @ v / lengths, -1, 1))) if lengths > 0 else 0.0
    sine = np.sin(angle)
    if sine < SMALLEST_SINE:
        return np.asarray((1 - t) * u + t * v, np.float32)
    return np.asarray((np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / sine, np.float32)


def keyframes(
    loaded: LoadedGenerator,
    n: int,
    seed: int,
    first: Place | None = None,
    last: Place | None = None,
    truncation: float | None = None,
) -> Latents:
    """(n, latent): the seed's first n latents, the ends replaced by given places. Raises UsageError for n < 2."""
    if n < 2:
        raise UsageError(f"{n} keyframes have nothing between them", "--keyframes 2 or more")
    latents = draw_latents(n, loaded.config.latent, seed, truncation)
    for row, place in ((0, first), (n - 1, last)):
        if place is not None:
            latents[row] = draw_latents(1, loaded.config.latent, place.seed, truncation, place.index)[0]
    return latents


def path_between(keys: Latents, frames_per_step: int, loop: bool) -> Latents:
    """Latents from key to key, each step in equal parts of its arc.

    (K, latent) -> ((K - 1) * frames_per_step + 1, latent); a loop returns to the first key and leaves its second showing
    out: K * frames_per_step. Raises UsageError for more than MOST_FRAMES.
    """
    if len(keys) * frames_per_step > MOST_FRAMES:
        raise UsageError(
            f"{len(keys)} keyframes with {frames_per_step} frames a step are more than {MOST_FRAMES} frames",
            "fewer --keyframes or --frames-per-step",
        )
    ends = [*range(1, len(keys)), *([0] if loop else [])]
    path = [
        slerp(keys[k], keys[end], t / frames_per_step) for k, end in enumerate(ends) for t in range(frames_per_step)
    ]
    return np.stack(path if loop else [*path, keys[-1]])


def frames_along(loaded: LoadedGenerator, path: Latents, label: int | None) -> Iterator[Picture]:
    """A picture (H, W, 3) uint8 RGB per latent; a conditional system draws class `label`, its first one without it."""
    for batch in render(loaded, path, fixed_labels(loaded, len(path), label)):
        yield from batch


def fixed_labels(loaded: LoadedGenerator, n: int, label: int | None) -> Labels | None:
    """One class for all frames."""
    return labels_of(loaded, np.zeros(n, np.int64), label or 0)


def shown_in_strip(n_steps: int, frames_per_step: int, loop: bool) -> Frames:
    """(n_steps, columns) int64: which frames of `path_between` a strip shows, a row from keyframe to keyframe."""
    columns = min(STRIP_COLUMNS, frames_per_step + 1)
    places = np.linspace(0, frames_per_step, columns).round().astype(np.int64)
    shown = frames_per_step * np.arange(n_steps)[:, None] + places
    return shown % (n_steps * frames_per_step) if loop else shown
