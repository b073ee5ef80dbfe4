"""Detectors named with a file: which file serves which, what they are called, and what their scores are traced to."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from keras_files import keras_arrays, write_keras
from linear_models import described
from PIL import Image

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.config import ScanConfig
from forensics.detectors.bank import DetectorBank
from forensics.detectors.model_set import Calibration, load_model_set
from forensics.detectors.peer_weights import file_hashes, shown_name, split_name, with_weights
from forensics.detectors.protocol import Subject, logit
from forensics.detectors.registry import load_detector
from forensics.scan import Scanner

pytest.importorskip("h5py")
CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two files of Meso-4 and one of MesoInception-4."""
    path = tmp_path_factory.mktemp("peers")
    for name, kind, seed in [("A.h5", "meso4", 1), ("B.h5", "meso4", 2), ("I.h5", "mesoinception4", 1)]:
        write_keras(path / name, keras_arrays(kind, seed))
    (path / "again").mkdir()
    write_keras(path / "again" / "A.h5", keras_arrays("meso4", 3))
    return path


# --- names --------------------------------------------------------------------------------------------------------


def test_a_name_with_a_file_is_split():
    assert split_name("meso4") == ("meso4", None)
    assert split_name("meso4@a/b.h5") == ("meso4", Path("a/b.h5"))
    assert split_name("mesoinception4@/x@y/z.h5") == ("mesoinception4", Path("/x@y/z.h5"))
    assert split_name("my@detector.py") == ("my@detector.py", None)


@pytest.mark.parametrize(("name", "message"), [("cnn@x.h5", "'cnn' reads no"), ("@x.h5", "''"), ("meso4@", "no file")])
def test_names_that_make_no_sense_are_a_typed_error(name, message):
    with pytest.raises(UsageError, match=message) as caught:
        split_name(name)
    assert caught.value.hint


def test_what_is_shown_has_no_path_in_it():
    assert shown_name("meso4@/secret/Meso4_DF.h5") == "meso4@Meso4_DF"
    assert shown_name("meso4@a/\x1b[2Jb c.h5") == "meso4@2Jb_c"
    assert shown_name("spectrum") == "spectrum"


# --- attaching ----------------------------------------------------------------------------------------------------


def test_each_file_goes_to_the_detector_that_it_fits(folder):
    files = [folder / "I.h5", folder / "A.h5"]
    assert with_weights(["meso4", "default", "mesoinception4"], files) == (
        f"meso4@{folder / 'A.h5'}",
        "default",
        f"mesoinception4@{folder / 'I.h5'}",
    )


def test_two_files_of_one_network_are_two_detectors(folder):
    files = [folder / "B.h5", folder / "A.h5", folder / "B.h5"]
    assert with_weights(["meso4"], files) == (f"meso4@{folder / 'B.h5'}", f"meso4@{folder / 'A.h5'}")


def test_without_files_nothing_changes():
    assert with_weights(["default", "meso4"], []) == ("default", "meso4")


@pytest.mark.parametrize("detectors", [[], ["default"], ["mesoinception4"], ["meso4@other.h5"]])
def test_a_file_that_nobody_asked_for_is_a_typed_error(folder, detectors):
    with pytest.raises(UsageError, match=r"A\.h5 holds the layers of meso4") as caught:
        with_weights(detectors, [folder / "A.h5"])
    assert caught.value.hint == "add --detector meso4"


def test_a_file_that_is_none_is_a_typed_error(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not a readable HDF5 file"):
        with_weights(["meso4"], [tmp_path / "x.h5"])
    with pytest.raises(UsageError, match="no weights file"):
        with_weights(["meso4"], [tmp_path / "y.h5"])


# --- detectors ----------------------------------------------------------------------------------------------------


def test_a_detector_reads_its_own_file(folder, portrait, tmp_path):
    crops = [portrait[:200, 100:300], portrait[100:300, 200:400]]
    scores = [
        load_detector(f"meso4@{folder / name}", described({}), tmp_path, CPU).score(crops)
        for name in ("A.h5", "B.h5", "A.h5")
    ]
    np.testing.assert_array_equal(scores[0], scores[2])
    assert np.abs(scores[0] - scores[1]).max() > 0.01
    with pytest.raises(WeightsError, match="16 layers conv2d, meso4 has 4"):
        load_detector(f"meso4@{folder / 'I.h5'}", described({}), tmp_path, CPU)


def test_a_bank_reports_each_file_apart_and_uncalibrated(folder, portrait, tmp_path):
    model_set = described({}).model_copy(
        update={"calibrations": {"meso4": Calibration(coefficients={"meso4": 2.0}, intercept=1.0)}}
    )
    names = [f"meso4@{folder / 'A.h5'}", f"meso4@{folder / 'B.h5'}"]
    bank = DetectorBank(names, model_set, tmp_path, CPU)
    assert [(o.name, o.is_calibrated) for o in bank.opinions] == [("meso4@A", False), ("meso4@B", False)]
    assert bank.primary is None
    crops = [portrait[:200, 100:300]]
    found = bank.calibrated_logits([Subject.of_crop(crop) for crop in crops])
    np.testing.assert_allclose(found["meso4@B"], logit(load_detector(names[1], model_set, tmp_path, CPU).score(crops)))


def test_two_files_of_one_name_are_a_typed_error(folder, tmp_path):
    names = [f"meso4@{folder / 'A.h5'}", f"meso4@{folder / 'again' / 'A.h5'}"]
    with pytest.raises(UsageError, match="both be reported as meso4@A") as caught:
        DetectorBank(names, described({}), tmp_path, CPU)
    assert "rename" in caught.value.hint
    assert len(DetectorBank([names[0], names[0]], described({}), tmp_path, CPU).opinions) == 1


# --- a scan -------------------------------------------------------------------------------------------------------


def test_weights_may_be_a_file(folder, portrait, tmp_path):
    Image.fromarray(portrait[:256, 100:356]).save(tmp_path / "face.png")
    file = folder / "A.h5"
    config = ScanConfig(detector=("meso4",), weights=file, view="face", device="cpu", threads=1)
    with Scanner(config) as scanner:
        record = scanner.scan(tmp_path / "face.png", explain=False).record
    expected = load_detector(f"meso4@{file}", *load_model_set(), CPU).score([portrait[:256, 100:356]])[0]
    (part,) = record.detectors
    assert part.name == "meso4@A"
    assert not part.is_calibrated
    assert part.score == pytest.approx(expected, abs=1e-5)
    sha256 = sha256_of_file(file)
    assert record.model.files["meso4@A.h5"] == sha256
    assert record.configuration["detector"] == [f"meso4@A.h5@{sha256[:16]}"]
    assert str(folder) not in json.dumps(record.configuration)


def test_another_file_of_the_same_name_is_another_option(folder):
    first, second = (ScanConfig(detector=(f"meso4@{folder / p}",)).analysis_options() for p in ("A.h5", "again/A.h5"))
    assert first != second


def test_weights_that_are_a_folder_stay_one(tmp_path):
    config = ScanConfig(weights=tmp_path)
    assert config.with_files_attached() is config
    assert ScanConfig(weights=tmp_path / "nowhere").with_files_attached().weights == tmp_path / "nowhere"
    with pytest.raises(UsageError, match="no weights file"):
        ScanConfig(weights=tmp_path / "nowhere.h5").with_files_attached()


def test_files_are_known_by_their_hash(folder):
    names = ["default", f"meso4@{folder / 'A.h5'}", f"mesoinception4@{folder / 'I.h5'}"]
    assert file_hashes(names) == {
        "meso4@A.h5": sha256_of_file(folder / "A.h5"),
        "mesoinception4@I.h5": sha256_of_file(folder / "I.h5"),
    }
