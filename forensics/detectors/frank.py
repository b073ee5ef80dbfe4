"""The two-dimensional DCT of a face crop's middle tile and a linear model on its log coefficients.

Frank, Eisenhofer, Schönherr, Fischer, Kolossa, Holz: Leveraging Frequency Analysis for Deep Fake Image Recognition (ICML
2020), arXiv 2003.08685, sections 3 and 4: type-II DCT of the whole picture, log magnitude, each coefficient standardised,
ridge regression with its strength chosen by validation. Theirs are aligned pictures of 128 x 128 in colour; here it is
the grey tile of that size in the middle of the crop, at native resolution. A smaller crop is enlarged to it, which itself
leaves traces in the spectrum.

Limits: learns the regular traces of up-sampling in generated pictures; knows nothing of faces, and shifts with
compression and with any resize of the picture before it came here.
"""

import math
from functools import lru_cache
from pathlib import Path

import torch

from forensics.detectors.cnn_network import resize
from forensics.detectors.linear import LinearDetector, gray_255, load_arrays
from forensics.detectors.model_set import ModelSet
from forensics.features.spectrum import FLOOR_DCT

NAME = "frank"
TILE_PX = 128


def log_dct(gray: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of the magnitude of each coefficient of the orthonormal DCT-II.

    gray: (N, S, S) float64 in [0, 255]. Returns (N, S, S), row and column 0 being the mean. Magnitudes below FLOOR_DCT are
    rounding, not content (the paper adds 1e-12 to values in [-1, 1]).
    """
    basis = dct_basis(gray.shape[-1])
    return torch.log((basis @ gray @ basis.T).abs() + FLOOR_DCT)


@lru_cache(maxsize=4)
def dct_basis(side: int) -> torch.Tensor:
    """(side, side) float64: row k is the k-th cosine of the orthonormal DCT-II, so that `basis @ x` transforms columns."""
    places, orders = torch.arange(side, dtype=torch.float64), torch.arange(side, dtype=torch.float64)[:, None]
    basis = torch.cos(math.pi * (places + 0.5) * orders / side) * math.sqrt(2 / side)
    basis[0] /= math.sqrt(2)
    return basis


class FrankDetector(LinearDetector):
    """The middle tile."""

    name = NAME
    description = "linear model on the DCT of a tile (Frank et al. 2020): traces of up-sampling; a baseline"
    n_features = TILE_PX * TILE_PX

    @staticmethod
    def frame(x: torch.Tensor) -> torch.Tensor:
        """The middle 128 x 128 pixels, copied; of a smaller picture, all of it, enlarged."""
        side = min(x.shape[-2:])
        kept = min(side, TILE_PX)
        top, left = (x.shape[-2] - kept) // 2, (x.shape[-1] - kept) // 2
        tile = x[..., top : top + kept, left : left + kept]
        return tile if kept == TILE_PX else resize(tile, TILE_PX)

    @staticmethod
    def features(framed: torch.Tensor) -> torch.Tensor:
        """(N, TILE_PX ** 2) float64 in row order."""
        return log_dct(gray_255(framed)).flatten(1)


def load(model_set: ModelSet, folder: Path, device: torch.device) -> FrankDetector:
    """The detector of a set of weights (it computes on the CPU). Raises WeightsError where they do not fit."""
    return FrankDetector(load_arrays(model_set, folder, FrankDetector))
