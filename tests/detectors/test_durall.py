"""The azimuthal spectrum of Durall et al.: known frequencies lie where they should, and the detector is its formula."""

import numpy as np
import pytest
import torch
from linear_models import described, random_arrays
from safetensors.numpy import save_file

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.detectors import durall
from forensics.detectors.devices import to_tensor
from forensics.detectors.durall import LENGTH, MAX_SIDE_PX, DurallDetector, azimuthal_log_profile
from forensics.detectors.linear import features_of, save_arrays
from forensics.detectors.model_set import WeightFile
from forensics.detectors.protocol import Detector, Differentiable, sigmoid

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def profile_of(gray: np.ndarray, length: int = LENGTH) -> np.ndarray:
    return azimuthal_log_profile(torch.from_numpy(gray.astype(np.float64))[None], length)[0].numpy()


def grating(side: int, frequency: float) -> np.ndarray:
    """A wave along x with `frequency` cycles per pixel, on mid grey."""
    return np.broadcast_to(128 + 60 * np.cos(2 * np.pi * frequency * np.arange(side)), (side, side))


def frequency_of_peak(profile: np.ndarray) -> float:
    """Cycles per pixel of the strongest place beside the mean; the last place is the corner, 0.707."""
    first = 8
    return (first + int(np.argmax(profile[first:]))) / (len(profile) - 1) * np.sqrt(0.5)


@pytest.mark.parametrize("side", [64, 100, 200])
def test_it_is_the_mean_over_each_radius(side):
    """Against loops over the places of the transform, radius by radius."""
    gray = np.random.default_rng(side).integers(0, 256, (side, side)).astype(np.float64)
    log = np.log1p(np.abs(np.fft.fft2(gray)))
    frequencies = np.fft.fftfreq(side) * side
    radius = np.floor(np.hypot(frequencies[:, None], frequencies[None, :]) + 1e-9).astype(int)
    curve = np.array([log[radius == r].mean() for r in range(radius.max() + 1)])
    expected = np.interp(np.linspace(0, len(curve) - 1, LENGTH), np.arange(len(curve)), curve) / curve[0]
    np.testing.assert_allclose(profile_of(gray), expected, rtol=1e-10)


@pytest.mark.parametrize("frequency", [1 / 16, 1 / 8, 1 / 4, 1 / 2])
@pytest.mark.parametrize("side", [64, 128])
def test_a_grating_is_seen_at_its_frequency(frequency, side):
    assert frequency_of_peak(profile_of(grating(side, frequency))) == pytest.approx(frequency, abs=0.75 / side)


def test_doubling_a_picture_halves_its_frequency():
    wave = grating(64, 1 / 4)
    assert frequency_of_peak(profile_of(wave.repeat(2, 0).repeat(2, 1))) == pytest.approx(1 / 8, abs=0.01)


def test_the_corner_is_part_of_it():
    """A chequerboard of single pixels, the trace of up-sampling by two, lies beyond the Nyquist frequency of a row."""
    board = 128 + 60 * (1 - 2 * (np.indices((64, 64)).sum(0) % 2))
    assert int(np.argmax(profile_of(board)[8:])) + 8 == LENGTH - 1


@pytest.mark.parametrize("side", [1, 2, 3, 24, 97, 256])
def test_every_size_gives_the_same_length(side):
    profile = profile_of(np.random.default_rng(0).uniform(1, 255, (side, side)))
    assert profile.shape == (LENGTH,)
    assert profile[0] == pytest.approx(1)
    assert np.isfinite(profile).all()


def test_flat_and_black_pictures_have_a_profile():
    assert (profile_of(np.zeros((40, 40))) == 0).all()
    flat = profile_of(np.full((40, 40), 77.0))
    assert flat[0] == pytest.approx(1)
    assert np.abs(flat[12:]).max() < 1e-6  # the first places lie between the radii 0 and 1


@pytest.fixture(scope="module")
def crops(portrait) -> list[np.ndarray]:
    """More than two batches, of several sizes, some of them views that are not contiguous."""
    sides = [24, 64, 65, 100, 150, 224]
    return [portrait[20 + 3 * i :, 100 + 2 * i :][: sides[i % 6], : sides[i % 6]] for i in range(36)]


@pytest.fixture(scope="module")
def detector(crops) -> DurallDetector:
    mean = features_of(DurallDetector, crops).mean(0)
    return DurallDetector(random_arrays(DurallDetector, mean, 0.05))


def test_the_score_is_the_sigmoid_of_the_logit_and_of_nobody_else_s(detector, crops):
    assert isinstance(detector, Detector)
    assert isinstance(detector, Differentiable)
    scores = detector.score(crops)
    logits = np.concatenate([detector.logits(to_tensor(crop)[None]).numpy() for crop in crops])
    np.testing.assert_allclose(scores, sigmoid(logits.astype(np.float64)), atol=1e-6)
    np.testing.assert_allclose(scores, np.concatenate([detector.score([crop]) for crop in crops]), atol=1e-9)
    assert np.ptp(scores) > 0.05
    assert detector.score([]).shape == (0,)


def test_logits_are_differentiable_also_after_scoring(detector, portrait):
    detector.score([portrait[:80, :80]])  # tables made for a score serve gradients later
    x = to_tensor(portrait[60:140, 180:260])[None].requires_grad_(True)
    before = detector.logits(x)
    assert before.dtype == torch.float32
    (gradient,) = torch.autograd.grad(before.sum(), x)
    step = 1e-4 * gradient / gradient.norm()
    fall = detector.logits(x.detach().double()) - detector.logits((x - step).detach().double())
    assert float(fall) == pytest.approx(1e-4 * float(gradient.norm()), rel=0.05)
    assert float(gradient.norm()) > 1e-3


def test_a_very_large_crop_is_its_middle(portrait):
    large = np.tile(portrait, (3, 3, 1))[: MAX_SIDE_PX + 200, : MAX_SIDE_PX + 200]
    middle = large[100 : 100 + MAX_SIDE_PX, 100 : 100 + MAX_SIDE_PX]
    np.testing.assert_array_equal(features_of(DurallDetector, [large]), features_of(DurallDetector, [middle]))


def test_it_survives_its_file(tmp_path, detector, crops):
    arrays = random_arrays(DurallDetector, features_of(DurallDetector, crops).mean(0), 0.05)
    part = save_arrays(arrays, tmp_path, "durall", {"inverse_penalty": 0.1})
    loaded = durall.load(described({"durall": part}), tmp_path, CPU)
    np.testing.assert_array_equal(loaded.score(crops), detector.score(crops))
    assert [path.name for path in tmp_path.iterdir()] == [part.file] == ["durall.safetensors"]
    assert (tmp_path / part.file).stat().st_mode & 0o777 == 0o644
    assert part.settings == {"inverse_penalty": 0.1}


@pytest.mark.parametrize(
    "change", [{"mean": np.zeros(3, np.float32)}, {"intercept": np.zeros(2, np.float32)}, {"scale": None}]
)
def test_arrays_of_another_model_are_refused(tmp_path, change):
    arrays = {**random_arrays(DurallDetector, np.zeros(LENGTH), 1.0), **change}
    save_file({name: value for name, value in arrays.items() if value is not None}, tmp_path / "d.safetensors")
    part = WeightFile(file="d.safetensors", sha256=sha256_of_file(tmp_path / "d.safetensors"))
    with pytest.raises(WeightsError, match=r"d\.safetensors"):
        durall.load(described({"durall": part}), tmp_path, CPU)
