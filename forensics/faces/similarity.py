"""The similarity transform (rotation, one scale, translation) that lays points on points.

Least squares after Umeyama, PAMI 13 (1991), equations 40 to 43, without reflection.
Limits: a single wrong point moves the whole: nothing is robust here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def similarity(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The (2, 3) that takes `source` (N, 2) nearest to `target` (N, 2). Raises ValueError where points coincide."""
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    centre_a, centre_b = a.mean(0), b.mean(0)
    # In two dimensions a similarity without reflection is a product of complex numbers, its least squares a quotient.
    u = (a - centre_a) @ (1, 1j)
    v = (b - centre_b) @ (1, 1j)
    power = float(np.vdot(u, u).real)
    factor = np.vdot(u, v) / power if power > 0 else complex("nan")
    if not np.isfinite(factor) or abs(factor) < 1e-9:
        raise ValueError("landmarks coincide")
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, centre_b - linear @ centre_a])
