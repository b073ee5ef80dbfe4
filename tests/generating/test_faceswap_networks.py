"""The networks of a swap and what they minimise: sizes, shapes, first weights; SSIM against scikit-image, sums by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from generators.faceswap.config import PRESETS, SwapConfig, configured
from generators.faceswap.training.losses import edge_difference, ssim_map, total_variation, weighted_mean
from generators.faceswap.training.networks import SOURCE, TARGET, Critic, Doubling, SwapNetwork, channels_of, drawn


def small(**options: Any) -> SwapConfig:
    return SwapConfig(**{"image_px": 32, "width": 8, "latent": 16, "device": "cpu", **options})


def network(config: SwapConfig, seed: int = 0) -> SwapNetwork:
    torch.manual_seed(seed)
    return SwapNetwork(config).eval()


def count(config: SwapConfig) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in SwapNetwork(config).parameters())


def by_hand(width: int, latent: int, px: int) -> int:
    """Weights and biases, layer by layer, as the paper's recipe has them."""
    down = sum(25 * a * b + b for a, b in itertools.pairwise((3, width, 2 * width, 4 * width, 8 * width)))
    n = 8 * width * (px // 16) ** 2
    code = n * latent + latent + latent * n + n
    up, *decoder = (9 * a * 4 * (a // 2) + 4 * (a // 2) for a in (8 * width, 4 * width, 2 * width, width))
    return down + code + up + 2 * (sum(decoder) + 25 * (width // 2) * 4 + 4)


def test_the_faithful_network_has_82_million_weights() -> None:
    faithful = configured("gpu", {})
    assert count(faithful) == by_hand(128, 1024, 64) == 82_065_672
    assert round(count(faithful) / 1e6) == 82


def test_the_preset_for_processors_has_5_million() -> None:
    config = configured("cpu", {})
    assert (config.width, config.latent, config.image_px) == (32, 256, 64)
    assert count(config) == by_hand(32, 256, 64) == 5_137_992


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_makes_a_network(preset: str) -> None:
    config = configured(preset, {})
    assert count(config) == by_hand(config.width, config.latent, config.image_px)


@pytest.mark.parametrize("px", [32, 48, 64, 96, 112, 128])
def test_shapes(px: int) -> None:
    config = small(image_px=px)
    made = network(config)
    x = torch.rand(2, 3, px, px)
    with torch.inference_mode():
        assert made.encoder(x).shape == (2, 4 * 8, px // 8, px // 8)
        assert made(x, SOURCE).shape == (2, 4, px, px)
        face, mask, alpha = drawn(made(x, TARGET), x)
    assert face.shape == (2, 3, px, px)
    assert mask.shape == (2, 1, px, px)
    assert alpha is None
    assert 0 <= face.min() <= face.max() <= 1


def test_both_is_each_half_by_its_own_decoder() -> None:
    made = network(small())
    x = torch.rand(6, 3, 32, 32)
    with torch.inference_mode():
        both = made.both(x)
        torch.testing.assert_close(both[:3], made(x[:3], SOURCE))
        torch.testing.assert_close(both[3:], made(x[3:], TARGET))
        assert not torch.allclose(both[:3], made(x[:3], TARGET), atol=1e-3)  # the decoders are two


def test_faces_do_not_see_their_neighbours_in_the_batch() -> None:
    made = network(small())
    x = torch.rand(5, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(made(x, SOURCE)[2:3], made(x[2:3], SOURCE), atol=1e-6, rtol=1e-5)


def test_a_doubling_begins_without_a_checkerboard() -> None:
    """ICNR: at first every 2 x 2 block is one value; a plain start would scatter inside of the block."""
    torch.manual_seed(0)
    x = torch.randn(2, 12, 9, 9)
    with torch.inference_mode():
        out = Doubling(12, 6)(x)
        blocks = out.view(2, 6, 9, 2, 9, 2)
        assert out.shape == (2, 6, 18, 18)
        assert (blocks.amax((3, 5)) - blocks.amin((3, 5))).abs().max() < 1e-5
        assert out.std() > 0.1  # of something
        made = network(small()).encoder.doubling
        kernels = made.convolution.weight.view(-1, 4, *made.convolution.weight.shape[1:])
        assert (kernels == kernels[:, :1]).all()
        # By Glorot's bound of the convolution as it is.
        fan = 9 * (64 + 32)
        assert kernels.abs().max() <= (6 / fan) ** 0.5 * 1.001


def test_the_variant_gan_draws_over_the_input() -> None:
    config = small(variant="gan")
    assert (channels_of(small()), channels_of(config)) == (4, 5)
    x = torch.rand(2, 3, 32, 32)
    logits = torch.randn(2, 5, 32, 32)
    with torch.inference_mode():
        assert network(config)(x, SOURCE).shape == (2, 5, 32, 32)
    logits[:, 4, :, :16], logits[:, 4, :, 16:] = -50, 50
    face, mask, alpha = drawn(logits, x)
    assert alpha is not None
    torch.testing.assert_close(face[:, :, :, :16], x[:, :, :, :16])
    torch.testing.assert_close(face[:, :, :, 16:], torch.sigmoid(logits[:, :3, :, 16:]))
    torch.testing.assert_close(mask, logits[:, 3:4])
    assert set(alpha.round().unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("px", [32, 64, 112])
def test_the_critic_judges_patches_of_face_and_input(px: int) -> None:
    torch.manual_seed(0)
    critic = Critic(small(variant="gan", image_px=px)).eval()
    face, given = torch.rand(3, 3, px, px), torch.rand(3, 3, px, px)
    with torch.inference_mode():
        out = critic(face, given)
        assert out.shape == (3, (px // 8 - 2) ** 2)
        assert not torch.allclose(out, critic(face, torch.rand(3, 3, px, px)))
        # Spectral norms: a change of the input changes the opinion by no more than its own length, a layer's padding aside.
        for layer in critic.layers:
            if isinstance(layer, torch.nn.Conv2d):
                assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.2


def test_sides_that_do_not_halve_four_times_are_refused_by_name() -> None:
    from forensics.common.errors import UsageError

    for px in (40, 100, 16):
        with pytest.raises(UsageError, match="option 'image_px'"):
            configured("cpu", {"image_px": px})


# -- losses


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_ssim_is_scikit_images(noise: float) -> None:
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(40), np.arange(48))
    a = np.stack([0.5 + 0.4 * np.sin(x / 5 + k) * np.cos(y / 7) for k in range(3)], -1)
    b = (a + noise * rng.normal(0, 1, a.shape)).clip(0, 1)
    _, expected = structural_similarity(
        a, b, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, full=True
    )
    planes = [torch.from_numpy(v).permute(2, 0, 1)[None] for v in (a, b)]
    ours = ssim_map(*planes)[0].permute(1, 2, 0).numpy()
    inside = slice(5, -5)
    np.testing.assert_allclose(ours[inside, inside], expected[inside, inside], atol=1e-6)
    assert ours.shape == a.shape
    if noise == 0:
        np.testing.assert_allclose(ours, 1, atol=1e-6)


def test_ssim_in_single_precision_is_near_that_in_double() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(2, 2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(ssim_map(a.float(), b.float()).double(), ssim_map(a, b), atol=2e-4, rtol=0)
    flat = torch.full((1, 3, 32, 32), 0.9)  # variances of nothing: rounding below zero stays harmless
    assert (ssim_map(flat, flat) - 1).abs().max() < 1e-3


def test_a_weighted_mean_is_the_weighted_mean() -> None:
    torch.manual_seed(0)
    values, weights = torch.rand(2, 3, 4, 5), torch.rand(2, 1, 4, 5)
    expected = np.average(values.numpy(), weights=weights.expand_as(values).numpy())
    assert weighted_mean(values, weights).item() == pytest.approx(expected, rel=1e-5)
    assert weighted_mean(values, torch.ones(2, 1, 4, 5)).item() == pytest.approx(values.mean().item(), rel=1e-5)


def test_edges_and_variation_by_hand() -> None:
    picture = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.5, 1.0]]).view(1, 1, 2, 3)
    # Steps in x: 1, 0 and .5, .5, mean .5; in y: 0, -.5, 0, mean 1/6.
    assert total_variation(picture).item() == pytest.approx(0.5 + 1 / 6)
    assert total_variation(torch.full((2, 1, 8, 8), 0.3)).item() == 0
    flat = torch.full_like(picture, 0.7)
    assert edge_difference(picture, flat).item() == pytest.approx(0.5 + 1 / 6)
    assert edge_difference(picture, picture + 0.2).item() == pytest.approx(0, abs=1e-6)
    # Only the second row's step changes places: 0, .5 -> .5 in two places of x and one of y.
    other = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]).view(1, 1, 2, 3)
    assert edge_difference(picture, other).item() == pytest.approx((0.5 + 0.5) / 4 + 0.5 / 3)


def test_losses_pull_a_picture_to_what_it_should_be() -> None:
    """Gradients of SSIM and of the L1 difference lead there from noise."""
    torch.manual_seed(0)
    real = F.interpolate(torch.rand(1, 3, 6, 6), 32, mode="bilinear")
    weights = torch.ones(1, 1, 32, 32)
    logits = torch.zeros(1, 3, 32, 32, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.05)
    first = last = 0.0
    for step in range(60):
        face = torch.sigmoid(logits)
        loss = 1 - weighted_mean(ssim_map(face, real), weights) + weighted_mean((face - real).abs(), weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < first / 5
