"""YuNet, where its model file is."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from forensics.common.errors import UsageError
from forensics.faces.yunet import YunetDetector

PORTRAIT_LANDMARKS = np.array([[204, 101], [247, 103], [224, 129], [202, 141], [244, 143]], np.float32)


@pytest.fixture(scope="module")
def detector(data_folder) -> YunetDetector:
    model = data_folder / "models" / "yunet" / "yunet_n_dynamic.onnx"
    if not model.is_file():
        pytest.skip(f"{model} is not on this machine")
    return YunetDetector(model)


def test_the_portrait_has_one_face_and_the_same_landmarks_as_mtcnn(detector, portrait):
    (face,) = detector.detect([portrait])[0]
    assert 0.7 <= face.confidence <= 1
    assert np.abs(face.landmarks - PORTRAIT_LANDMARKS).max() < 8
    assert (face.landmarks >= face.box[:2]).all()
    assert (face.landmarks <= face.box[2:]).all()


def test_frames_of_different_sizes_map_back_to_their_own_pixels(detector, portrait):
    large = cv2.resize(portrait, (1536, 1200), interpolation=cv2.INTER_CUBIC)
    small, none, big = detector.detect([portrait, np.zeros((8, 8, 3), np.uint8), large])
    assert none == []
    assert np.abs(big[0].landmarks / [3, 1200 / 512] - small[0].landmarks).max() < 9


def test_nothing_is_found_where_nothing_is(detector):
    assert detector.detect([np.full((200, 300, 3), 90, np.uint8)]) == [[]]
    assert detector.detect([]) == []


def test_it_cannot_refine(detector, portrait):
    assert detector.refine([portrait], [np.array([180, 60, 270, 176], np.float32)]) is None


@pytest.mark.parametrize("content", [None, b"", b"not onnx"])
def test_a_file_that_is_no_model_is_a_typed_error(tmp_path: Path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        YunetDetector(path)
    assert "--face-model" in caught.value.hint
