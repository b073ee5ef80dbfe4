"""KID while a training runs: the reals' features are computed once, the fakes' at every measurement.

Binkowski et al. 2018, arXiv 1801.01401. Limits: reals are those that the generator learns from, so a copy of them scores
0; `forensics generate quality` measures against reals that it never saw.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from forensics.common.files import safe_name, sha256_of_text
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from generators.quality.extractors import Batches, Extractor, Features, cache_key
from generators.quality.feature_store import load_features, save_features
from generators.quality.metrics import kid

READ_BATCH = 64
# First elements of the seed's path: which reals are measured against, and which subsets the interval is of.
REALS_STREAM = 0x9A1


class Reals(Protocol):
    """What is needed of generators.data's Pictures."""

    @property
    def sha256(self) -> str: ...
    def __len__(self) -> int: ...
    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]: ...


class KidProbe:
    """KID of fakes against one fixed choice of reals."""

    def __init__(
        self, reals: Reals, extractor: Extractor, n: int, seed: int, cache: Path, progress: Progress | None = None
    ) -> None:
        """n: how many reals at most, drawn without replacement by the seed; their features are kept in `cache`."""
        self._extractor, self._seed = extractor, seed
        self.name, self.sha256 = extractor.name, extractor.sha256
        self._real = features_of(reals, choose(len(reals), n, seed), extractor, cache, progress or Progress(quiet=True))

    def kid(self, fakes: Batches) -> tuple[float, float, float]:
        """KID of batches uint8 (B, H, W, 3) with its 95 % interval, a function of the pictures and the seed alone."""
        found = kid(self._extractor.features(fakes), self._real, self._seed)
        return found.value, found.low, found.high


def choose(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """Indices of n of `total` pictures (of all, where there are fewer), drawn without replacement, sorted."""
    if n >= total:
        return np.arange(total)
    return np.sort(rng_for(seed, REALS_STREAM).permutation(total)[:n]).astype(np.int64)


def features_of(
    pictures: Reals, chosen: NDArray[np.int64], extractor: Extractor, cache: Path | None, progress: Progress
) -> Features:
    """Features (len(chosen), D) of the chosen pictures, from the cache where they are known."""
    path = None
    if cache is not None:
        which = sha256_of_text(f"{pictures.sha256} {chosen.tolist()}")[:16]
        path = cache / f"features-{safe_name(cache_key(extractor))}-{which}.npy"
        known = load_features(path, len(chosen))
        if known is not None:
            return known
    with progress.task(f"features of reals by {extractor.name}", len(chosen)) as bar:

        def batches() -> Iterator[NDArray[np.uint8]]:
            for start in range(0, len(chosen), READ_BATCH):
                indices = chosen[start : start + READ_BATCH]
                yield pictures.batch(indices)
                bar(len(indices))

        found = extractor.features(batches())
    if path is not None:
        save_features(path, found)
    return found
