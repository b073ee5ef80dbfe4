"""Feature vectors in .npy files: written whole or not at all, read without code, and made again when damaged."""

import io
from pathlib import Path

import numpy as np

from forensics.common.files import write_atomic
from generators.quality.extractors import Features


def save_features(path: Path, features: Features) -> None:
    """Write (N, D) float64."""
    stream = io.BytesIO()
    np.save(stream, features, allow_pickle=False)
    write_atomic(path, stream.getvalue())


def load_features(path: Path, n: int) -> Features | None:
    """(n, D) float64; None where there is no such file, or another is in its place."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_ours = isinstance(found, np.ndarray) and found.dtype == np.float64 and found.ndim == 2 and len(found) == n
    return found if is_ours and np.isfinite(found).all() else None
