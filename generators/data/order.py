"""Which pictures a training step sees: a function of seed and step, so that a resumed run needs no state to go on.

The steps read one endless row of epochs; each epoch is a permutation of its own, and a batch may hold the end of one and
the beginning of the next (a picture can then be in it twice, with all others seen once between).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from forensics.common.seeds import rng_for

# First element of the seed's path: no other random thing of a run draws from the streams below it.
ORDER_STREAM = 0x0D3
# Training and a second reader (another process' share, a probe) each touch two epochs at a boundary.
EPOCHS_KEPT = 4


def batch_indices(n: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Indices into n pictures for one step (counted from 0): (batch,) int64.

    Every picture is used once before any is used again; `batch` may be larger than n. Raises ValueError where n or batch
    is below 1, or step below 0.
    """
    if n < 1 or batch < 1 or step < 0:
        raise ValueError(f"n = {n}, batch = {batch}, step = {step}")
    start, stop = step * batch, (step + 1) * batch
    parts = []
    for epoch in range(start // n, (stop - 1) // n + 1):
        begin = epoch * n
        parts.append(_permutation(n, epoch, seed)[max(start - begin, 0) : min(stop - begin, n)])
    return np.concatenate(parts)


@lru_cache(maxsize=EPOCHS_KEPT)
def _permutation(n: int, epoch: int, seed: int) -> NDArray[np.int64]:
    order = rng_for(seed, ORDER_STREAM, epoch).permutation(n).astype(np.int64, copy=False)
    order.flags.writeable = False  # it is shared by all that ask
    return order
