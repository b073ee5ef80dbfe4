"""One random stream per thing that is random, derived from the run's seed: order and number of workers do not matter."""

import numpy as np


def rng_for(seed: int, *path: int) -> np.random.Generator:
    """Generator for one item of a run, e.g. `rng_for(seed, epoch, index)`.

    Paths that differ only in zeros at their end give the same stream: keep the length fixed within one purpose.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))
