"""The optional predictor: what it says of a known portrait, and what it says where it is not installed."""

import importlib

import numpy as np
import pytest

from forensics.common.errors import UsageError, WeightsError
from forensics.faces import landmarks68 as module
from forensics.faces.mean_shape import five_of, place_mean_shape
from forensics.faces.types import Face

# Seen in the portrait: eyes, nose, mouth corners.
SEEN = np.array([[203, 102], [247, 104], [226, 127], [202, 141], [245, 142]], np.float32)
FACE = Face(np.array([175, 65, 275, 185], np.float32), SEEN, 1.0)


@pytest.fixture(autouse=True)
def fresh():
    module.load_predictor.cache_clear()
    yield
    module.load_predictor.cache_clear()


@pytest.mark.skipif(not module.is_installed(), reason="the extra `identity` is not installed")
def test_a_portraits_points_lie_where_its_landmarks_are(portrait):
    points = module.landmarks68(portrait, FACE)
    assert points.shape == (68, 2)
    assert np.linalg.norm(five_of(points) - SEEN, axis=1).max() < 6
    # Near the mean face, and nearer to the picture: the chin of the portrait is at y = 178.
    assert np.linalg.norm(points - place_mean_shape(SEEN), axis=1).mean() < 6
    assert points[8, 1] == pytest.approx(178, abs=4)
    np.testing.assert_array_equal(points, module.landmarks68(portrait, FACE))


def test_without_dlib_the_error_says_what_to_install(monkeypatch, portrait):
    real = importlib.import_module

    def no_dlib(name):
        if name == "dlib":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(module.importlib, "import_module", no_dlib)
    with pytest.raises(UsageError, match="dlib") as error:
        module.landmarks68(portrait, FACE)
    assert "identity" in error.value.hint


def test_without_the_model_the_error_says_what_to_install(monkeypatch, portrait):
    monkeypatch.setattr(module.importlib, "import_module", lambda _: object())
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    assert not module.is_installed()
    with pytest.raises(UsageError, match="shape_predictor_68") as error:
        module.landmarks68(portrait, FACE)
    assert "identity" in error.value.hint


def test_another_model_is_refused(monkeypatch, portrait, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / module.MODEL_FILE).write_bytes(b"not a model")
    (tmp_path / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(module.importlib, "import_module", lambda _: object())
    monkeypatch.setattr(module, "MODEL_PACKAGE", tmp_path.name)
    monkeypatch.syspath_prepend(tmp_path.parent)
    with pytest.raises(WeightsError, match="not the known"):
        module.landmarks68(portrait, FACE)
