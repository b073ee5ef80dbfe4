"""The fingerprint of a detector changes with everything that its scores depend on, and with nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest
from linear_models import described, random_arrays

from forensics.common.errors import UsageError, WeightsError
from forensics.detectors import fingerprint
from forensics.detectors.durall import DurallDetector
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.linear import save_arrays
from forensics.detectors.model_set import DEFAULT_FOLDER, Calibration, ModelSet, load_model_set


@pytest.fixture
def made(tmp_path) -> tuple[ModelSet, object]:
    """A set of weights with one detector and its calibration."""
    part = save_arrays(random_arrays(DurallDetector, np.zeros(300), 1.0), tmp_path, "durall", {"inverse_penalty": 0.1})
    calibrations = {
        "durall": Calibration(coefficients={"durall": 1.5}, intercept=0.1),
        "default": Calibration(coefficients={"durall": 2.0}, intercept=0.0),
    }
    return described({"durall": part}).model_copy(update={"calibrations": calibrations}), tmp_path


def with_calibration(model_set: ModelSet, name: str, weight: float) -> ModelSet:
    changed = Calibration(coefficients={"durall": weight}, intercept=0.0)
    return model_set.model_copy(update={"calibrations": {**model_set.calibrations, name: changed}})


def test_it_is_a_hash_that_stays(made):
    first = detector_fingerprint("durall", *made)
    assert len(first) == 64
    assert int(first, 16) >= 0
    assert detector_fingerprint("durall", *made) == first
    assert detector_fingerprint("default", *made) != first


def test_names_licences_and_thresholds_are_no_part_of_it(made):
    model_set, folder = made
    other = model_set.model_copy(update={"name": "other", "licence": "other", "trained_on": "x", "selftest_logit": 3.0})
    for name in ("durall", "default"):
        assert detector_fingerprint(name, other, folder) == detector_fingerprint(name, model_set, folder)


def test_other_weights_are_another_detector(made):
    model_set, folder = made
    before = {name: detector_fingerprint(name, model_set, folder) for name in ("durall", "default")}
    part = save_arrays(random_arrays(DurallDetector, np.zeros(300), 1.0, seed=1), folder, "durall", {})
    other = model_set.model_copy(update={"weights": {"durall": part}})
    assert all(detector_fingerprint(name, other, folder) != before[name] for name in before)
    # The old description beside the new file: not what is pinned.
    with pytest.raises(WeightsError, match="is pinned"):
        detector_fingerprint("durall", model_set, folder)


def test_a_calibration_counts_where_it_is_used(made):
    model_set, folder = made
    fused, alone = (with_calibration(model_set, name, 9.0) for name in ("default", "durall"))
    assert detector_fingerprint("durall", fused, folder) == detector_fingerprint("durall", model_set, folder)
    assert detector_fingerprint("default", fused, folder) != detector_fingerprint("default", model_set, folder)
    assert detector_fingerprint("durall", alone, folder) != detector_fingerprint("durall", model_set, folder)
    assert detector_fingerprint("default", alone, folder) == detector_fingerprint("default", model_set, folder)


def test_another_version_of_the_package_computes_something_else(made, monkeypatch):
    before = detector_fingerprint("durall", *made)
    monkeypatch.setattr(fingerprint, "__version__", "99")
    assert detector_fingerprint("durall", *made) != before


@pytest.mark.parametrize("prefix", ["", "meso4@"])
def test_a_user_s_file_is_its_content_wherever_it_lies(made, tmp_path, prefix):
    name = "m.h5" if prefix else "m.py"
    (tmp_path / "b").mkdir()
    (tmp_path / name).write_bytes(b"one")
    (tmp_path / "b" / name).write_bytes(b"one")
    first, second = (detector_fingerprint(f"{prefix}{folder / name}", *made) for folder in (tmp_path, tmp_path / "b"))
    assert first == second
    (tmp_path / name).write_bytes(b"two")
    assert detector_fingerprint(f"{prefix}{tmp_path / name}", *made) != first
    with pytest.raises(UsageError, match="cannot read"):
        detector_fingerprint(f"{prefix}{tmp_path / 'nowhere' / name}", *made)


def test_a_package_s_detector_is_its_distribution(made, monkeypatch):
    def offer(version: str):
        point = SimpleNamespace(value="pkg:Detector", dist=SimpleNamespace(name="pkg", version=version))
        return lambda group, name: [point] if name == "plugin" else []

    found = []
    for version in ("1.0", "1.0", "1.1"):
        monkeypatch.setattr(fingerprint, "entry_points", offer(version))
        found.append(detector_fingerprint("plugin", *made))
    assert found[0] == found[1] != found[2]


def test_what_is_not_there_is_a_typed_error(made):
    with pytest.raises(UsageError, match="no detector 'blue'"):
        detector_fingerprint("blue", *made)
    with pytest.raises(UsageError, match="'cnn' reads no weights file"):
        detector_fingerprint("cnn@x.h5", *made)
    with pytest.raises(WeightsError, match="no weights of the detector 'cnn'"):
        detector_fingerprint("cnn", *made)
    model_set, folder = made
    without = model_set.model_copy(update={"calibrations": {}})
    with pytest.raises(WeightsError, match="no fusion 'default'"):
        detector_fingerprint("default", without, folder)


def test_the_shipped_detectors_all_differ():
    model_set, folder = load_model_set(DEFAULT_FOLDER)
    found = [detector_fingerprint(name, model_set, folder) for name in ["default", *model_set.weights]]
    assert len(set(found)) == len(found)
