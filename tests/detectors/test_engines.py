"""Engines score as torch does, and say so when they cannot; small random networks."""

import numpy as np
import pytest
import torch
from torch import nn

from forensics.common.errors import UsageError
from forensics.config import ScanConfig
from forensics.detectors.cnn import CnnDetector
from forensics.detectors.cnn_network import FaceCnn, fold_norms, save_network
from forensics.detectors.devices import to_tensor
from forensics.detectors.engines import choice
from forensics.detectors.engines.choice import TORCH, EngineChoice, missing_packages, recorded_engine, resolve_engine
from forensics.detectors.engines.torch_engine import TorchEngine
from forensics.detectors.model_set import Domain, ModelSet
from forensics.detectors.protocol import Differentiable, Explainer, logit
from forensics.detectors.registry import load_detector
from forensics.detectors.texture import TextureDetector

# lite0 is the shipped architecture, with its same padding that depends on the picture's size.
BACKBONE = "tf_efficientnet_lite0"
CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def random_network(framing: str) -> FaceCnn:
    """Random weights whose logits of noise have mean 0 and deviation 1, norms folded as in a loaded one."""
    torch.manual_seed(0)
    network = FaceCnn(BACKBONE, 64, framing)
    head = network.backbone.get_classifier()
    nn.init.normal_(head.weight)
    with torch.no_grad():
        noise = torch.rand(16, 3, 64, 64) * torch.rand(16, 1, 1, 1)
        network.train()
        network.features(noise)  # norms get to know their inputs
        fold_norms(network.eval())
        found = network(noise)
        head.weight /= found.std()
        head.bias.copy_(-found.mean() / found.std())
    return network


@pytest.fixture(scope="module")
def crops(portrait) -> list[np.ndarray]:
    """Sizes around the tile's own, odd ones among them: 32 is the smallest tile."""
    sides = [24, 32, 33, 47, 63, 64, 65, 120]
    return [portrait[20 + 9 * i :, 100 + 12 * i :][:side, :side] for i, side in enumerate(sides)]


@pytest.fixture(scope="module", params=["whole", "tile"])
def pair(request, crops):
    """A kind of detector, and its scores by torch."""
    kind = CnnDetector if request.param == "whole" else TextureDetector
    network = random_network(request.param)
    expected = kind(network, CPU).score(crops)
    assert np.ptp(expected) > 0.02, "the random network tells these crops apart, or these tests show nothing"
    return kind, network, expected


def needed(name: str) -> None:
    missing = missing_packages(name)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_another_engine_scores_the_same_at_every_size_and_batch(name, pair, crops):
    needed(name)
    kind, network, expected = pair
    detector = kind(network, CPU)
    detector.use_engine(EngineChoice(name, "f32"))
    together = detector.score(crops)
    np.testing.assert_allclose(together, expected, atol=1e-4)
    np.testing.assert_array_equal(detector.score(crops), together)
    np.testing.assert_allclose(np.concatenate([detector.score([crop]) for crop in crops]), together, atol=1e-5)
    assert detector.score([]).shape == (0,)


def test_openvino_computes_in_f32_unless_bf16_is_asked_for(crops):
    needed("openvino")
    network = random_network("whole")
    detector = CnnDetector(network, CPU)
    expected, gaps = detector.score(crops), {}
    for precision in ("auto", "bf16"):
        detector.use_engine(EngineChoice("openvino", precision))
        gaps[precision] = float(np.abs(logit(detector.score(crops)) - logit(expected)).max())
    # bf16 keeps eight bits and cannot be as near as this; a processor without it computes in f32.
    assert gaps["auto"] < 1e-4
    assert gaps["bf16"] < 0.5


def test_bf16_by_torch_is_near_and_not_equal(pair, crops):
    kind, network, expected = pair
    detector = kind(network, CPU)
    detector.use_engine(EngineChoice("torch", "bf16"))
    gap = np.abs(logit(detector.score(crops)) - logit(expected)).max()
    assert 1e-6 < gap < 0.5


def test_torch_s_engine_is_the_default_and_exact(pair, crops):
    kind, network, expected = pair
    detector = kind(network, CPU)
    detector.use_engine(TORCH)
    np.testing.assert_array_equal(detector.score(crops), expected)


def test_heatmaps_and_gradients_remain_torch_s(portrait):
    needed("onnx")
    network = random_network("whole")
    crop = portrait[40:140, 150:250]
    before = CnnDetector(network, CPU).explain([crop])[0]
    detector = CnnDetector(network, CPU)
    detector.use_engine(EngineChoice("onnx"))
    assert isinstance(detector, Explainer)
    assert isinstance(detector, Differentiable)
    np.testing.assert_array_equal(detector.explain([crop])[0], before)
    x = to_tensor(crop)[None].requires_grad_(True)
    (gradient,) = torch.autograd.grad(detector.logits(x).sum(), x)
    assert float(gradient.abs().max()) > 0


def test_the_registry_hands_the_engine_on(tmp_path, crops):
    needed("onnx")
    torch.manual_seed(0)
    part = save_network(FaceCnn("test_efficientnet", 64), tmp_path, "cnn")
    model_set = ModelSet(
        name="test",
        version="0",
        licence="none",
        trained_on="nothing",
        weights={"cnn": part},
        calibrations={},
        operating_points={},
        domain=Domain(min_crop_px=1, min_sharpness=0),
    )
    by_torch = load_detector("cnn", model_set, tmp_path, CPU)
    by_onnx = load_detector("cnn", model_set, tmp_path, CPU, EngineChoice("onnx"))
    assert isinstance(by_torch._engine, TorchEngine)
    assert not isinstance(by_onnx._engine, TorchEngine)
    np.testing.assert_allclose(by_onnx.score(crops), by_torch.score(crops), atol=1e-4)


# --- the choice -----------------------------------------------------------------------------------------------------


def installed(monkeypatch, *names: str) -> None:
    monkeypatch.setattr(choice, "_version", lambda package: "1.2" if package in names else None)


def test_auto_is_openvino_on_a_cpu_that_has_it_and_else_torch(monkeypatch):
    installed(monkeypatch, "openvino", "onnx")
    assert resolve_engine("auto", "auto", "cpu").name == "openvino"
    assert resolve_engine("auto", "bf16", "cpu") == EngineChoice("openvino", "bf16")
    assert resolve_engine("auto", "auto", "cuda").name == "torch"
    installed(monkeypatch, "openvino")  # networks reach it through onnx
    assert resolve_engine("auto", "auto", "cpu").name == "torch"


@pytest.mark.parametrize(
    ("name", "precision", "device", "said"),
    [
        ("openvino", "auto", "cpu", "needs openvino and onnx"),
        ("onnx", "auto", "cpu", "needs onnxruntime and onnx"),
        ("compile", "auto", "cpu", "is for a GPU"),
        ("compile", "auto", "mps", "is for a GPU"),
    ],
)
def test_an_engine_that_cannot_be_is_a_typed_error(monkeypatch, name, precision, device, said):
    installed(monkeypatch)
    with pytest.raises(UsageError, match=said) as caught:
        resolve_engine(name, precision, device)
    assert caught.value.hint


def test_what_an_installed_engine_cannot_do_is_a_typed_error(monkeypatch):
    installed(monkeypatch, "openvino", "onnxruntime", "onnx")
    with pytest.raises(UsageError, match="runs on the CPU, not on cuda"):
        resolve_engine("openvino", "auto", "cuda")
    with pytest.raises(UsageError, match="f32 only"):
        resolve_engine("onnx", "bf16", "cpu")


def test_a_record_s_options_say_which_engine_scored(monkeypatch):
    installed(monkeypatch, "openvino", "onnx")
    options = ScanConfig(engine="auto", device="cpu").analysis_options()
    assert (options["engine"], options["precision"]) == ("openvino 1.2", "auto")
    assert options == ScanConfig(engine="openvino", device="cpu").analysis_options()
    installed(monkeypatch)
    assert ScanConfig(engine="auto", device="cpu").analysis_options()["engine"] == "torch"
    assert ScanConfig().analysis_options()["engine"] == "torch"
    assert recorded_engine(TORCH) == "torch"
