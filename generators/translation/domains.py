"""Two sets of pictures without pairs, by step: cut and mirrored the same way on every run.

    two folders   the first turns into the second
    --make        of every other picture a drawing (`degradations.making`) is one of the second set; the pictures between
                  are the first set, so that no step sees a picture and its own drawing

All that is random is a function of (seed, rollbacks, step), so that a resumed run needs no state to go on.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forensics.common.seeds import rng_for
from generators.data.order import batch_indices
from generators.data.pictures import Pictures
from generators.translation.degradations import Maker
from generators.translation.pairs import Pairs, cutting, maker_of, middle
from generators.translation_config import TranslationConfig

DOMAIN_STREAM, ORDER_STREAM, JUDGED_STREAM = 0x7B1, 0x7B2, 0x7B3


@dataclass(frozen=True, eq=False)
class Domains:
    """Pictures of the first set, and of the second, or what these are made of."""

    first: Pictures
    second: Pictures

    def __len__(self) -> int:
        """How many pictures of both sets can be judged: of each as many."""
        return min(len(self.first), len(self.second))


@dataclass(frozen=True, eq=False)
class Judged:
    """What figures are measured on, (N, S, S, 3) uint8 each; has_truth: `second` is what `first` is to become."""

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    has_truth: bool


def endless(
    domains: Domains, config: TranslationConfig, step: int, rollbacks: int, share: slice, pool: Executor
) -> Iterator[Pairs]:
    """Pictures of `step` and of all steps after it, `given` of the first set and `target` of the second; of a batch over
    all processes, the rows of this one. Each set is gone through in an order of its own."""
    maker = maker_of(config)
    begin = share.start or 0
    seeds = [int(rng_for(config.seed, ORDER_STREAM, which).integers(1 << 32)) for which in range(2)]
    while True:
        sets = []
        for which, (pictures, order) in enumerate(zip((domains.first, domains.second), seeds, strict=True)):
            chosen = batch_indices(len(pictures), config.batch_size, step, order)[share]
            draws = [
                rng_for(config.seed, DOMAIN_STREAM, rollbacks, step, which, begin + row) for row in range(len(chosen))
            ]
            jobs = [
                pool.submit(_cut, picture, rng, config, maker if which else None)
                for picture, rng in zip(pictures.batch(chosen), draws, strict=True)
            ]
            sets.append(np.stack([job.result() for job in jobs]))
        yield Pairs(*sets)
        step += 1


def _cut(
    picture: NDArray[np.uint8], rng: np.random.Generator, config: TranslationConfig, maker: Maker | None
) -> NDArray[np.uint8]:
    square = cutting(picture.shape[0], config, rng)(picture)
    return maker(square, rng) if maker is not None else square


def judged(domains: Domains, config: TranslationConfig, indices: list[int]) -> Judged:
    """The middles of these pictures, the same on every call. Of a made set: those of the first, and what they become."""
    maker = maker_of(config, is_judged=True)
    first = [middle(domains.first.batch(np.array([index]))[0], config.image_px) for index in indices]
    if maker is not None:
        second = [
            maker(square, rng_for(config.seed, JUDGED_STREAM, index))
            for square, index in zip(first, indices, strict=True)
        ]
    else:
        second = [middle(domains.second.batch(np.array([index]))[0], config.image_px) for index in indices]
    return Judged(np.stack(first), np.stack(second), maker is not None)
