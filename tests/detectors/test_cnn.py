"""The CNN detector with small random networks: its scores, its heatmaps, its gradient, its file."""

import numpy as np
import pytest
import torch
from torch import nn

from forensics.common.errors import WeightsError
from forensics.detectors import cnn, texture
from forensics.detectors.cnn import CnnDetector
from forensics.detectors.cnn_network import FaceCnn, middle_tile, resize, save_network
from forensics.detectors.devices import resolve_device, to_tensor
from forensics.detectors.model_set import Domain, ModelSet, WeightFile
from forensics.detectors.protocol import Detector, Differentiable, Explainer, sigmoid

BACKBONE = "test_efficientnet"  # 100 000 parameters, the architecture of the real one
CPU = torch.device("cpu")


def random_network(seed: int = 0, input_px: int = 64, framing: str = "whole") -> FaceCnn:
    """Random weights with a head that matters, and norms that are not those of a new network."""
    torch.manual_seed(seed)
    network = FaceCnn(BACKBONE, input_px, framing)
    head = network.backbone.get_classifier()
    nn.init.normal_(head.weight, std=0.5)
    nn.init.constant_(head.bias, 0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.2, 0.6)
    return network.eval()


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def detector() -> CnnDetector:
    return CnnDetector(random_network(), CPU)


@pytest.fixture(scope="module")
def crops(portrait) -> list[np.ndarray]:
    """More than two batches, of several sizes, some of them views that are not contiguous."""
    sides = [24, 64, 65, 100, 150, 224]
    return [portrait[20 + 3 * i :, 100 + 2 * i :][: sides[i % 6], : sides[i % 6]] for i in range(35)]


def test_it_is_all_that_a_detector_can_be(detector):
    assert isinstance(detector, Detector)
    assert isinstance(detector, Explainer)
    assert isinstance(detector, Differentiable)


def test_the_score_is_the_sigmoid_of_the_logit(detector, crops):
    for crop in crops[:6]:
        with torch.no_grad():
            logit = detector.logits(to_tensor(crop)[None]).numpy().astype(np.float64)
        assert detector.score([crop])[0] == pytest.approx(sigmoid(logit)[0], abs=1e-6)


def test_scores_do_not_depend_on_what_else_is_in_the_call(detector, crops):
    together = detector.score(crops)
    alone = np.concatenate([detector.score([crop]) for crop in crops])
    assert together.shape == (35,)
    assert together.dtype == np.float64
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(detector.score(crops[::-1])[::-1], together, atol=1e-5)
    assert np.ptp(together) > 0.01, "the random network tells these crops apart, or this test shows nothing"
    assert ((together >= 0) & (together <= 1)).all()


def test_no_crops_give_no_scores(detector):
    assert detector.score([]).shape == (0,)
    assert detector.explain([]) == []


def test_logits_are_differentiable_in_the_picture(detector, portrait):
    x = to_tensor(portrait[40:200, 150:310])[None].requires_grad_(True)
    before = detector.logits(x)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    before = before.detach()
    assert gradient.shape == x.shape
    assert torch.isfinite(gradient).all()
    # Downhill is downhill: the gradient is that of this function, and resizing is part of it.
    step = 1e-2 * gradient / gradient.norm()
    after = detector.logits((x - step).detach())
    assert float(after) == pytest.approx(float(before) - 1e-2 * float(gradient.norm()), rel=0.05, abs=1e-5)
    assert float(gradient.norm()) > 1e-3


def test_weights_are_not_trained_by_looking(detector, crops):
    assert not any(p.requires_grad for p in detector._network.parameters())
    before = {name: value.clone() for name, value in detector._network.state_dict().items()}
    detector.score(crops[:3])
    detector.explain(crops[:3])
    assert all(torch.equal(value, before[name]) for name, value in detector._network.state_dict().items())


# --- explanations -------------------------------------------------------------------------------------------------


def test_the_map_is_each_place_s_share_of_the_logit(detector, crops):
    """HiResCAM's property for average pooling and one linear layer: the unscaled map sums to the logit minus the bias."""
    network = detector._network
    weight, bias = network.backbone.get_classifier().weight[0], network.backbone.get_classifier().bias[0]
    for crop in crops[:6]:
        framed = network.frame(to_tensor(crop)[None])
        features = network.features(torch.cat([framed, framed.flip(-1)]))
        both = (weight[:, None, None] * features).sum(1) / features[0, 0].numel()
        shares = (both[0] + both[1].flip(-1)) / 2
        logit = detector.logits(to_tensor(crop)[None])
        assert float(shares.sum() + bias) == pytest.approx(float(logit), rel=1e-5, abs=1e-4)
        assert float(logit) == pytest.approx(float(network.head(features).mean()), rel=1e-5)
        expected = shares.clamp(min=0) / shares.clamp(min=0).max().clamp(min=1e-12)
        (heat,) = detector.explain([crop])
        np.testing.assert_allclose(heat, expected.detach().numpy(), atol=1e-4)


def test_maps_are_scaled_to_their_strongest_place(detector, crops):
    for heat in detector.explain(crops[:8]):
        assert heat.dtype == np.float32
        assert heat.ndim == 2
        assert heat.min() >= 0
        assert heat.max() in (0.0, pytest.approx(1.0))


class Brightness(nn.Module):
    """A backbone whose only feature is the brightness of each 8 x 8 place, and whose head likes it."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign

    def forward_features(self, x):
        return nn.functional.avg_pool2d(x.mean(1, keepdim=True) + 1, 8)

    def forward_head(self, features):
        return self.sign * features.mean((2, 3))


def bright_at(row: int, column: int, side: int) -> np.ndarray:
    crop = np.zeros((side, side, 3), np.uint8)
    step = side // 8
    crop[row * step : (row + 1) * step, column * step : (column + 1) * step] = 255
    return crop


@pytest.mark.parametrize(("row", "column"), [(0, 0), (6, 2), (2, 7)])
@pytest.mark.parametrize("side", [64, 160])
def test_the_map_lies_where_the_evidence_is(row, column, side):
    network = random_network()
    network.backbone = Brightness(1.0)
    (heat,) = CnnDetector(network, CPU).explain([bright_at(row, column, side)])
    assert heat.shape == (8, 8)
    assert np.unravel_index(heat.argmax(), heat.shape) == (row, column)


def test_evidence_for_real_is_no_evidence_for_fake():
    network = random_network()
    network.backbone = Brightness(-1.0)
    (heat,) = CnnDetector(network, CPU).explain([bright_at(3, 3, 64)])
    assert (heat == 0).all()


# --- preprocessing and files --------------------------------------------------------------------------------------


def test_resizing_is_pinned():
    ramp = torch.arange(8, dtype=torch.float32).expand(1, 1, 8, 8)
    # Antialiased bilinear, factor 2: a triangle of four pixels around each pair's middle, cut off at the border.
    expected = torch.tensor([(0 * 3 + 1 * 3 + 2 * 1) / 7, 2.5, 4.5, (5 * 1 + 6 * 3 + 7 * 3) / 7])
    torch.testing.assert_close(resize(ramp, 4)[0, 0], expected.expand(4, 4))
    assert torch.equal(resize(ramp, 8), ramp)


def test_pictures_become_tensors_in_rgb_order():
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[1, 2] = (255, 51, 0)
    tensor = to_tensor(picture)
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    assert tensor[:, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert float(tensor.sum()) == pytest.approx(1.2)


def test_the_network_normalises_to_plus_minus_one():
    network = random_network()
    seen = []
    network.backbone.forward_features = seen.append
    network.features(torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]))
    low, high = seen[0]
    assert float(low.min()) == float(low.max()) == -1
    assert float(high.min()) == float(high.max()) == 1


@pytest.mark.parametrize(
    ("side", "expected"), [(160, 128), (129, 128), (128, 128), (127, 127), (40, 40), (32, 32), (256, 128)]
)
def test_a_tile_is_copied_from_the_middle(side, expected):
    x = torch.rand(2, 3, side, side)
    tile = middle_tile(x, 128)
    first = (side - expected) // 2
    assert torch.equal(tile, x[..., first : first + expected, first : first + expected])


def test_tiles_of_very_large_and_very_small_crops_are_resized_first():
    large, small = torch.rand(1, 3, 300, 300), torch.rand(1, 3, 25, 25)
    assert torch.equal(middle_tile(large, 256), resize(large, 256))
    assert torch.equal(middle_tile(small, 128), resize(small, 32))


def test_a_framing_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="framing is 'round'"):
        FaceCnn(BACKBONE, 64, framing="round")


def test_the_texture_detector_scores_crops_of_all_sizes_one_by_one_as_together(crops, tmp_path):
    part = save_network(random_network(1, framing="tile"), tmp_path, "texture")
    assert part.settings["framing"] == "tile"
    detector = texture.load(described({"texture": part}), tmp_path, CPU)
    assert isinstance(detector, Detector)
    assert isinstance(detector, Differentiable)
    together = detector.score(crops)
    np.testing.assert_allclose(together, np.concatenate([detector.score([crop]) for crop in crops]), atol=1e-5)
    assert np.ptp(together) > 0.01
    # Outside of the tile nothing counts: the middle 64 of 100 pixels.
    crop = np.array(crops[3])
    framed = crop.copy()
    framed[:18] = framed[82:] = 0
    with torch.no_grad():
        expected, same = (float(detector.logits(to_tensor(picture)[None])) for picture in (crop, framed))
        framed[40] = 255
        other = float(detector.logits(to_tensor(framed)[None]))
    assert same == pytest.approx(expected, abs=1e-4)
    assert abs(other - expected) > 1e-2


def described(weights: dict[str, WeightFile]) -> ModelSet:
    return ModelSet(
        name="test",
        version="0",
        licence="none",
        trained_on="nothing",
        weights=weights,
        calibrations={},
        operating_points={},
        domain=Domain(min_crop_px=1, min_sharpness=0),
    )


def test_a_saved_network_scores_the_same(tmp_path, crops):
    network = random_network(3)
    expected = CnnDetector(network, CPU).score(crops[:6])
    part = cnn.save([network], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [part.file]
    assert (tmp_path / part.file).stat().st_mode & 0o777 == 0o644
    loaded = cnn.load(described({"cnn": part}), tmp_path, CPU)
    # Halves keep eleven bits of each weight.
    np.testing.assert_allclose(loaded.score(crops[:6]), expected, atol=0.02)
    # Saving again gives the same bytes, loading again the same scores.
    assert cnn.save([network], tmp_path) == part
    again = cnn.load(described({"cnn": part}), tmp_path, CPU)
    np.testing.assert_array_equal(again.score(crops[:6]), loaded.score(crops[:6]))


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": "test_resnet", "input_px": 64},
        {"backbone": "no_such_network", "input_px": 64},
        {"input_px": 64},
        {"backbone": BACKBONE, "input_px": "many"},
    ],
)
def test_weights_that_do_not_fit_their_description_are_a_typed_error(tmp_path, settings):
    part = cnn.save([random_network()], tmp_path)
    with pytest.raises(WeightsError) as caught:
        cnn.load(described({"cnn": part.model_copy(update={"settings": settings})}), tmp_path, CPU)
    assert part.file in caught.value.message
    assert caught.value.hint


def test_a_device_that_is_not_there_is_a_typed_error(monkeypatch):
    from forensics.common.errors import UsageError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == CPU
    with pytest.raises(UsageError, match="--device cuda"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"
