"""Translators' networks: sizes of the papers, what a pixel depends on, odd sides, tiles that do not show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from forensics.common.errors import UsageError
from generators.networks.patchgan import HALVINGS, PatchDiscriminator, field_px
from generators.translation.loaded import LoadedTranslator
from generators.translation.tiles import spans, translate
from generators.translation_config import TranslationConfig
from generators.translator import TRANSLATORS, PictureNetwork, check_sizes, configured, translator_named


def weights_of(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def loaded_of(name: str, **options: object) -> LoadedTranslator:
    """An untrained translator whose every part matters: weights as large as training makes them."""
    translator = translator_named(name)
    config = configured(translator, "cpu", options)
    torch.manual_seed(0)
    network = translator.generator(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    return LoadedTranslator(translator, config, network, "0" * 64, 1, torch.device("cpu"))


def test_sizes_of_the_papers():
    with torch.device("meta"):
        unet = translator_named("pix2pix").generator(TranslationConfig(image_px=256, width=64))
        resnet = translator_named("srgan").generator(TranslationConfig(scale=4, width=64, blocks=16, norm="batch"))
        assert weights_of(unet) == 54_413_955  # the authors' unet_256 has as many
        assert weights_of(resnet) == 1_549_462
        assert weights_of(PatchDiscriminator(64, is_conditional=True)) == 2_768_705
        assert weights_of(PatchDiscriminator(64, is_conditional=False)) == 2_765_633


@pytest.mark.parametrize(("halvings", "px"), [(3, 70), (2, 34), (1, 16)])
def test_a_patch_is_as_large_as_it_says(halvings, px):
    assert field_px(halvings) == px
    assert HALVINGS == 3
    network = PatchDiscriminator(4, is_conditional=False, norm=torch.nn.Identity, halvings=halvings)
    x = torch.randn(1, 3, 128, 128, requires_grad=True)
    logits = network.features(x, x)[-1]
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    rows = torch.nonzero(x.grad.abs().sum((0, 1, 3))).flatten()
    assert int(rows[-1] - rows[0]) + 1 == px


@pytest.mark.parametrize(
    ("name", "options"), [("restore", {"task": "denoise"}), ("srgan", {"scale": 2}), ("srgan", {})]
)
def test_reach_is_what_a_pixel_depends_on(name, options):
    loaded = loaded_of(name, width=8, blocks=2, **options)
    scale, side = loaded.config.scale, 96
    x = torch.randn(1, 3, side, side, requires_grad=True)
    out = loaded.network(x)
    out[0, :, scale * side // 2, scale * side // 2].sum().backward()
    assert x.grad is not None
    seen = torch.nonzero(x.grad.abs().sum((0, 1, 3)) > 0).flatten()
    assert loaded.reach_px is not None
    assert side // 2 - int(seen[0]) <= loaded.reach_px
    assert int(seen[-1]) - side // 2 <= loaded.reach_px


@pytest.mark.parametrize("scale", [2, 4])
def test_untrained_enlargement_is_close_to_interpolation(scale):
    translator = translator_named("srgan")
    torch.manual_seed(0)
    network = translator.generator(configured(translator, "cpu", {"scale": scale, "width": 8, "blocks": 2})).eval()
    x = torch.rand(1, 3, 20, 20) * 2 - 1
    with torch.no_grad():
        plain = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
        assert float((network(x) - plain).abs().mean()) < 0.15


@pytest.mark.parametrize("shape", [(1, 1), (37, 61), (160, 97), (64, 300)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("restore", {"task": "deblock"}),
        ("restore", {"task": "colourise"}),
        ("srgan", {"scale": 2}),
        ("srgan", {"scale": 4}),
    ],
)
def test_tiles_do_not_show(name, options, shape):
    loaded = loaded_of(name, width=4, blocks=1, **options)
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    whole = translate(loaded, picture, tile_px=512)
    tiled = translate(loaded, picture, tile_px=48)
    scale = loaded.config.scale
    assert whole.shape == (shape[0] * scale, shape[1] * scale, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


class Copies(PictureNetwork):
    """A network that sees the whole of its square, and gives it back."""

    def forward(self, x):
        return x


@pytest.mark.parametrize("shape", [(1, 1), (5, 200), (64, 64), (100, 131)])
def test_squares_are_blended_into_any_size(shape):
    loaded = replace(loaded_of("pix2pix", make="gray", image_px=32, width=4), network=Copies())
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert (translate(loaded, picture) == picture).all()
    drawn = translate(loaded_of("pix2pix", make="gray", image_px=32, width=4), picture)
    assert drawn.shape == picture.shape


def test_colourise_keeps_the_luminance():
    loaded = loaded_of("restore", task="colourise", width=8, blocks=1)
    x = (torch.rand(1, 1, 24, 24) - 0.5).repeat(1, 3, 1, 1)
    out = loaded.network(x)
    luma = (out * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    assert float((luma - x[:, 0]).abs().max()) < 1e-5
    assert float((out - x).abs().max()) > 1e-3  # it does something


@pytest.mark.parametrize(("length", "tile", "rim"), [(1, 9, 4), (9, 9, 4), (10, 9, 4), (1000, 64, 20), (65, 64, 1)])
def test_spans_cover_once(length, tile, rim):
    found = spans(length, tile, rim)
    covered = [k for span in found for k in range(span.keep, span.until)]
    assert covered == list(range(length))
    for span in found:
        assert span.start == 0 or span.keep - span.start >= rim
        assert span.stop == length or span.stop - span.until >= rim


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="no inside"):
        spans(100, 8, 4)
    loaded = loaded_of("restore", task="denoise", blocks=8)
    with pytest.raises(UsageError, match="have no inside"):
        translate(loaded, np.zeros((500, 500, 3), np.uint8), tile_px=32)
    pix2pix = translator_named("pix2pix")
    with pytest.raises(UsageError, match="power of two"):
        check_sizes(pix2pix, configured(pix2pix, "cpu", {"image_px": 96}))
    with pytest.raises(UsageError, match="means nothing to pix2pix"):
        configured(pix2pix, "cpu", {"task": "denoise"})
    with pytest.raises(UsageError, match="perceptual_weight needs"):
        configured(translator_named("restore"), "cpu", {"perceptual_weight": 1.0})
    with pytest.raises(UsageError, match="not a multiple of scale"):
        configured(translator_named("srgan"), "cpu", {"picture_px": 130})
    with pytest.raises(UsageError, match="too small for pix2pix"):
        check_sizes(pix2pix, configured(pix2pix, "cpu", {"image_px": 16, "d_layers": 3}))
    with pytest.raises(UsageError, match="mean nothing to task colourise"):
        configured(translator_named("restore"), "cpu", {"task": "colourise", "weakest": 5})


def test_not_finite_is_said():
    loaded = loaded_of("restore", task="denoise", width=4, blocks=1)
    next(loaded.network.parameters()).fill_(float("nan"))
    with pytest.raises(UsageError, match="not finite"):
        translate(loaded, np.zeros((40, 40, 3), np.uint8))


@pytest.mark.parametrize("name", list(TRANSLATORS))
def test_every_preset_can_be_built(name):
    translator = translator_named(name)
    for preset in translator.presets:
        check_sizes(translator, configured(translator, preset, {}))
