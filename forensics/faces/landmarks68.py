"""Sixty-eight landmarks of a face by dlib's predictor: optional, with the extra `identity`.

Kazemi, Sullivan: One Millisecond Face Alignment with an Ensemble of Regression Trees (CVPR 2014); order of the points as in
`forensics.faces.mean_shape`. The model is a file inside the package `face-recognition-models`. That package is located but
not imported: its `__init__` needs a module that newer Pythons lack.
Limits: frontal to half turned. On a profile it returns a face all the same. The model was trained on iBUG 300-W, whose
terms exclude commercial use: that is why it is an extra and not the default.
"""

import importlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.faces.types import Face, Frame

MODEL_PACKAGE = "face_recognition_models"
MODEL_FILE = Path("models") / "shape_predictor_68_face_landmarks.dat"
MODEL_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
INSTALL_HINT = "pip install 'deepfake-forensics[identity]', or leave the 68 points to the mean face"

# The predictor starts from the square that dlib's own detector finds: half its side is the distance from eyes to mouth.
HALF_SIDE = 1.0


def landmarks68(frame: Frame, face: Face) -> NDArray[np.float64]:
    """The 68 points (68, 2) of a face in a frame (H, W, 3), in its pixels.

    Raises UsageError where the extra is not installed, WeightsError where the model's file is not the known one.
    """
    dlib, predictor = load_predictor()
    points = np.asarray(face.landmarks, np.float64)
    centre = points.mean(0)
    reach = HALF_SIDE * float(np.linalg.norm(points[3:].mean(0) - points[:2].mean(0)))
    corners = [round(float(v)) for v in (*(centre - reach), *(centre + reach))]
    found = predictor(np.ascontiguousarray(frame), dlib.rectangle(*corners))
    return np.array([[part.x, part.y] for part in found.parts()], np.float64)


def is_installed() -> bool:
    """Whether `landmarks68` can work here."""
    return _model_path() is not None and importlib.util.find_spec("dlib") is not None


def _model_path() -> Path | None:
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders if (path := Path(folder) / MODEL_FILE).is_file()), None)


@lru_cache(maxsize=1)
def load_predictor() -> tuple[Any, Any]:
    """The module dlib and its predictor: 100 MB, read once. Raises as `landmarks68` does."""
    path = _model_path()
    try:
        dlib = importlib.import_module("dlib")
    except ImportError as error:
        raise UsageError("68 landmarks need dlib, which is not installed", INSTALL_HINT) from error
    if path is None:
        raise UsageError(f"68 landmarks need {MODEL_FILE.name}, which is not installed", INSTALL_HINT)
    if sha256_of_file(path) != MODEL_SHA256:
        raise WeightsError(f"{path.name} is not the known model", "reinstall face-recognition-models 0.3.0")
    return dlib, dlib.shape_predictor(str(path))
