"""The DCT of Frank et al.: scipy's transform, the middle tile, and a detector that is its formula."""

import numpy as np
import pytest
import torch
from linear_models import described, random_arrays
from scipy.fft import dctn

from forensics.common.errors import WeightsError
from forensics.detectors import frank
from forensics.detectors.cnn_network import resize
from forensics.detectors.devices import to_tensor
from forensics.detectors.frank import TILE_PX, FrankDetector, dct_basis, log_dct
from forensics.detectors.linear import LUMA, features_of, gray_255, save_arrays
from forensics.detectors.protocol import Detector, Differentiable, sigmoid
from forensics.features.spectrum import FLOOR_DCT

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def test_it_is_the_orthonormal_dct():
    gray = np.random.default_rng(0).uniform(0, 255, (3, 128, 128))
    expected = np.log(np.abs(dctn(gray, axes=(1, 2), norm="ortho")) + FLOOR_DCT)
    np.testing.assert_allclose(log_dct(torch.from_numpy(gray)).numpy(), expected, atol=1e-9)
    basis = dct_basis(32)
    torch.testing.assert_close(basis @ basis.T, torch.eye(32, dtype=torch.float64))


@pytest.mark.parametrize(("row", "column"), [(0, 1), (5, 0), (17, 64), (127, 127)])
def test_a_cosine_is_one_coefficient(row, column):
    basis = dct_basis(128)
    wave = 100 * torch.outer(basis[row], basis[column])
    found = log_dct(wave[None])[0]
    assert divmod(int(found.argmax()), 128) == (row, column)
    assert float(found[row, column]) == pytest.approx(np.log(100), abs=1e-4)
    assert (found > np.log(FLOOR_DCT) + 1e-3).sum() == 1


def test_luma_is_that_of_bt_601():
    picture = np.zeros((1, 1, 3), np.uint8)
    picture[0, 0] = (10, 200, 30)
    assert float(gray_255(to_tensor(picture)[None])) == pytest.approx(np.dot(LUMA, (10, 200, 30)), abs=1e-4)
    assert sum(LUMA) == pytest.approx(1)


@pytest.mark.parametrize("side", [128, 129, 160, 301])
def test_the_tile_is_copied_from_the_middle(side):
    x = torch.rand(2, 3, side, side)
    first = (side - 128) // 2
    assert torch.equal(FrankDetector.frame(x), x[..., first : first + 128, first : first + 128])


@pytest.mark.parametrize("side", [20, 127])
def test_a_smaller_crop_is_enlarged(side):
    x = torch.rand(1, 3, side, side)
    assert torch.equal(FrankDetector.frame(x), resize(x, 128))


@pytest.fixture(scope="module")
def crops(portrait) -> list[np.ndarray]:
    """More than two batches, of several sizes, some of them views that are not contiguous."""
    sides = [24, 127, 128, 129, 150, 224]
    return [portrait[20 + 3 * i :, 100 + 2 * i :][: sides[i % 6], : sides[i % 6]] for i in range(36)]


@pytest.fixture(scope="module")
def detector(crops) -> FrankDetector:
    mean = features_of(FrankDetector, crops).mean(0)
    return FrankDetector(random_arrays(FrankDetector, mean, 1.5))


def test_the_score_is_the_sigmoid_of_the_logit_and_of_nobody_else_s(detector, crops):
    assert isinstance(detector, Detector)
    assert isinstance(detector, Differentiable)
    scores = detector.score(crops)
    logits = np.concatenate([detector.logits(to_tensor(crop)[None]).numpy() for crop in crops])
    np.testing.assert_allclose(scores, sigmoid(logits.astype(np.float64)), atol=1e-6)
    np.testing.assert_allclose(scores, np.concatenate([detector.score([crop]) for crop in crops]), atol=1e-9)
    assert np.ptp(scores) > 0.05
    assert detector.score([]).shape == (0,)


def test_flat_pictures_have_a_score(detector):
    flat = [np.full((140, 140, 3), value, np.uint8) for value in (0, 128, 255)]
    assert np.isfinite(detector.score(flat)).all()
    # All but the mean is the floor: rounding errors of the transform do not show.
    rest = features_of(FrankDetector, flat)[:, 1:]
    np.testing.assert_allclose(rest, np.log(FLOOR_DCT), atol=1e-6)


def test_logits_are_differentiable_also_after_scoring(detector, portrait):
    detector.score([portrait[:80, :80]])  # tables made for a score serve gradients later
    x = to_tensor(portrait[60:200, 180:320])[None].double().requires_grad_(True)
    before = detector.logits(x)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    # Logarithms of small coefficients bend sharply: only a very small step is a straight one.
    step = 1e-9 * gradient / gradient.norm()
    fall = float(before.detach()) - float(detector.logits((x - step).detach()))
    assert fall == pytest.approx(1e-9 * float(gradient.norm()), rel=0.02)
    assert float(gradient.norm()) > 1e-3


def test_outside_of_the_tile_nothing_counts(detector, portrait):
    crop = np.array(portrait[:200, 100:300])
    expected = detector.score([crop])[0]
    crop[:36] = crop[:, :36] = crop[164:] = crop[:, 164:] = 0
    assert detector.score([crop])[0] == expected
    crop[100, 100] = 255 - crop[100, 100]
    assert detector.score([crop])[0] != expected


def test_it_survives_its_file(tmp_path, detector, crops):
    arrays = random_arrays(FrankDetector, features_of(FrankDetector, crops).mean(0), 1.5)
    part = save_arrays(arrays, tmp_path, "frank", {"penalty": 1.0})
    loaded = frank.load(described({"frank": part}), tmp_path, CPU)
    np.testing.assert_array_equal(loaded.score(crops), detector.score(crops))
    assert part.file == "frank.safetensors"


def test_arrays_of_another_model_are_refused(tmp_path):
    arrays = {name: values[:300] for name, values in random_arrays(FrankDetector, np.zeros(TILE_PX**2), 1.0).items()}
    part = save_arrays(arrays, tmp_path, "frank", {})
    with pytest.raises(WeightsError, match="made for other features"):
        frank.load(described({"frank": part}), tmp_path, CPU)
