"""What `pgd-robust` expects a picture to go through: JPEG and resize, with a gradient.

Resize is area averaging down and bicubic up, as `forensics.perturb.resize_and_restore` does it, in differentiable
operations. JPEG is the real encoder; its gradient is taken to be that of the identity (backward pass differentiable
approximation, Athalye, Carlini, Wagner 2018, arXiv 1802.00420, section 4.1).
"""

import numpy as np
import torch
from torch.nn import functional as F

from forensics.perturb import jpeg

JPEG_QUALITY = (40, 95)  # what platforms and cameras use, both ends included
RESIZE_SHARE = (0.5, 1.0)
# Draw 0 sees the picture as it is, 1 resized, 2 compressed, 3 both; then again from the start.
N_CHANNELS = 4


def through_channel(x: torch.Tensor, draw: int, rng: np.random.Generator) -> torch.Tensor:
    """One picture, (1, 3, H, W) in [0, 1], after what draw number `draw` does to it; the same shape, differentiable."""
    channel = draw % N_CHANNELS
    if channel in (1, 3):
        x = resize_and_restore(x, float(rng.uniform(*RESIZE_SHARE)))
    if channel in (2, 3):
        x = straight_through_jpeg(x, int(rng.integers(*JPEG_QUALITY, endpoint=True)))
    return x


def resize_and_restore(x: torch.Tensor, share: float) -> torch.Tensor:
    """Shrink to `share` of the sides and enlarge again; (N, 3, H, W) in [0, 1] in and out."""
    height, width = x.shape[-2:]
    small = (max(1, round(height * share)), max(1, round(width * share)))
    reduced = F.interpolate(x, small, mode="area")
    return F.interpolate(reduced, (height, width), mode="bicubic", align_corners=False).clamp(0.0, 1.0)


def straight_through_jpeg(x: torch.Tensor, quality: int) -> torch.Tensor:
    """Real JPEG of one picture, (1, 3, H, W) in [0, 1], with the identity's gradient."""
    pixels = (x.detach()[0].permute(1, 2, 0).cpu().numpy() * 255.0).round().clip(0, 255).astype(np.uint8)
    compressed = torch.from_numpy(jpeg(pixels, quality)).to(x.device).permute(2, 0, 1)[None].float() / 255.0
    return x + (compressed - x).detach()
