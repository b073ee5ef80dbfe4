"""The networks of gan, cgan and biggan: shapes, sizes, published parameter counts, and the parts that papers describe."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import UsageError
from generators.config import GanConfig
from generators.layers import fill_weight, init_normal, spectral
from generators.networks import biggan, gan
from generators.networks.biggan import ConditionalNorm, DownBlock, SelfAttention, UpBlock
from generators.system import configured, system_named

NAMES = ("gan", "cgan", "biggan")
CLASSES = 3
# As little as each system can be. BigGAN's latents: a multiple of its chunks.
SMALL = [
    ("gan", {"image_px": 8, "latent": 5}),
    ("gan", {"image_px": 28, "latent": 5}),
    ("gan", {"image_px": 33, "latent": 5}),
    ("cgan", {"image_px": 8, "width": 4, "latent": 5}),
    ("cgan", {"image_px": 16, "width": 4, "latent": 5, "conditioning": "concatenation"}),
    ("cgan", {"image_px": 16, "width": 4, "latent": 5, "spectral_norm": True}),
    ("cgan", {"image_px": 32, "width": 4, "latent": 5, "upsampling": "resize"}),
    ("biggan", {"image_px": 16, "width": 4, "latent": 6}),
    ("biggan", {"image_px": 32, "width": 4, "latent": 8}),
    ("biggan", {"image_px": 64, "width": 2, "latent": 10}),
    ("biggan", {"image_px": 128, "width": 2, "latent": 6}),
]


def made(name: str, values: dict[str, object], seed: int = 0) -> tuple[GanConfig, nn.Module, nn.Module]:
    """Configuration, generator, discriminator."""
    system = system_named(name)
    config = configured(system, "cpu", {**told(name, CLASSES), **values})
    torch.manual_seed(seed)
    return config, system.generator(config), system.discriminator(config)


def told(name: str, classes: int) -> dict[str, int]:
    """The number of classes, for a system that has any."""
    return {"classes": classes} if system_named(name).condition == "class" else {}


@pytest.fixture
def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """BigGAN without spectral norms, which have no weights of their own: its large networks are built in no time."""
    monkeypatch.setattr(biggan, "spectral", lambda layer: layer)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("name", "values"), SMALL)
def test_shapes_range_and_gradients_to_every_parameter(name: str, values: dict[str, object]) -> None:
    config, generator, discriminator = made(name, values)
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, SelfAttention):
            nn.init.ones_(module.gamma)  # at 0, where it starts, nothing behind it gets a gradient
    z, y = torch.randn(6, config.latent), torch.arange(6) % CLASSES
    # Batch normalisation of a batch undoes the biases before it; that of running statistics does not.
    pictures = generator.eval()(z, y)
    logits = discriminator.eval()(pictures, y)
    assert pictures.shape == (6, 3, config.image_px, config.image_px)
    assert pictures.dtype == torch.float32
    assert pictures.abs().max() <= 1
    assert (pictures.std(0) > 0).float().mean() > 0.9  # pixels depend on z or y
    assert logits.shape == (6,)
    F.softplus(logits).sum().backward()
    for network in (generator, discriminator):
        idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []


@pytest.mark.usefixtures("unbound")
@pytest.mark.parametrize("name", NAMES)
def test_the_presets_are_networks(name: str) -> None:
    system = system_named(name)
    assert {"cpu", "gpu"} <= system.presets.keys()
    for preset in system.presets:
        config = configured(system, preset, told(name, 10))
        with torch.device("meta"):  # shapes without arithmetic
            pictures = system.generator(config)(torch.empty(2, config.latent), torch.empty(2, dtype=torch.long))
            assert pictures.shape == (2, 3, config.image_px, config.image_px)
            assert system.discriminator(config)(pictures, torch.empty(2, dtype=torch.long)).shape == (2,)


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("cgan", {"image_px": 28}, "image_px"),
        ("cgan", {"image_px": 48}, "image_px"),
        ("cgan", {"classes": 1}, "classes"),
        ("cgan", {"classes": 0}, "classes"),
        ("biggan", {"image_px": 28}, "image_px"),
        ("biggan", {"image_px": 8}, "image_px"),
        ("biggan", {"image_px": 1024}, "image_px"),
        ("biggan", {"image_px": 32, "latent": 82}, "latent"),
        ("gan", {"image_px": 7}, "image_px"),
    ],
)
def test_what_cannot_be_built_is_an_error_that_names_the_field(
    name: str, values: dict[str, object], field: str
) -> None:
    with pytest.raises(UsageError, match=f"option '{field}'") as error:
        made(name, values)
    assert error.value.hint


def test_too_few_classes_point_to_the_option() -> None:
    system = system_named("cgan")
    for conditioning in ("projection", "concatenation"):
        config = configured(system, "cpu", {"classes": 1, "conditioning": conditioning})
        for network in (system.generator, system.discriminator):
            with pytest.raises(UsageError) as error:
                network(config)
            assert "--class-by" in error.value.hint


def test_an_unfit_latent_says_what_fits() -> None:
    with pytest.raises(UsageError) as error:
        made("biggan", {"image_px": 32, "latent": 82})
    assert error.value.hint.startswith("84")
    made("biggan", {"image_px": 32, "latent": 84, "width": 2})


@pytest.mark.parametrize(("name", "values"), [SMALL[0], SMALL[3], SMALL[7]])
def test_one_seed_gives_the_same_networks(name: str, values: dict[str, object]) -> None:
    (_, *first), (_, *second), (_, *other) = made(name, values), made(name, values), made(name, values, seed=1)
    for a, b, c in zip(first, second, other, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
        assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


# -- gan


def test_gan_has_the_published_widths() -> None:
    config, generator, discriminator = made("gan", {"image_px": 28, "latent": 100})
    pixels = 3 * 28 * 28
    linear = [(m.in_features, m.out_features) for m in generator.modules() if isinstance(m, nn.Linear)]
    assert linear == [(100, 128), (128, 256), (256, 512), (512, 1024), (1024, pixels)]
    assert [m.num_features for m in generator.modules() if isinstance(m, nn.BatchNorm1d)] == [256, 512, 1024]
    linear = [(m.in_features, m.out_features) for m in discriminator.modules() if isinstance(m, nn.Linear)]
    assert linear == [(pixels, 512), (512, 256), (256, 1)]
    norms = 2 * (256 + 512 + 1024)
    assert count(generator) == 101 * 128 + 129 * 256 + 257 * 512 + 513 * 1024 + 1025 * pixels + norms == 3_117_232
    assert count(discriminator) == (pixels + 1) * 512 + 513 * 256 + 257 == 1_336_321
    assert config.learning_rate_g == config.learning_rate_d == 2e-4
    assert (config.beta1, config.batch_size) == (0.5, 64)


def test_gan_of_one_channel_has_the_count_of_mnist_tutorials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan, "CHANNELS", 1)
    _, generator, discriminator = made("gan", {"image_px": 28, "latent": 100})
    assert (count(generator), count(discriminator)) == (1_510_032, 533_505)


# -- cgan


@pytest.mark.parametrize("conditioning", ["projection", "concatenation"])
def test_cgan_adds_the_class_and_nothing_else_to_dcgan(conditioning: str) -> None:
    values = {"image_px": 64, "width": 64, "latent": 100, "classes": 10, "conditioning": conditioning}
    _, generator, discriminator = made("cgan", values)
    # DCGAN's counts; in G an embedding of 50, read by the first layer (512 channels of 4x4); in D ten vectors of the 512
    # last features, or ten more planes into the first layer (64 filters of 4x4).
    assert count(generator) == 3_576_704 + 10 * 50 + 50 * 512 * 16
    assert count(discriminator) == 2_765_568 + {"projection": 10 * 512, "concatenation": 10 * 64 * 16}[conditioning]


def test_projection_is_linear_in_the_embedding() -> None:
    config, _, discriminator = made("cgan", {"image_px": 16, "width": 4, "conditioning": "projection"})
    x, y = torch.rand(4, 3, 16, 16) * 2 - 1, torch.tensor([0, 1, 2, 1])
    discriminator.eval()
    told = discriminator(x, y)
    features = discriminator.features(x)
    assert features.shape[1:] == (8, 4, 4)
    by_hand = [
        discriminator.head(f[None]).item() + (discriminator.embedding.weight[k] @ f.sum((1, 2))).item()
        for f, k in zip(features, y.tolist(), strict=True)
    ]
    assert torch.allclose(told, torch.tensor(by_hand), atol=1e-5)
    assert not torch.allclose(told, discriminator(x, (y + 1) % config.classes), atol=1e-3)


def test_concatenation_shows_one_plane_of_ones() -> None:
    _, _, discriminator = made("cgan", {"image_px": 16, "width": 4, "conditioning": "concatenation"})
    seen: list[torch.Tensor] = []
    discriminator.body.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.rand(2, 3, 16, 16)
    discriminator(x, torch.tensor([2, 0]))
    (shown,) = seen
    assert torch.equal(shown[:, :3], x)
    assert shown[:, 3:].amin((2, 3)).tolist() == shown[:, 3:].amax((2, 3)).tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(("name", "values"), [SMALL[3], SMALL[7]])
def test_the_class_changes_the_picture(name: str, values: dict[str, object]) -> None:
    config, generator, _ = made(name, values)
    z = torch.randn(1, config.latent)
    a, again, b = (generator.eval()(z, torch.tensor([k])) for k in (0, 0, 1))
    assert torch.equal(a, again)
    assert (a - b).abs().max() > 1e-4


# -- biggan


@pytest.mark.usefixtures("unbound")
@pytest.mark.parametrize(
    ("values", "expected_g", "expected_d"),
    [
        # ImageNet at 128 px: what the authors' PyTorch code prints, and google/compare_gan's test of BigGAN demands.
        ({"image_px": 128, "width": 96, "latent": 120, "classes": 1000}, 70_433_988, 87_982_370),
        # One class: 999 embeddings of 128 (G) and of 16 x 96 (D) fewer.
        ({"image_px": 128, "width": 96, "latent": 120, "classes": 1}, 70_306_116, 86_447_906),
    ],
)
def test_biggan_has_the_published_number_of_parameters(
    values: dict[str, object], expected_g: int, expected_d: int
) -> None:
    with torch.device("meta"):
        _, generator, discriminator = made("biggan", values)
    assert (count(generator), count(discriminator)) == (expected_g, expected_d)


def test_biggan_at_32_px_counted_by_hand() -> None:
    # 64 channels throughout: a block of G is two 3x3 and one 1x1 convolutions with biases, and two norms' gains and
    # biases from 128 + 20 numbers; a first layer from 20 to 64 x 4 x 4; attention of 8, 8, 32 channels; a norm and 3x3.
    block = 2 * (64 * 64 * 9 + 64) + (64 * 64 + 64)
    attention = 64 * 8 + 64 * 8 + 64 * 32 + 32 * 64 + 1
    norms = 4 * 148 * 64
    _, generator, discriminator = made("biggan", {"image_px": 32, "width": 16, "latent": 80, "classes": 10})
    last = 2 * 64 + 64 * 3 * 9 + 3
    assert count(generator) == 10 * 128 + 20 * 1024 + 1024 + 3 * (block + norms) + attention + last
    # D: from 3 channels; a second block with, two without a shortcut; a linear layer; a vector a class.
    first = (3 * 64 * 9 + 64) + (64 * 64 * 9 + 64) + (3 * 64 + 64)
    plain = 2 * (64 * 64 * 9 + 64)
    assert count(discriminator) == first + block + 2 * plain + attention + 65 + 10 * 64


def test_chunk_k_of_z_acts_from_block_k_on() -> None:
    config, generator, _ = made("biggan", {"image_px": 64, "width": 2, "latent": 20})
    generator.eval()
    outputs: list[torch.Tensor] = []
    for module in (generator.first, *generator.blocks):
        module.register_forward_hook(lambda _module, _args, out: outputs.append(out))
    y = torch.zeros(1, dtype=torch.long)
    z = torch.randn(1, config.latent)
    generator(z, y)
    before = list(outputs)
    n = biggan.chunks_of(config)
    assert (n, len(before)) == (5, 5)  # the first layer and four blocks
    for k in range(n):
        moved = z.clone()
        moved[:, k * 4 : (k + 1) * 4] += 1
        outputs.clear()
        generator(moved, y)
        assert [torch.equal(a, b) for a, b in zip(before, outputs, strict=True)] == [j < k for j in range(n)]


@pytest.mark.usefixtures("unbound")
@pytest.mark.parametrize(
    ("image_px", "sides"), [(16, (8, 8)), (32, (16, 16)), (64, (32, 32)), (128, (64, 64)), (256, (64, 64))]
)
def test_attention_is_where_the_docstring_says(image_px: int, sides: tuple[int, int]) -> None:
    config = configured(system_named("biggan"), "cpu", {"image_px": image_px, "width": 1, "latent": 840, "classes": 2})
    seen: list[int] = []
    with torch.device("meta"):
        generator, discriminator = biggan.Generator(config), biggan.Discriminator(config)
        for network in (generator, discriminator):
            network.attention.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-1]))
        y = torch.empty(1, dtype=torch.long)
        discriminator(generator(torch.empty(1, 840), y), y)
    assert tuple(seen) == sides


def test_attention_against_a_loop_over_places() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(8).eval(), torch.randn(1, 8, 4, 4)
    assert torch.equal(attention(x), x)  # it starts as the identity
    nn.init.constant_(attention.gamma, 0.7)
    query, key, value = (layer(x)[0].detach() for layer in (attention.query, attention.key, attention.value))

    def pooled(v: torch.Tensor, row: int, column: int) -> torch.Tensor:
        return v[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].amax((1, 2))

    places = [(r, c) for r in range(2) for c in range(2)]
    expected = x.clone()
    for i in range(4):
        for j in range(4):
            weights = torch.stack([query[:, i, j] @ pooled(key, *p) for p in places]).softmax(0)
            read = sum(w * pooled(value, *p) for w, p in zip(weights, places, strict=True))
            expected[0, :, i, j] += 0.7 * attention.out(read[None, :, None, None])[0, :, 0, 0]
    assert torch.allclose(attention(x), expected, atol=1e-5)


def test_cheaper_shortcuts_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    up, x, condition = UpBlock(4, 6, 3).eval(), torch.randn(2, 4, 4, 4), torch.randn(2, 3)
    h = up.norm2(up.conv1(F.interpolate(F.relu(up.norm1(x, condition)), scale_factor=2)), condition)
    paper = up.conv2(F.relu(h)) + up.shortcut(F.interpolate(x, scale_factor=2))  # figure 15b: doubled, then 1x1
    assert torch.allclose(up(x, condition), paper, atol=1e-5)
    down = DownBlock(4, 6, halves=True, first=False).eval()
    h = down.conv2(F.relu(down.conv1(F.relu(x))))
    paper = F.avg_pool2d(h, 2) + F.avg_pool2d(down.shortcut(x), 2)  # figure 15c: 1x1, then averaged
    assert torch.allclose(down(x), paper, atol=1e-5)


def test_a_conditional_norm_without_condition_is_plain_batch_normalisation() -> None:
    torch.manual_seed(0)
    norm, x = ConditionalNorm(4, 3), torch.randn(5, 4, 6, 6) * 3 + 2
    plain = nn.BatchNorm2d(4, affine=False)(x)
    assert torch.allclose(norm(x, torch.zeros(5, 3)), plain, atol=1e-5)
    condition = torch.randn(5, 3)
    gain, bias = 1 + norm.eval().gain(condition), norm.bias(condition)
    expected = plain * gain[:, :, None, None] + bias[:, :, None, None]
    assert torch.allclose(norm.train()(x, condition), expected, atol=2e-2)  # train: one more power iteration each


def test_no_class_is_one_class() -> None:
    # Not resolved yet (0), or data without classes (1): the same networks.
    (_, *none), (_, *one) = (made("biggan", {**SMALL[7][1], "classes": k}) for k in (0, 1))
    assert [count(n) for n in none] == [count(n) for n in one]
    z, y = torch.randn(2, 6), torch.zeros(2, dtype=torch.long)
    generator, discriminator = (network.eval() for network in one)
    pictures = generator(z)
    assert torch.equal(pictures, generator(z, y))
    assert torch.equal(discriminator(pictures), discriminator(pictures, y))
    for network, given in zip(made("biggan", SMALL[7][1])[1:], (z, pictures), strict=True):
        with pytest.raises(ValueError, match="which of 3 classes"):
            network(given)


def test_first_weights_are_normal_up_to_32_px_and_orthogonal_above() -> None:
    _, small, _ = made("biggan", {"image_px": 32, "width": 16, "latent": 80})
    weight = small.blocks[0].conv2.parametrizations.weight.original
    assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    _, large, _ = made("biggan", {"image_px": 64, "width": 2, "latent": 20})
    rows = large.blocks[0].conv2.parametrizations.weight.original.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-5)
    assert not large.blocks[0].conv2.bias.any()


def test_the_plans_agree_with_one_another() -> None:
    for image_px, plan in biggan.PLANS.items():
        assert biggan.START_PX << (len(plan.generator) - 1) == image_px
        assert image_px >> plan.halvings >= biggan.START_PX
        assert all(a >= b for a, b in pairwise(plan.generator))
        assert all(a <= b for a, b in pairwise(plan.discriminator))


# -- spectral normalisation


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gan", {"image_px": 8, "latent": 5, "spectral_norm": True}),
        ("cgan", {"image_px": 16, "width": 8, "spectral_norm": True}),
        ("biggan", {"image_px": 16, "width": 8, "latent": 12}),
    ],
)
def test_spectral_norm_holds_the_largest_singular_value_at_one(name: str, values: dict[str, object]) -> None:
    config, generator, discriminator = made(name, values)
    networks = [generator, discriminator] if name == "biggan" else [discriminator]
    bound = [m for n in networks for m in n.modules() if hasattr(m, "parametrizations")]
    wanted = (nn.Conv2d, nn.Linear) if name == "biggan" else (nn.Conv2d, nn.Linear, nn.Embedding)
    assert all(m in bound for n in networks for m in n.modules() if isinstance(m, wanted))
    with torch.no_grad():
        for module in bound:  # as a step of training that went far would
            weight = module.parametrizations.weight.original
            weight.mul_(5).add_(torch.randn_like(weight))
        y = torch.arange(4) % CLASSES
        for _ in range(60):
            discriminator(generator(torch.randn(4, config.latent), y), y)
        for module in bound:
            weight = module.eval().weight
            largest = torch.linalg.matrix_norm(weight.flatten(1), 2).item()
            assert 0.99 < largest < 1.05


def test_first_weights_reach_a_layer_through_its_spectral_norm() -> None:
    torch.manual_seed(0)
    layer = spectral(nn.Conv2d(32, 64, 3, bias=True))
    init_normal(layer, std=0.5)
    assert layer.parametrizations.weight.original.std().item() == pytest.approx(0.5, rel=0.03)
    assert not layer.bias.any()
    assert torch.linalg.matrix_norm(layer.eval().weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)
    plain = nn.Linear(3, 2, bias=False)
    fill_weight(plain, nn.init.ones_)
    assert plain.weight.tolist() == [[1, 1, 1], [1, 1, 1]]
