"""Differentiable augmentation: what the discriminator sees of reals and fakes alike, so that few pictures last longer.

Zhao, Liu, Lin, Zhu, Han: Differentiable Augmentation for Data-Efficient GAN Training (2020), arXiv 2006.10738, section 3
and appendix: the policy "color, translation, cutout". Colour is brightness, saturation, contrast; a translation is at
most 1/8 of the side, a cutout is half of the side, and what is moved in or cut out is 0, mid grey in [-1, 1].
The paper applies every kind to every picture. A strength below 1 applies each kind to that share of the pictures; how
strength follows from the number of pictures is a rule of ours (`strength_for`).
Limits: augmentations that strong can leak into the samples (grey borders) when the generator is far behind.
"""

import math

import torch

# Half widths of the uniform draws: brightness is 0 +- 0.5 of a range of 2, saturation 1 +- 1, contrast 1 +- 0.5.
BRIGHTNESS = 0.5
SATURATION = 1.0
CONTRAST = 0.5
TRANSLATION = 1 / 8
CUTOUT = 1 / 2

# Where the paper gains most (10 % of CIFAR-10, 5,000 pictures: FID 39.8 -> 22.4), and twice a size where it gains little
# (all of CIFAR-10, 50,000: 9.6 -> 8.7). Between them its gain falls about with the logarithm of the number.
ALL_BELOW = 5_000
NONE_ABOVE = 100_000

# Columns of the table of uniform draws that one call takes: three gates and seven amounts.
_COLOUR, _MOVE, _CUT, _BRIGHT, _SATURATE, _CONTRAST, _MOVE_Y, _MOVE_X, _CUT_Y, _CUT_X = range(10)


def strength_for(n_pictures: int) -> float:
    """Strength in [0, 1] for a data set of that size: 1 up to ALL_BELOW pictures, 0 from NONE_ABOVE, between them linear
    in the logarithm. Raises ValueError for less than one picture."""
    if n_pictures < 1:
        raise ValueError(f"a data set of {n_pictures} pictures has no strength")
    share = math.log(NONE_ABOVE / n_pictures) / math.log(NONE_ABOVE / ALL_BELOW)
    return min(1.0, max(0.0, share))


def augment(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Pictures (N, C, H, W) in [-1, 1] with colour, translation and cutout each applied to about `strength` of them.

    Returns the same shape, dtype and device; colour may leave [-1, 1], as in the paper. Gradients flow to x, twice
    where R1 asks for it. Ten uniform numbers a picture are drawn from `generator` (on the CPU), whatever x holds and
    however large it is; at strength 0 x itself comes back and nothing is drawn. Raises ValueError for another strength.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength {strength} is not between 0 and 1")
    if strength == 0:
        return x
    draws = torch.rand(len(x), 10, generator=generator).to(x.device, non_blocking=True)
    on = (draws[:, : _CUT + 1] < strength).float()
    last = x.is_contiguous(memory_format=torch.channels_last)
    # Autocast would round the pictures to half precision in the products of `_moved`.
    with torch.autocast(x.device.type, enabled=False):
        x = _coloured(x.contiguous(), draws, on[:, _COLOUR])
        x = _moved(x, draws, on[:, _MOVE])
        x = _cut(x, draws, on[:, _CUT])
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _coloured(x: torch.Tensor, draws: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
    """Brightness, saturation, contrast in the paper's order, worked out as one affine map of pixel, grey and mean."""
    bright = on * BRIGHTNESS * (2 * draws[:, _BRIGHT] - 1)
    saturate = 1 + on * SATURATION * (2 * draws[:, _SATURATE] - 1)
    contrast = 1 + on * CONTRAST * (2 * draws[:, _CONTRAST] - 1)
    table = torch.stack([contrast * saturate, contrast * (1 - saturate), 1 - contrast, bright], 1)
    pixel, grey, mean, offset = table.to(x.dtype)[:, :, None, None, None].unbind(1)
    greys = x.mean(1, keepdim=True)  # (N, 1, H, W)
    return x * pixel + (greys * grey + (greys.mean((2, 3), keepdim=True) * mean + offset))


def _moved(x: torch.Tensor, draws: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
    """Whole pixels, by products with shifted identities: the backward pass is a product too, and not a slow scatter."""
    for axis, column in ((2, _MOVE_Y), (3, _MOVE_X)):
        side = x.shape[axis]
        reach = int(side * TRANSLATION + 0.5)
        shift = on * (torch.floor(draws[:, column] * (2 * reach + 1)) - reach)
        places = torch.arange(side, device=x.device)
        source = places - shift.to(torch.int64)[:, None]  # (N, side): which line comes to each place
        choose = (source[:, :, None] == places).to(x.dtype)  # (N, to, from)
        x = torch.einsum("nts,ncsw->nctw" if axis == 2 else "nts,nchs->ncht", choose, x)
    return x


def _cut(x: torch.Tensor, draws: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
    """A square around any pixel, clipped at the border."""
    inside = []
    for axis, column in ((2, _CUT_Y), (3, _CUT_X)):
        side = x.shape[axis]
        size = int(side * CUTOUT + 0.5)
        start = torch.floor(draws[:, column] * (side + 1 - size % 2)) - size // 2
        start = start[:, None]
        places = torch.arange(side, device=x.device)
        inside.append((places >= start) & (places < start + size))
    cut = inside[0][:, :, None] & inside[1][:, None, :] & (on > 0)[:, None, None]
    return x.masked_fill(cut[:, None], 0)
