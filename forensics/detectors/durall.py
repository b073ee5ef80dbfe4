"""The azimuthal power spectrum of a face crop and a linear model on it.

Durall, Keuper, Pfreundt, Keuper: Unmasking DeepFakes with simple Features (2019), arXiv 1911.00686, section 3; Durall,
Keuper, Keuper: Watch your Up-Convolution (CVPR 2020), arXiv 2003.01826, section 3. As theirs: the grey picture as a whole
without a window, log magnitude of its Fourier transform averaged over direction at each integer radius out to the
corners, interpolated to 300 values, divided by the value at radius 0. Theirs is cubic interpolation and no
standardisation; here it is linear, so that it can be differentiated, and each value is standardised before the logistic
regression. `forensics.features.spectrum` holds the windowed profile that the `spectrum` detector uses.

Limits: blind to blended swaps; shifts with compression and with any resize of the picture before it came here.
"""

from functools import lru_cache
from pathlib import Path

import torch
from torch.nn import functional as F

from forensics.detectors.linear import LinearDetector, gray_255, load_arrays
from forensics.detectors.model_set import ModelSet

NAME = "durall"
# The first paper's choice where faces have many sizes.
LENGTH = 300
# A spectrum's memory grows with the area, and few faces are larger: of these, the middle.
MAX_SIDE_PX = 1024


def azimuthal_log_profile(gray: torch.Tensor, length: int = LENGTH) -> torch.Tensor:
    """Mean log magnitude over all directions, from radius 0 to the corner, divided by its value at radius 0.

    gray: (N, H, W) float64 in [0, 255]. Returns (N, length); value k lies at the radius k / (length - 1) of the corner's,
    which is 0.71 cycles per pixel for a square. log(1 + magnitude), where the authors have log(1e-8 + magnitude): they
    differ below the quantisation noise of 8 bits alone. A black picture has zeros.
    """
    height, width = gray.shape[-2:]
    index, counts = _radii(height, width)
    magnitude = torch.fft.fft2(gray).abs().flatten(1)
    sums = torch.zeros(len(gray), len(counts), dtype=gray.dtype).index_add(1, index, torch.log1p(magnitude))
    profile = F.interpolate((sums / counts)[:, None], length, mode="linear", align_corners=True)[:, 0]
    # The mean grey of one level is far below 1 here; only a black picture is not.
    return profile / profile[:, :1].clamp(min=1.0)


@lru_cache(maxsize=64)
def _radii(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Integer radius of each place of the transform (H * W,), in units of 1 / side, and how many places each has."""
    side = min(height, width)
    rows, columns = torch.fft.fftfreq(height, dtype=torch.float64), torch.fft.fftfreq(width, dtype=torch.float64)
    index = (torch.hypot(rows[:, None], columns[None, :]) * side).round(decimals=9).long().flatten()
    counts = torch.bincount(index)
    return index, counts.double()


class DurallDetector(LinearDetector):
    """The whole crop at native resolution."""

    name = NAME
    description = "linear model on the azimuthal power spectrum (Durall et al. 2019): traces of up-sampling; a baseline"
    n_features = LENGTH

    @staticmethod
    def frame(x: torch.Tensor) -> torch.Tensor:
        """The whole picture; of one above MAX_SIDE_PX, the middle."""
        height, width = x.shape[-2:]
        top, left = max(0, (height - MAX_SIDE_PX) // 2), max(0, (width - MAX_SIDE_PX) // 2)
        return x[..., top : top + MAX_SIDE_PX, left : left + MAX_SIDE_PX]

    @staticmethod
    def features(framed: torch.Tensor) -> torch.Tensor:
        """(N, LENGTH) float64."""
        return azimuthal_log_profile(gray_255(framed))


def load(model_set: ModelSet, folder: Path, device: torch.device) -> DurallDetector:
    """The detector of a set of weights (it computes on the CPU). Raises WeightsError where they do not fit."""
    return DurallDetector(load_arrays(model_set, folder, DurallDetector))
