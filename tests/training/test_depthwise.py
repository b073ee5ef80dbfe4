"""Depthwise convolutions with the fast backward pass: PyTorch's own numbers, under the same names."""

import pytest
import timm
import torch
from timm.layers import StdConv2d
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from forensics.detectors.cnn_network import FaceCnn
from forensics.training.depthwise import Depthwise, speed_up_depthwise

KINDS = ["even", "same"]


pytestmark = pytest.mark.usefixtures("one_thread")


def convolution(kind: str, channels: int, size: int, stride: int, **others: object) -> nn.Conv2d:
    torch.manual_seed(size * 10 + stride)
    made = {"groups": channels, "bias": False, **others}
    if kind == "same":
        return Conv2dSame(channels, channels, size, stride, **made)
    return nn.Conv2d(channels, channels, size, stride, **{"padding": size // 2, **made})


def outcome(
    layer: nn.Module, shape: tuple[int, ...], dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Result, gradient of the input and gradient of the weight, for a loss that weighs every pixel differently."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    layer.weight.grad = None
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        y = layer(x)
    (y.float() * torch.randn(y.shape, generator=generator)).sum().backward()
    return y.detach(), x.grad, layer.weight.grad


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 13), (9, 14), (5, 5)])
def test_values_and_gradients_are_those_of_pytorch(kind, size, stride, height, width):
    layer = convolution(kind, 6, size, stride)
    for found, expected in zip(
        outcome(Depthwise(layer), (2, 6, height, width)), outcome(layer, (2, 6, height, width)), strict=True
    ):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_any_padding_below_the_kernel_and_any_stride(padding, stride):
    layer = convolution("even", 4, 3, stride, padding=padding)
    parts = zip(outcome(Depthwise(layer), (2, 4, 11, 8)), outcome(layer, (2, 4, 11, 8)), strict=True)
    assert all(torch.allclose(found, expected, rtol=1e-5, atol=1e-5) for found, expected in parts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_in_bfloat16_it_is_as_near_to_float32_as_rounding_allows(kind, size, stride):
    layer = convolution(kind, 8, size, stride)
    exact, found = outcome(layer, (4, 8, 13, 13)), outcome(Depthwise(layer), (4, 8, 13, 13), torch.bfloat16)
    assert [part.dtype for part in found] == [torch.bfloat16, torch.float32, torch.float32]
    for part, expected in zip(found, exact, strict=True):
        # bf16 keeps 8 bits: each factor is off by 2**-9 at most; sums of random signs stay near that.
        error = (part.float() - expected).norm() / expected.norm()
        assert error < 2**-7


def test_gradients_are_checked_by_differences():
    layer = convolution("even", 2, 3, 2).double()
    x = torch.randn(1, 2, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(Depthwise(layer), (x,), eps=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        convolution("even", 4, 3, 1, groups=1),
        convolution("even", 4, 3, 1, groups=2),
        convolution("even", 1, 3, 1),
        convolution("even", 4, 3, 1, bias=True),
        convolution("even", 4, 3, 1, dilation=2),
        convolution("even", 4, 3, 1, padding=3),
        convolution("even", 4, 3, 1, padding=(1, 0)),
        convolution("even", 4, 3, 1, padding="same"),
        convolution("even", 4, 3, 1, padding="valid"),
        convolution("even", 4, 3, 1, padding_mode="reflect"),
        nn.Conv2d(4, 4, (3, 5), 1, 2, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, (1, 2), 1, groups=4, bias=False),
        nn.Conv2d(4, 8, 3, 1, 1, groups=4, bias=False),
        StdConv2d(4, 4, 3, 1, 1, groups=4, bias=False),
        nn.Conv1d(4, 4, 3, 1, 1, groups=4, bias=False),
        nn.ConvTranspose2d(4, 4, 3, 1, 1, groups=4, bias=False),
    ],
    ids=str,
)
def test_what_it_cannot_compute_is_left_alone(layer):
    network = nn.Sequential(nn.Sequential(layer))
    speed_up_depthwise(network)
    assert network[0][0] is layer


def network_of(backbone: str) -> nn.Module:
    torch.manual_seed(0)
    network = timm.create_model(backbone, num_classes=1)
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("backbone", "side"), [("tf_efficientnet_lite0", 64), ("test_efficientnet", 48)])
def test_a_network_is_the_same_before_and_after(backbone, side):
    plain, fast = network_of(backbone).eval(), network_of(backbone).eval()
    kept = fast.state_dict()
    speed_up_depthwise(fast)
    n_replaced = sum(isinstance(module, Depthwise) for module in fast.modules())
    n_depthwise = sum(isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels for m in plain.modules())
    assert n_replaced == n_depthwise > 0
    assert list(fast.state_dict()) == list(kept)
    assert all(value.data_ptr() == kept[name].data_ptr() for name, value in fast.state_dict().items())
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    outputs = [network(x) for network in (plain, fast)]
    assert torch.allclose(*outputs, rtol=1e-4, atol=1e-6)
    for output in outputs:
        output.sum().backward()
    expected = dict(plain.named_parameters())
    for name, parameter in fast.named_parameters():
        wanted = expected[name].grad
        assert (parameter.grad - wanted).norm() <= 1e-3 * wanted.norm() + 1e-7, name


def test_weights_go_back_into_a_plain_network():
    trained = FaceCnn("test_efficientnet", 64)
    speed_up_depthwise(trained)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01)
    plain = FaceCnn("test_efficientnet", 64)
    plain.load_state_dict(trained.state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(plain.eval()(x), trained.eval()(x), atol=1e-5)
