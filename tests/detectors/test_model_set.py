"""Sets of weights: what is pinned is checked, what is wrong is named; the spectrum detector's file among them."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import save_file

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.detectors import spectrum
from forensics.detectors.model_set import (
    DEFAULT_FOLDER,
    DESCRIPTION,
    SELFTEST_PICTURE,
    Calibration,
    Domain,
    ModelSet,
    WeightFile,
    checked_file,
    checked_files,
    load_model_set,
    log_odds_of_any,
)
from forensics.detectors.protocol import MAX_LOGIT, logit, sigmoid
from forensics.features.spectrum import N_FEATURES, spectrum_features

CPU = torch.device("cpu")


def described(weights: dict[str, WeightFile]) -> ModelSet:
    return ModelSet(
        name="test",
        version="0",
        licence="none",
        trained_on="nothing",
        weights=weights,
        calibrations={"default": Calibration(coefficients={"spectrum": 1.5}, intercept=-0.5)},
        operating_points={},
        domain=Domain(min_crop_px=1, min_sharpness=0.5),
    )


def random_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "mean": rng.normal(size=N_FEATURES).astype(np.float32),
        "scale": rng.uniform(0.5, 2, N_FEATURES).astype(np.float32),
        "coefficients": rng.normal(0, 0.05, N_FEATURES).astype(np.float32),
        "intercept": np.array([0.25], np.float32),
    }


@pytest.fixture
def folder(tmp_path):
    """A set with the spectrum detector alone."""
    part = spectrum.save(random_arrays(), tmp_path)
    (tmp_path / DESCRIPTION).write_text(described({"spectrum": part}).model_dump_json(), encoding="utf-8")
    return tmp_path


def test_a_set_is_read_as_it_was_written(folder):
    model_set, found = load_model_set(folder)
    assert found == folder
    assert model_set == described(model_set.weights)
    assert model_set.hashes == {"spectrum.safetensors": sha256_of_file(folder / "spectrum.safetensors")}
    assert checked_file(model_set, folder, "spectrum") == folder / "spectrum.safetensors"


ANY = Calibration(coefficients={"x": 2.0, "y": 0.5, "z": 0.0}, intercept=0.0, offsets={"x": -1.0, "y": 0.25, "z": 9.0})


def test_any_of_several_is_one_minus_the_product_of_what_they_leave():
    logits = {"x": np.array([0.0, 1.5, -2.0]), "y": np.array([1.0, -3.0, 0.0]), "z": np.array([5.0, 5.0, 5.0])}
    each = [sigmoid(2 * logits["x"] - 1), sigmoid(0.5 * logits["y"] + 0.25)]
    np.testing.assert_allclose(sigmoid(ANY.fuse(logits)), 1 - (1 - each[0]) * (1 - each[1]), atol=1e-12)
    assert ANY.formula() == "any of (2.000 × x - 1.000; 0.500 × y + 0.250)"


@pytest.mark.parametrize("value", [-1e4, -800.0, 800.0, 1e4])
def test_log_odds_of_any_overflow_nowhere(value):
    found = log_odds_of_any([np.array([value]), np.array([-1e4])])
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(value, rel=1e-6) or value < -700


def test_an_or_is_read_as_it_was_written_and_a_sum_is_written_as_it_always_was():
    assert Calibration.model_validate_json(ANY.model_dump_json()) == ANY
    plain = Calibration(coefficients={"x": 1.0}, intercept=0.5)
    assert plain.model_dump() == {"coefficients": {"x": 1.0}, "intercept": 0.5}


@pytest.mark.parametrize(
    "changed", [{"intercept": 0.1}, {"offsets": {"x": 1.0}}, {"offsets": {"x": 1.0, "y": 1.0, "z": 1.0, "w": 1.0}}]
)
def test_offsets_that_do_not_fit_are_refused(changed):
    with pytest.raises(ValidationError):
        Calibration.model_validate({**ANY.model_dump(), **changed})


def test_the_shipped_set_is_whole():
    model_set, folder = load_model_set()
    assert folder == DEFAULT_FOLDER
    for name in model_set.weights:
        checked_files(model_set, folder, name)
    for calibration in model_set.calibrations.values():
        assert set(calibration.coefficients) <= set(model_set.weights)
    assert set(model_set.operating_points) == set(model_set.calibrations)
    for point in model_set.operating_points.values():
        assert 0 <= point.threshold_real < point.threshold_fake <= 1
    assert SELFTEST_PICTURE.is_file()


def test_changed_bytes_are_refused_before_they_are_parsed(folder):
    model_set, _ = load_model_set(folder)
    path = folder / "spectrum.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="is pinned") as caught:
        spectrum.load(model_set, folder, CPU)
    assert "changed or damaged" in caught.value.hint


def test_a_missing_file_is_named(folder):
    model_set, _ = load_model_set(folder)
    (folder / "spectrum.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"spectrum\.safetensors is missing") as caught:
        spectrum.load(model_set, folder, CPU)
    assert "--weights" in caught.value.hint


def test_a_detector_that_the_set_lacks_is_named(folder):
    model_set, _ = load_model_set(folder)
    with pytest.raises(WeightsError, match="no weights of the detector 'cnn'") as caught:
        checked_file(model_set, folder, "cnn")
    assert "spectrum" in caught.value.hint


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no weights in") as caught:
        load_model_set(tmp_path / "nowhere")
    assert "--weights" in caught.value.hint
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(WeightsError, match="no weights in"):
        load_model_set(tmp_path / "file")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}', "\x00"])
def test_a_description_that_is_none_is_refused(tmp_path, text):
    (tmp_path / DESCRIPTION).write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match="not a description") as caught:
        load_model_set(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("change", [{"surprise": 1}, {"calibrations": {"default": {"coefficients": {"a": "x"}}}}])
def test_unknown_and_wrong_fields_are_refused(folder, change):
    values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    (folder / DESCRIPTION).write_text(json.dumps({**values, **change}), encoding="utf-8")
    with pytest.raises(WeightsError, match="not a description"):
        load_model_set(folder)


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/passwd", "", "a b"])
def test_a_weights_file_lies_in_its_folder(folder, name):
    values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    values["weights"]["spectrum"]["file"] = name
    (folder / DESCRIPTION).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(WeightsError):
        load_model_set(folder)


def test_fusion_is_the_sum_of_weighted_logits():
    calibration = Calibration(coefficients={"a": 2.0, "b": -0.5}, intercept=0.25)
    fused = calibration.fuse({"a": np.array([1.0, 0.0]), "b": np.array([4.0, 2.0]), "unused": np.array([9.0, 9.0])})
    np.testing.assert_allclose(fused, [0.25 + 2 - 2, 0.25 - 1])


# --- the spectrum detector ----------------------------------------------------------------------------------------


def test_the_spectrum_detector_is_its_formula(portrait):
    arrays = random_arrays()
    crops = [portrait[20 : 20 + side, 150 : 150 + side] for side in (24, 64, 121)]
    expected = [
        sigmoid(((spectrum_features(c) - arrays["mean"]) / arrays["scale"]) @ arrays["coefficients"] + 0.25)
        for c in crops
    ]
    scores = spectrum.SpectrumDetector(arrays).score(crops)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.ptp(scores) > 1e-3
    alone = np.concatenate([spectrum.SpectrumDetector(arrays).score([crop]) for crop in crops])
    np.testing.assert_allclose(scores, alone, atol=1e-12)
    assert spectrum.SpectrumDetector(arrays).score([]).shape == (0,)


def test_the_spectrum_detector_survives_its_file(tmp_path, portrait):
    arrays = random_arrays(5)
    part = spectrum.save(arrays, tmp_path)
    loaded = spectrum.load(described({"spectrum": part}), tmp_path, CPU)
    crops = [portrait[:90, 150:240], portrait[100:200, 100:200]]
    np.testing.assert_allclose(loaded.score(crops), spectrum.SpectrumDetector(arrays).score(crops), atol=1e-12)
    assert [path.name for path in tmp_path.iterdir()] == [part.file]
    assert (tmp_path / part.file).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "change",
    [{"mean": np.zeros(3, np.float32)}, {"intercept": np.zeros(2, np.float32)}, {"scale": None}],
    ids=["shape", "intercept", "missing"],
)
def test_arrays_of_another_model_are_refused(tmp_path, change):
    arrays = {name: value for name, value in {**random_arrays(), **change}.items() if value is not None}
    save_file(arrays, tmp_path / "s.safetensors")
    part = WeightFile(file="s.safetensors", sha256=sha256_of_file(tmp_path / "s.safetensors"))
    with pytest.raises(WeightsError, match=r"s\.safetensors"):
        spectrum.load(described({"spectrum": part}), tmp_path, CPU)


def test_bytes_that_are_no_safetensors_are_refused(tmp_path):
    (tmp_path / "s.safetensors").write_bytes(b"PK\x03\x04 a pickle, say")
    part = WeightFile(file="s.safetensors", sha256=sha256_of_file(tmp_path / "s.safetensors"))
    with pytest.raises(WeightsError, match="not a spectrum model"):
        spectrum.load(described({"spectrum": part}), tmp_path, CPU)


# --- log odds -----------------------------------------------------------------------------------------------------


def test_logit_and_sigmoid_are_inverse_and_bounded():
    scores = np.array([1e-9, 0.1, 0.5, 0.9, 1 - 1e-9])
    np.testing.assert_allclose(sigmoid(logit(scores)), scores, rtol=1e-6)
    np.testing.assert_array_equal(logit(np.array([0.0, 0.5, 1.0])), [-MAX_LOGIT, 0.0, MAX_LOGIT])
    found = sigmoid(np.array([-1e9, 1e9]))
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert np.isfinite(logit(found)).all()
