"""MesoNet: the size that the paper gives, the function that Keras computes, the protocol of a detector, its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from keras_files import keras_arrays, keras_probability, write_keras

from forensics.common.errors import WeightsError
from forensics.detectors.cnn_network import save_network
from forensics.detectors.devices import to_tensor
from forensics.detectors.mesonet import (
    INPUT_PX,
    InceptionBlock,
    MesoNet,
    load_meso4,
    load_mesoinception4,
    load_published,
)
from forensics.detectors.model_set import Domain, ModelSet, WeightFile
from forensics.detectors.protocol import Detector, Differentiable, sigmoid
from forensics.media.image import read_image

CPU = torch.device("cpu")
KINDS = ["meso4", "mesoinception4"]
LOADERS = {"meso4": load_meso4, "mesoinception4": load_mesoinception4}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    pytest.importorskip("h5py")
    folder = tmp_path_factory.mktemp("keras")
    return {kind: write_keras(folder / f"{kind}.h5", keras_arrays(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def crops(portrait) -> list[np.ndarray]:
    """More than one batch, of several sizes, some of them views that are not contiguous."""
    sides = [30, 256, 130, 300]
    return [portrait[20 + 3 * i :, 100 + 2 * i :][: sides[i % 4], : sides[i % 4]] for i in range(18)]


@pytest.mark.parametrize(("kind", "count"), [("meso4", 27_977), ("mesoinception4", 28_615)])
def test_the_networks_have_the_paper_s_size(kind, count):
    assert sum(p.numel() for p in MesoNet(kind).parameters()) == count


@pytest.mark.parametrize("kind", KINDS)
def test_they_begin_as_keras_begins(kind):
    torch.manual_seed(0)
    network = MesoNet(kind)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            area = module.weight[0, 0].numel()
            limit = (6 / (area * sum(module.weight.shape[:2]))) ** 0.5
            assert float(module.weight.detach().abs().max()) <= limit
            assert not module.bias.any()
    assert network.features(torch.rand(2, 3, INPUT_PX, INPUT_PX)).shape == (2, 16, 8, 8)


def test_the_branches_of_a_block_look_as_far_as_their_dilation():
    block = InceptionBlock(3, (1, 4, 4, 2))
    for parameter in block.parameters():
        torch.nn.init.ones_(parameter)  # nothing is cut off, nothing cancels
    x = torch.rand(1, 3, 15, 15, requires_grad=True)
    y = block(x)
    assert y.shape == (1, 11, 15, 15)
    for channels, rate in [(slice(0, 1), 0), (slice(1, 5), 1), (slice(5, 9), 2), (slice(9, 11), 3)]:
        (gradient,) = torch.autograd.grad(y[0, channels, 7, 7].sum(), x, retain_graph=True)
        seen = {tuple(place) for place in (gradient[0].abs().sum(0) > 0).nonzero().tolist()}
        assert seen == {(7 + rate * i, 7 + rate * j) for i in (-1, 0, 1) for j in (-1, 0, 1)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_keras_file_computes_what_keras_computes(files, kind, portrait):
    detector = load_published(kind, files[kind], CPU)
    arrays = keras_arrays(kind)
    for crop in (portrait[:256, 100:356], portrait[200:456, 200:456]):
        probability_of_real = keras_probability(kind, arrays, crop / 255.0)
        assert 0.001 < probability_of_real < 0.999
        assert detector.score([crop])[0] == pytest.approx(1 - probability_of_real, abs=1e-4)


@pytest.mark.parametrize(
    ("file", "kind", "expected"),
    [
        ("Meso4_DF.h5", "meso4", (0.010, 0.003, 0.949, 0.976)),
        ("MesoInception_DF.h5", "mesoinception4", (0.000, 0.000, 0.978, 0.999)),
    ],
)
def test_the_published_weights_know_the_published_pictures(data_folder, file, kind, expected):
    pytest.importorskip("h5py")
    folder = data_folder / "peers" / "mesonet"
    names = ("real00240", "real00772", "df00204", "df01254")
    scores = load_published(kind, folder / file, CPU).score([read_image(folder / f"{name}.jpg") for name in names])
    np.testing.assert_allclose(scores, expected, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_detector_whose_score_is_the_sigmoid_of_its_logit(files, kind, crops):
    detector = load_published(kind, files[kind], CPU)
    assert isinstance(detector, Detector)
    assert isinstance(detector, Differentiable)
    assert detector.name == kind
    together = detector.score(crops)
    np.testing.assert_allclose(together, np.concatenate([detector.score([crop]) for crop in crops]), atol=1e-5)
    assert np.ptp(together) > 0.01, "the random network tells these crops apart, or this test shows nothing"
    with torch.no_grad():
        logits = np.concatenate([detector.logits(to_tensor(crop)[None]).numpy() for crop in crops])
    np.testing.assert_allclose(together, sigmoid(logits.astype(np.float64)), atol=1e-4)
    assert detector.score([]).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_differentiable_in_the_picture(files, kind, portrait):
    detector = load_published(kind, files[kind], CPU)
    x = to_tensor(portrait[:200, 120:320])[None].requires_grad_(True)
    before = detector.logits(x)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    step = 1e-3 * gradient / gradient.norm()
    after = detector.logits((x - step).detach())
    fall = 1e-3 * float(gradient.norm())
    assert fall > 1e-5
    assert float(before.detach()) - float(after) == pytest.approx(fall, rel=0.1)


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_network_survives_its_file(kind, tmp_path, crops):
    torch.manual_seed(3)
    network = MesoNet(kind)
    part = save_network(network, tmp_path, kind)
    assert part.settings == {"input_px": INPUT_PX}
    loaded = LOADERS[kind](described({kind: part}), tmp_path, CPU)
    with torch.no_grad():
        expected = network.eval()(to_tensor(crops[1])[None])
        found = loaded.logits(to_tensor(crops[1])[None])
    assert float(found) == pytest.approx(float(expected), abs=0.02)  # halves keep eleven bits of each weight


def test_the_file_of_the_other_network_is_refused(tmp_path):
    part = save_network(MesoNet("meso4"), tmp_path, "mesoinception4")
    with pytest.raises(WeightsError, match=r"mesoinception4\.safetensors does not fit mesoinception4"):
        load_mesoinception4(described({"mesoinception4": part}), tmp_path, CPU)
    with pytest.raises(WeightsError, match="no weights of the detector 'meso4'"):
        load_meso4(described({}), tmp_path, CPU)
