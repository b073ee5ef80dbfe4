"""The checkerboard of up-sampling: which layers print a period of two pixels on a constant, and that a spectrum shows it.

Odena, Dumoulin, Olah: Deconvolution and Checkerboard Artifacts (Distill 2016). A kernel that the stride does not divide
overlaps itself unevenly. With kernel 4 and stride 2 the overlap is even, but the four places of a doubled pixel still
see different weights: only equal weights make it flat. Resize and convolution, or a pixel shuffle that starts by ICNR,
are flat whatever the weights.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from forensics.features.spectrum import azimuthal_profile, spectrum_features
from generators.layers import icnr_

CHANNELS = 8
Fill = Callable[[torch.Tensor], object]


def equal(weight: torch.Tensor) -> None:
    """All places of a kernel alike, each pair of channels its own number."""
    nn.init.normal_(weight[:, :, :1, :1])
    weight.copy_(weight[:, :, :1, :1].expand_as(weight).clone())


def transposed(kernel: int, fill: Fill, out: int = CHANNELS) -> nn.Module:
    padding = (kernel - 1) // 2
    layer = nn.ConvTranspose2d(CHANNELS, out, kernel, 2, padding, output_padding=2 * padding + 2 - kernel, bias=False)
    with torch.no_grad():
        fill(layer.weight)
    return layer


def resized(fill: Fill, out: int = CHANNELS) -> nn.Module:
    convolution = nn.Conv2d(CHANNELS, out, 3, 1, 1, bias=False)
    with torch.no_grad():
        fill(convolution.weight)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution)


def shuffled(fill: Fill, icnr: bool, out: int = CHANNELS) -> nn.Module:
    convolution = nn.Conv2d(CHANNELS, 4 * out, 3, 1, 1, bias=False)
    with torch.no_grad():
        icnr_(convolution.weight, 2, fill) if icnr else fill(convolution.weight)
    return nn.Sequential(convolution, nn.PixelShuffle(2))


@torch.no_grad()
def period_two(layer: nn.Module) -> float:
    """Variance between the four places of a doubled pixel, relative to the power, for a constant away from borders."""
    out = layer(torch.ones(1, CHANNELS, 12, 12))[:, :, 6:-6, 6:-6].double()
    assert torch.allclose(out, out.roll((2, 2), (2, 3)))  # of period two, or flat
    places = torch.stack([out[:, :, y::2, x::2].mean((2, 3)) for y in (0, 1) for x in (0, 1)])
    return float(places.var(0, correction=0).mean() / out.square().mean())


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_an_uneven_overlap_prints_a_checkerboard_on_a_constant_even_with_equal_weights() -> None:
    # Of 3 taps at stride 2, places see 1 or 2 each way: 1, 2, 2, 4 times the weight. Variance over power: 1.1875 / 6.25.
    assert period_two(transposed(3, equal)) == pytest.approx(1.1875 / 6.25, rel=1e-6)
    assert period_two(transposed(5, equal)) > 0.01


def test_an_even_overlap_and_resize_convolution_print_none() -> None:
    assert period_two(transposed(2, equal)) < 1e-12
    assert period_two(transposed(4, equal)) < 1e-12
    assert period_two(resized(equal)) < 1e-12


def test_whatever_the_weights_resize_convolution_and_icnr_are_flat_and_transposed_kernels_are_not() -> None:
    assert period_two(transposed(3, nn.init.normal_)) > 0.1
    assert period_two(transposed(4, nn.init.normal_)) > 0.1  # even overlap is not enough once weights differ
    assert period_two(shuffled(nn.init.normal_, icnr=False)) > 0.1
    assert period_two(shuffled(nn.init.normal_, icnr=True)) < 1e-10
    assert period_two(resized(nn.init.normal_)) < 1e-10


def test_icnr_makes_a_nearest_neighbour_enlargement_of_the_convolution() -> None:
    layer = shuffled(nn.init.normal_, icnr=True)
    x = torch.randn(2, CHANNELS, 6, 6)
    convolved = nn.functional.conv2d(x, layer[0].weight[::4], padding=1)
    torch.testing.assert_close(layer(x), nn.functional.interpolate(convolved, scale_factor=2, mode="nearest"))
    with pytest.raises(ValueError, match="6 channels"):
        icnr_(torch.empty(6, 1, 3, 3), 2, nn.init.normal_)


def smooth_features(n: int, px: int, seed: int) -> torch.Tensor:
    """(n, CHANNELS, px, px): blurred noise about a mean, as the last features of a generator are."""
    noise = np.random.default_rng(seed).normal(size=(n, CHANNELS, px, px))
    blurred = gaussian_filter(noise, (0, 0, 2, 2), mode="wrap")
    return torch.from_numpy(blurred / blurred.std() + 1).float()


@torch.no_grad()
def drawn(layer: nn.Module, features: torch.Tensor) -> NDArray[np.uint8]:
    """(n, 2 px, 2 px, 3) uint8 pictures: doubled features, each picture to the same mean and contrast."""
    out = layer(features)
    out = (out - out.mean((1, 2, 3), keepdim=True)) / out.std((1, 2, 3), keepdim=True)
    return (128 + 30 * out).clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()


def test_the_azimuthal_profile_sees_the_checkerboard_at_its_end() -> None:
    features = smooth_features(8, 48, 1)

    def profile(layer: nn.Module) -> NDArray[np.float32]:
        grays = drawn(layer, features).astype(np.float32).mean(3)
        return np.mean([azimuthal_profile(gray) for gray in grays], axis=0)

    uneven, even, resize = (
        profile(layer) for layer in (transposed(3, equal, 3), transposed(4, equal, 3), resized(equal, 3))
    )
    nyquist = slice(-2, None)  # a period of two pixels, along an axis, lies at the Nyquist frequency
    assert uneven[nyquist].min() > even[nyquist].max() + 6  # dB
    assert uneven[nyquist].min() > resize[nyquist].max() + 4
    # Copies of the low frequencies rise there a little with any doubling; uneven overlap adds a peak.
    middle = slice(30, 40)
    rises = [p[nyquist].mean() - p[middle].mean() for p in (uneven, even, resize)]
    assert rises[0] > max(rises[1:]) + 3


def test_spectral_features_separate_transposed_from_resize_convolution_on_layers_they_never_saw() -> None:
    def sample(seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        pictures, labels = [], []
        for k in range(20):
            torch.manual_seed(1000 * seed + k)
            features = smooth_features(1, 32, 1000 * seed + k)
            for label, layer in enumerate((resized(nn.init.normal_, 3), transposed(3, nn.init.normal_, 3))):
                pictures.append(spectrum_features(drawn(layer, features)[0]))
                labels.append(label)
        return np.stack(pictures), np.array(labels)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*sample(1))
    x, y = sample(2)
    assert roc_auc_score(y, model.predict_proba(x)[:, 1]) >= 0.98
