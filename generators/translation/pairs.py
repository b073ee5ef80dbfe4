"""Pairs of input and target, by step: cut, mirrored and degraded the same way on every run.

    made   the target is a picture, the input what a maker makes of it (restore, srgan, pix2pix --make)
    given  two folders whose files have the same names, or files that hold both, one half beside the other

All that is random is a function of (seed, rollbacks, step), so that a resumed run needs no state to go on.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from forensics.common.seeds import rng_for
from generators.data.order import batch_indices
from generators.data.pictures import Pictures
from generators.translation.degradations import STRENGTHS, Maker, degrading, making, reduced
from generators.translation_config import TranslationConfig

CUT_STREAM, JUDGED_STREAM = 0x7A1, 0x7A2
FLIP_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Pairs:
    """given (N, h, w, 3) and target (N, scale h, scale w, 3), uint8 RGB."""

    given: NDArray[np.uint8]
    target: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Source:
    """Where pairs come from: pictures that are targets, and their inputs in the same order where they are given."""

    targets: Pictures
    inputs: Pictures | None = None

    def __len__(self) -> int:
        return len(self.targets)


def maker_of(config: TranslationConfig, is_judged: bool = False) -> Maker | None:
    """What inputs are made by; None for pairs that are given and for a mere reduction.

    is_judged: at the strength that figures are measured at.
    """
    if config.task != "none":
        if is_judged:
            judged = config.judged or STRENGTHS[config.task].judged
            return degrading(config.task, judged, judged)
        return degrading(config.task, config.weakest, config.strongest)
    return making(config.make) if config.make != "none" else None


def endless(
    source: Source, config: TranslationConfig, step: int, rollbacks: int, share: slice, pool: Executor
) -> Iterator[Pairs]:
    """The pairs of `step` and of all steps after it; of a batch over all processes, the rows of this one."""
    maker = maker_of(config)
    first = share.start or 0
    while True:
        chosen = batch_indices(len(source), config.batch_size, step, config.seed)[share]
        targets = source.targets.batch(chosen)
        inputs = source.inputs.batch(chosen) if source.inputs is not None else None
        draws = [rng_for(config.seed, CUT_STREAM, rollbacks, step, first + row) for row in range(len(chosen))]
        given = [None] * len(chosen) if inputs is None else list(inputs)
        yield _stacked(list(pool.map(partial(_pair, config=config, maker=maker), targets, given, draws)))
        step += 1


def judged(source: Source, config: TranslationConfig, indices: Sequence[int]) -> Pairs:
    """Pairs that figures are measured on, the same on every call: the middle of each picture, degraded at `judged`."""
    maker = maker_of(config, is_judged=True)
    pairs = []
    for index in indices:
        target = middle(source.targets.batch(np.array([index]))[0], config.image_px)
        given = None
        if source.inputs is not None:
            given = middle(source.inputs.batch(np.array([index]))[0], config.image_px)
        pairs.append(_given(target, given, config, maker, rng_for(config.seed, JUDGED_STREAM, int(index))))
    return _stacked(pairs)


def middle(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The square of `side` in the middle of a picture."""
    start = (picture.shape[0] - side) // 2
    return np.ascontiguousarray(picture[start : start + side, start : start + side])


def cutting(
    side: int, config: TranslationConfig, rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Draws a place and whether to mirror; what it gives cuts that square of image_px out of pictures of `side`."""
    top, left = (int(rng.integers(0, side - config.image_px + 1)) for _ in range(2))
    is_flipped = config.flip and rng.random() < FLIP_SHARE

    def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        square = picture[top : top + config.image_px, left : left + config.image_px]
        return np.ascontiguousarray(square[:, ::-1] if is_flipped else square)

    return cut


def _pair(
    target: NDArray[np.uint8], given: NDArray[np.uint8] | None, rng: np.random.Generator, config: TranslationConfig,
    maker: Maker | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:  # fmt: skip
    """One pair: the same square cut out of both, both mirrored or neither."""
    cut = cutting(target.shape[0], config, rng)
    return _given(cut(target), None if given is None else cut(given), config, maker, rng)


def _given(
    target: NDArray[np.uint8], given: NDArray[np.uint8] | None, config: TranslationConfig, maker: Maker | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:  # fmt: skip
    if given is None:
        given = reduced(maker(target, rng) if maker is not None else target, config.scale)
    return given, target


def _stacked(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Pairs:
    return Pairs(np.stack([given for given, _ in pairs]), np.stack([target for _, target in pairs]))
