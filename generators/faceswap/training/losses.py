"""What a swap's decoders are trained to minimise.

SSIM: Wang et al. 2004 (IEEE TIP 13), equation 13, with a Gaussian window of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03,
range 1, per channel. All take float32 (N, C, H, W) in [0, 1].
"""

import torch
from torch.nn import functional as F

WINDOW_PX, SIGMA_PX = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim_map(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W): the index at every pixel; beyond the border, the picture mirrored."""
    n, c = a.shape[:2]
    moments = _blurred(torch.cat([a, b, a * a, b * b, a * b], 1))
    mean_a, mean_b, aa, bb, ab = moments.view(n, 5, c, *a.shape[2:]).unbind(1)
    var_a, var_b, covariance = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    light = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return light * (2 * covariance + C2) / (var_a + var_b + C2)


def _blurred(x: torch.Tensor) -> torch.Tensor:
    half = WINDOW_PX // 2
    offsets = torch.arange(-half, half + 1, dtype=x.dtype, device=x.device)
    line = torch.exp(-offsets.square() / (2 * SIGMA_PX**2))
    line = line / line.sum()
    c = x.shape[1]
    x = F.pad(x, (half,) * 4, mode="reflect")
    x = F.conv2d(x, line.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
    return F.conv2d(x, line.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean of (N, C, H, W) by weights (N, 1, H, W)."""
    return (values * weights).sum() / (weights.sum() * values.shape[1])


def edge_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the first differences, in x and in y."""
    (ax, ay), (bx, by) = _steps(a), _steps(b)
    return (ax - bx).abs().mean() + (ay - by).abs().mean()


def total_variation(x: torch.Tensor) -> torch.Tensor:
    """Mean absolute first difference, in x and in y."""
    dx, dy = _steps(x)
    return dx.abs().mean() + dy.abs().mean()


def _steps(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
