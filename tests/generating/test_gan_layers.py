"""Shared layers, and DCGAN's networks against the published layer list and parameter counts."""

import pytest
import torch
from torch import nn

from forensics.common.errors import UsageError
from generators.config import GanConfig
from generators.layers import (
    BatchNorm1d,
    BatchNorm2d,
    InstanceNorm2d,
    doublings,
    init_normal,
    nearest_doubling,
    spectral,
)
from generators.networks import dcgan


@pytest.mark.parametrize(("ours", "torchs", "shape"), [
    (BatchNorm2d, nn.BatchNorm2d, (6, 4, 5, 5)),
    (BatchNorm1d, nn.BatchNorm1d, (6, 4)),
    (BatchNorm1d, nn.BatchNorm1d, (6, 4, 7)),
])  # fmt: skip
def test_in_one_process_batch_norm_is_torchs_own(
    ours: type[nn.Module], torchs: type[nn.Module], shape: tuple[int, ...]
) -> None:
    norm, expected = ours(4), torchs(4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = torch.randn(shape, generator=generator) * 3 + 1
        assert torch.equal(norm(x), expected(x))
    norm.eval(), expected.eval()
    assert torch.equal(norm(x), expected(x))
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), expected.buffers(), strict=True))


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("gradients", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_and_its_gradients(
    pictures: int, layout: torch.memory_format, gradients: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weights = (torch.randn(pictures, 4, 16, 16, generator=generator) * 0.3 + 5 for _ in range(2))
    exact = x.double().requires_grad_()
    expected = nn.functional.instance_norm(exact)
    expected.backward(weights.double())
    given = x.contiguous(memory_format=layout).requires_grad_()
    out = InstanceNorm2d(4)(given)
    out.backward(weights.contiguous(memory_format=gradients))
    assert out.is_contiguous(memory_format=layout)
    torch.testing.assert_close(out.double(), expected.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(given.grad.double(), exact.grad, rtol=0, atol=1e-4)


def test_instance_norm_keeps_its_means_in_bfloat16() -> None:
    x = (torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3 + 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = InstanceNorm2d(4)(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, InstanceNorm2d(4)(x.float()).bfloat16())
    assert float(out.float().mean((2, 3)).abs().max()) < 1e-3


def test_an_empty_batch_leaves_statistics_alone_and_gives_gradients_of_zero() -> None:
    norm = BatchNorm2d(4)
    norm(torch.randn(3, 4, 2, 2))
    before = [b.clone() for b in norm.buffers()]
    x = torch.zeros(0, 4, 2, 2, requires_grad=True)
    out = norm(x)
    out.sum().backward()
    assert out.shape == x.shape
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), before, strict=True))
    assert torch.equal(norm.weight.grad, torch.zeros(4))
    assert torch.equal(norm.bias.grad, torch.zeros(4))


@pytest.mark.parametrize(("px", "n"), [(8, 1), (32, 3), (64, 4), (1024, 8)])
def test_doublings_count_from_four_pixels(px: int, n: int) -> None:
    assert doublings(px) == n


@pytest.mark.parametrize("px", [4, 7, 28, 48, 100])
def test_a_size_that_four_does_not_double_to_is_an_error_that_names_the_field(px: int) -> None:
    with pytest.raises(UsageError, match=f"image_px.*{px}") as error:
        doublings(px)
    assert "64" in error.value.hint


def test_nearest_doubling_repeats_every_pixel_four_times() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert nearest_doubling(x)[0, 0].tolist() == expected


def test_spectral_brings_the_largest_singular_value_to_one() -> None:
    torch.manual_seed(0)
    layer = spectral(nn.Conv2d(8, 16, 3))
    for _ in range(50):
        layer(torch.randn(1, 8, 4, 4))
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    plain = nn.Conv2d(8, 16, 3)
    assert spectral(plain, enabled=False) is plain


def test_first_weights_have_dcgans_statistics() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 4), nn.ConvTranspose2d(64, 64, 4), BatchNorm2d(4096), nn.Linear(256, 256))
    init_normal(network)
    for k in (0, 1, 3):
        assert network[k].weight.mean().item() == pytest.approx(0, abs=1e-3)
        assert network[k].weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert not network[k].bias.any()
    assert network[2].weight.mean().item() == pytest.approx(1, abs=2e-3)
    assert network[2].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not network[2].bias.any()


def shapes(layers: nn.Sequential, kind: type[nn.Module], x: torch.Tensor) -> list[tuple[int, ...]]:
    """(channels, side) after each layer of a kind."""
    out = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, kind):
            out.append((x.shape[1], x.shape[2]))
    return out


@pytest.mark.parametrize(("width", "expected"), [
    (64, [(512, 4), (256, 8), (128, 16), (64, 32), (3, 64)]),  # the authors' code
    (128, [(1024, 4), (512, 8), (256, 16), (128, 32), (3, 64)]),  # figure 1
])  # fmt: skip
def test_dcgans_generator_is_the_published_layer_list(width: int, expected: list[tuple[int, int]]) -> None:
    with torch.device("meta"):
        generator = dcgan.Generator(GanConfig(image_px=64, width=width))
        assert shapes(generator.layers, nn.ConvTranspose2d, torch.empty(2, 100, 1, 1)) == expected
    kinds = [type(layer) for layer in generator.layers]
    assert kinds == [nn.ConvTranspose2d, BatchNorm2d, nn.ReLU] * 4 + [nn.ConvTranspose2d, nn.Tanh]


def test_dcgans_discriminator_mirrors_it() -> None:
    with torch.device("meta"):
        discriminator = dcgan.Discriminator(GanConfig(image_px=64, width=64))
        sides = shapes(discriminator.layers, nn.Conv2d, torch.empty(2, 3, 64, 64))
    assert sides == [(64, 32), (128, 16), (256, 8), (512, 4), (1, 1)]
    norm = [nn.Conv2d, BatchNorm2d, nn.LeakyReLU]
    assert [type(layer) for layer in discriminator.layers] == [nn.Conv2d, nn.LeakyReLU, *norm * 3, nn.Conv2d]


def test_dcgan_has_the_published_number_of_parameters() -> None:
    config = GanConfig(image_px=64, width=64)
    with torch.device("meta"):
        counts = [sum(p.numel() for p in m(config).parameters()) for m in (dcgan.Generator, dcgan.Discriminator)]
    assert counts == [3_576_704, 2_765_568]


def test_the_resize_variant_doubles_without_a_transposed_convolution() -> None:
    torch.manual_seed(0)
    generator = dcgan.Generator(GanConfig(image_px=32, width=4, upsampling="resize"))
    transposed = [layer for layer in generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.stride for layer in transposed] == [(1, 1)]  # the projection of z
    assert sum(isinstance(layer, nn.Upsample) for layer in generator.modules()) == 3
    assert generator(torch.randn(2, 100)).shape == (2, 3, 32, 32)
