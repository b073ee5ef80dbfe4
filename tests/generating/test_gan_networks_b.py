"""The networks of madgan and adaptive-conv: shapes, sizes, parameters, and the parts that papers describe."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import UsageError
from generators.config import GanConfig
from generators.networks import adaptive_conv, dcgan, madgan
from generators.networks.adaptive_conv import AdaptiveDoubling, convolve_adaptively
from generators.system import System, configured, system_named

NAMES = ("madgan", "adaptive-conv")
SMALL = {"image_px": 16, "width": 4, "latent": 6, "generators": 3}


def small(system: System, **values: object) -> GanConfig:
    """A small configuration of what the system has."""
    return configured(system, "cpu", {k: v for k, v in {**SMALL, **values}.items() if k not in system.ignores})


def made(name: str, seed: int = 0, **values: object) -> tuple[System, nn.Module, nn.Module]:
    """System, generator, discriminator."""
    system = system_named(name)
    config = small(system, **values)
    torch.manual_seed(seed)
    return system, system.generator(config), system.discriminator(config)


def latents(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [
    {"image_px": 8}, {"image_px": 16}, {"image_px": 64}, {"image_px": 32, "upsampling": "resize"},
    {"spectral_norm": True}, {"width": 1}, {"latent": 1},
])  # fmt: skip
def test_pictures_have_the_size_asked_for_and_outputs_their_columns(name: str, values: dict[str, object]) -> None:
    _, generator, discriminator = made(name, **values)
    z = torch.randn(5, int(str(values.get("latent", 6))))
    x = generator(z, torch.tensor([0, 2, 2, 1, 0]) if name == "madgan" else None)
    px = int(str(values.get("image_px", 16)))
    assert x.shape == (5, 3, px, px)
    assert x.abs().max() <= 1
    assert discriminator(x, None).shape == ((5, 4) if name == "madgan" else (5,))


@pytest.mark.parametrize("name", NAMES)
def test_an_impossible_size_is_an_error_that_names_the_field(name: str) -> None:
    with pytest.raises(UsageError, match="image_px"):
        made(name, image_px=28)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_first_weights(name: str) -> None:
    for a, b in zip(made(name)[1:], made(name)[1:], strict=True):
        assert all(torch.equal(v, w) for v, w in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    a, b = made(name)[1], made(name, seed=1)[1]
    assert not torch.equal(next(a.parameters()), next(b.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_game_reach_every_parameter_in_half_precision_too(name: str) -> None:
    system, generator, discriminator = made(name)
    objective = system.objective(small(system))
    y = torch.arange(9) % 3 if system.condition == "generator" else None
    with torch.autocast("cpu", torch.bfloat16):
        fake = generator(latents(9), y)
        real = discriminator(torch.rand(9, 3, 16, 16) * 2 - 1, None)
        loss = objective.discriminator_loss(real, discriminator(fake, None), y)
        loss = loss + objective.generator_loss(discriminator(fake, None), y)
    loss.backward()
    for network in (generator, discriminator):
        for parameter, value in network.named_parameters():
            assert value.grad is not None, parameter
            assert torch.isfinite(value.grad).all(), parameter
            assert value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_sampled_alone_is_the_one_of_its_batch(name: str) -> None:
    generator = made(name)[1]
    y = torch.tensor([2, 0, 1, 0])
    generator(latents(8), None)
    generator.eval()
    batch = generator(latents(4), y)
    for k in range(4):
        torch.testing.assert_close(generator(latents(4)[k : k + 1], y[k : k + 1])[0], batch[k], atol=1e-5, rtol=1e-4)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# -- MAD-GAN


def test_madgans_generators_share_the_projection_and_the_first_doubling() -> None:
    system = system_named("madgan")
    config = configured(system, "cpu", {})
    generator, plain = system.generator(config), dcgan.Generator(config)
    f, k = config.width, config.generators
    shared = 100 * 4 * f * 16 + 2 * 4 * f + 4 * f * 2 * f * 16 + 2 * 2 * f  # 100 -> 4f at 4 px -> 2f at 8 px, norms
    own = 2 * f * f * 16 + 2 * f + f * 3 * 16  # 2f -> f at 16 px -> 3 at 32 px
    assert shared + own == count(plain)
    assert count(generator) == shared + k * own
    assert count(system.discriminator(config)) == count(dcgan.Discriminator(config)) + k * 4 * f * 16


def test_y_says_which_generator_draws() -> None:
    generator = made("madgan")[1].eval()
    z = latents(6)
    each = [generator(z, torch.full((6,), k)) for k in range(3)]
    y = torch.tensor([1, 0, 2, 2, 0, 1])
    expected = torch.stack([each[k][i] for i, k in enumerate(y.tolist())])
    torch.testing.assert_close(generator(z, y), expected)
    assert (each[0] - each[1]).abs().max() > 1e-3
    torch.testing.assert_close(generator(z), generator(z, torch.arange(6) % 3))  # in turn when nothing is said


def test_a_generators_pictures_and_statistics_do_not_depend_on_the_others() -> None:
    generator = made("madgan", image_px=32)[1]
    before = generator.own[1][1].running_mean.clone()
    generator(latents(8), torch.tensor([0, 0, 2, 0, 2, 2, 0, 0]))
    assert torch.equal(generator.own[1][1].running_mean, before)
    assert not torch.equal(generator.own[0][1].running_mean, before)
    assert all(torch.isfinite(v).all() for v in generator.state_dict().values())


def test_a_generator_that_did_not_draw_has_a_gradient_of_zero() -> None:
    generator = made("madgan")[1]
    generator(latents(8), torch.zeros(8, dtype=torch.int64)).square().sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in generator.own[1].parameters())
    assert all(p.grad is not None and p.grad.any() for p in generator.own[0].parameters())


def test_madgan_refuses_one_generator_and_games_without_a_softmax() -> None:
    with pytest.raises(UsageError, match="generators"):
        made("madgan", generators=1)
    system = system_named("madgan")
    for name in ("hinge", "lsgan"):
        with pytest.raises(UsageError, match=f"objective.*{name}"):
            system.objective(configured(system, "cpu", {"objective": name}))
    for name in ("minimax", "non_saturating"):
        assert isinstance(system.objective(configured(system, "cpu", {"objective": name})), madgan.WhichGenerator)


# -- Adaptive convolution


def by_unfold(x: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    return (F.unfold(x, 3, padding=1).view(n, c, 9, h, w) * kernels.transpose(1, 2)).sum(2)


def test_adaptive_convolution_is_the_sum_over_unfolded_windows_with_its_gradients() -> None:
    torch.manual_seed(0)
    x, kernels = torch.randn(2, 3, 5, 4).double(), torch.randn(2, 9, 3, 5, 4).double()
    ours = [t.clone().requires_grad_() for t in (x, kernels)]
    expected = [t.clone().requires_grad_() for t in (x, kernels)]
    weights = torch.randn(2, 3, 5, 4).double()
    for function, inputs in ((convolve_adaptively, ours), (by_unfold, expected)):
        (function(*inputs) * weights).sum().backward()
    torch.testing.assert_close(convolve_adaptively(x, kernels), by_unfold(x, kernels))
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert torch.autograd.gradcheck(convolve_adaptively, ours)


def test_the_same_kernel_everywhere_is_a_depthwise_convolution() -> None:
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 3, 6, 6), torch.randn(3, 3, 3)
    kernels = kernel.flatten(1).T[None, :, :, None, None].expand(2, 9, 3, 6, 6)
    torch.testing.assert_close(convolve_adaptively(x, kernels), F.conv2d(x, kernel[:, None], padding=1, groups=3))


def test_the_memory_format_changes_nothing() -> None:
    torch.manual_seed(0)
    block, x = AdaptiveDoubling(6, 4), torch.randn(2, 6, 5, 5)
    expected = block(x)
    block = block.to(memory_format=torch.channels_last)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last)), expected)


def test_kernels_follow_the_local_context() -> None:
    """Twice the picture is not twice the output, as it would be for one kernel; and what is far away does not matter."""
    torch.manual_seed(0)
    block, x = AdaptiveDoubling(6, 4), torch.randn(1, 6, 16, 16)
    out = block(x)
    assert (block(2 * x) - 2 * out).abs().max() > 0.01
    changed = x.clone()
    changed[:, :, 8, 8] += 10.0
    touched = (block(changed) - out).abs().amax((0, 1)) > 1e-6  # pixel (8, 8) is (16..17)^2; context and window reach 1
    rows, columns = touched.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 18, 15, 18)


def test_a_fresh_block_smooths_a_constant_not_at_all_and_a_step_into_a_ramp() -> None:
    block = AdaptiveDoubling(1, 1)
    with torch.no_grad():
        block.kernels.weight.zero_()
        block.start_binomial()
        block.mix.weight.fill_(1)
    out = block(torch.tensor([0.0, 0, 0, 1, 1, 1]).expand(1, 1, 6, 6))[0, 0]
    torch.testing.assert_close(out[5, 1:11], torch.tensor([0, 0, 0, 0, 0.25, 0.75, 1, 1, 1, 1]))


def test_adaptive_generators_have_the_parameters_of_their_blocks() -> None:
    system = system_named("adaptive-conv")
    config = configured(system, "cpu", {})
    f = config.width

    def block(wide: int, narrow: int) -> int:
        hidden = wide // 2
        return 9 * wide * hidden + hidden + hidden * 9 * wide + 9 * wide + wide * narrow

    expected = (
        config.latent * 4 * f * 16 + 2 * (4 * f + 2 * f + f) + block(4 * f, 2 * f) + block(2 * f, f) + block(f, 3)
    )
    assert count(system.generator(config)) == expected
    doublings = [m for m in adaptive_conv.Generator(config).modules() if isinstance(m, AdaptiveDoubling)]
    assert len(doublings) == 3  # every one of them adapts
