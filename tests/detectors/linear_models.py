"""What the tests of the spectral baselines share: models with random coefficients, and their descriptions."""

import numpy as np

from forensics.detectors.linear import LinearDetector
from forensics.detectors.model_set import Domain, ModelSet, WeightFile


def random_arrays(kind: type[LinearDetector], mean: np.ndarray, scale: float, seed: int = 0) -> dict[str, np.ndarray]:
    """A model whose logits are of the order of one: around given features, with a typical spread."""
    rng = np.random.default_rng(seed)
    n = kind.n_features
    return {
        "mean": mean.astype(np.float32),
        "scale": np.full(n, scale, np.float32),
        "coefficients": rng.normal(0, 2 / np.sqrt(n), n).astype(np.float32),
        "intercept": np.array([0.25], np.float32),
    }


def described(weights: dict[str, WeightFile]) -> ModelSet:
    """A set of weights with nothing but its files."""
    return ModelSet(
        name="test",
        version="0",
        licence="none",
        trained_on="nothing",
        weights=weights,
        calibrations={},
        operating_points={},
        domain=Domain(min_crop_px=1, min_sharpness=0),
    )
