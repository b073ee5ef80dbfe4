"""Differentiable augmentation: what it does to a picture, what it leaves alone, and that gradients come through."""

import itertools
import math

import pytest
import torch

from generators.augmentation import ALL_BELOW, BRIGHTNESS, CUTOUT, NONE_ABOVE, TRANSLATION, augment, strength_for


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, px: int = 32) -> torch.Tensor:
    return torch.rand(n, 3, px, px, generator=seeded(9)) * 2 - 1


def test_strength_zero_returns_the_pictures_and_draws_nothing() -> None:
    x, generator = pictures(), seeded()
    assert augment(x, 0.0, generator) is x
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    x = pictures()
    assert torch.equal(augment(x, 1.0, seeded(3)), augment(x, 1.0, seeded(3)))
    assert not torch.equal(augment(x, 1.0, seeded(3)), augment(x, 1.0, seeded(4)))


def test_draws_do_not_depend_on_what_the_pictures_hold() -> None:
    first, second = seeded(), seeded()
    augment(pictures(), 0.4, first)
    augment(torch.zeros(6, 3, 64, 64), 0.9, second)
    assert torch.equal(first.get_state(), second.get_state())


def test_each_picture_is_augmented_for_itself() -> None:
    out = augment(pictures(1).expand(8, -1, -1, -1), 1.0, seeded())
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(out, 2))


def place_of(picture: torch.Tensor) -> tuple[int, int]:
    row, column = divmod(int(picture[0].argmax()), picture.shape[-1])
    return row, column


def test_translation_moves_by_at_most_an_eighth_and_cutout_clears_half_a_side() -> None:
    px, n = 32, 400
    x = torch.full((n, 3, px, px), -0.5)
    x[:, :, 16, 16] = 100.0  # stays the brightest in all channels
    out = augment(x, 1.0, seeded(1))
    reach = int(px * TRANSLATION)
    offsets = {(r - 16, c - 16) for r, c in (place_of(p) for p in out if p.max() > 10)}
    assert max(abs(v) for pair in offsets for v in pair) == reach
    assert {r for r, _ in offsets} == {c for _, c in offsets} == set(range(-reach, reach + 1))
    # Of a constant picture, what is 0 afterwards is the cutout and the moved-in border.
    zeros = (augment(torch.full((n, 3, px, px), 0.9), 1.0, seeded(2)) == 0).all(1)
    sides = zeros.sum((1, 2)).float().sqrt()
    whole = int(px * CUTOUT)
    assert sides.max() >= whole
    assert sides.min() >= whole / 2  # centred on a corner, a quarter of the square remains


def test_brightness_moves_the_mean_within_its_bounds_and_saturation_keeps_grey() -> None:
    grey = torch.rand(300, 1, 16, 16, generator=seeded(5)).expand(-1, 3, -1, -1) * 0.2
    out = augment(grey, 1.0, seeded(6))
    assert torch.allclose(out[:, 0], out[:, 1], atol=1e-5)  # nothing makes grey coloured
    flat = augment(torch.full((500, 3, 16, 16), 0.25), 1.0, seeded(7))
    values = torch.stack([p.flatten()[p.flatten().abs().argmax()] for p in flat])
    assert values.max() <= 0.25 + BRIGHTNESS + 1e-6
    assert values.min() >= 0.25 - BRIGHTNESS - 1e-6
    assert values.max() > 0.7  # the bounds are nearly reached
    assert values.min() < -0.2


def test_colour_is_the_papers_three_steps_in_order() -> None:
    """The one affine map against brightness, saturation and contrast worked out one after the other."""
    x = pictures(5, 16)
    draws = torch.rand(5, 10, generator=seeded(8))
    bright, saturate, contrast = (draws[:, k, None, None, None] for k in (3, 4, 5))
    expected = x + (bright - 0.5)
    grey = expected.mean(1, keepdim=True)
    expected = (expected - grey) * (2 * saturate) + grey
    mean = expected.mean((1, 2, 3), keepdim=True)
    expected = (expected - mean) * (contrast + 0.5) + mean
    out = augment(x, 1.0, seeded(8))
    same = torch.zeros(5, dtype=torch.bool)
    for dy, dx in itertools.product(range(-2, 3), repeat=2):  # wherever it was moved to; the cutout is 0
        moved = torch.zeros_like(x)
        rows, columns = slice(max(0, dy), 16 + min(0, dy)), slice(max(0, dx), 16 + min(0, dx))
        source = expected[:, :, max(0, -dy) : 16 - max(0, dy), max(0, -dx) : 16 - max(0, dx)]
        moved[:, :, rows, columns] = source
        fits = torch.isclose(out, moved, atol=1e-5) | (out == 0)
        same |= fits.flatten(1).all(1)
    assert same.all()


def test_strength_is_the_share_of_pictures_that_each_kind_touches() -> None:
    x = torch.full((4000, 3, 8, 8), 0.3)
    out = augment(x, 0.3, seeded(11))
    cut_or_moved = (out == 0).flatten(1).any(1).float().mean()
    coloured = ((out != 0) & (out - 0.3).abs().gt(1e-6)).flatten(1).any(1).float().mean()
    assert coloured == pytest.approx(0.3, abs=0.03)
    # A move of 8 pixels is one of -1, 0, 1 each way: 8 in 9 show.
    assert cut_or_moved == pytest.approx(1 - (1 - 0.3) * (1 - 0.3 * 8 / 9), abs=0.03)


def test_gradients_flow_once_and_twice() -> None:
    x = pictures(4, 8).double().requires_grad_()
    out = augment(x, 1.0, seeded())
    (first,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
    assert first.abs().sum() > 0
    first.square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert torch.autograd.gradcheck(lambda v: augment(v, 1.0, seeded()), pictures(2, 8).double().requires_grad_())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shape_dtype_and_layout_stay_and_autocast_rounds_nothing(
    layout: torch.memory_format, dtype: torch.dtype
) -> None:
    x = pictures(4, 16).to(dtype).contiguous(memory_format=layout)
    plain = augment(x, 1.0, seeded())
    assert plain.shape == x.shape
    assert plain.dtype == dtype
    assert plain.is_contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(x, 1.0, seeded()), plain)


def test_strength_falls_with_the_logarithm_of_the_number_of_pictures() -> None:
    assert strength_for(1) == strength_for(ALL_BELOW) == 1
    assert strength_for(NONE_ABOVE) == strength_for(10 * NONE_ABOVE) == 0
    assert strength_for(round(math.sqrt(ALL_BELOW * NONE_ABOVE))) == pytest.approx(0.5, abs=1e-4)
    with pytest.raises(ValueError, match="0 pictures"):
        strength_for(0)


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_another_strength_is_an_error(strength: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        augment(pictures(), strength, seeded())
