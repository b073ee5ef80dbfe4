"""Stills: the second look with a border happens only where it is needed, and maps back to the picture."""

import numpy as np

from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.still import detect_in_stills
from forensics.faces.types import Face


class BorderOnly:
    """Finds a face at a fixed place of pictures that have a border around pixels of 200; records its calls."""

    name = "border only"
    min_confidence = 0.9

    def __init__(self, landmarks: np.ndarray) -> None:
        self.landmarks = np.asarray(landmarks, np.float32)
        self.shapes: list[list[tuple[int, ...]]] = []

    def detect(self, frames):
        self.shapes.append([frame.shape[:2] for frame in frames])
        box = np.concatenate([self.landmarks.min(0), self.landmarks.max(0)])
        return [[Face(box, self.landmarks, 0.9)] if (frame[0, 0] == 128).all() else [] for frame in frames]

    def refine(self, frames, boxes):
        raise AssertionError("stills are detected")


def test_only_pictures_without_a_face_are_looked_at_again():
    found_at_once, missed = np.full((40, 60, 3), 128, np.uint8), np.full((80, 100, 3), 200, np.uint8)
    detector = BorderOnly(REFERENCE_LANDMARKS * 60 + 40)
    first, second = detect_in_stills(detector, [found_at_once, missed])
    # A border of half the short side all around.
    assert detector.shapes == [[(40, 60), (80, 100)], [(160, 180)]]
    np.testing.assert_allclose(first[0].landmarks, detector.landmarks)
    np.testing.assert_allclose(second[0].landmarks, REFERENCE_LANDMARKS * 60, atol=1e-4)
    np.testing.assert_allclose(second[0].box[:2], (REFERENCE_LANDMARKS * 60).min(0), atol=1e-4)


def test_a_face_in_the_border_is_none():
    missed = np.full((80, 80, 3), 200, np.uint8)
    assert detect_in_stills(BorderOnly(REFERENCE_LANDMARKS * 30), [missed]) == [[]]
    assert detect_in_stills(BorderOnly(REFERENCE_LANDMARKS * 30 + 125), [missed]) == [[]]
    assert len(detect_in_stills(BorderOnly(REFERENCE_LANDMARKS * 30 + 60), [missed])[0]) == 1


def test_no_pictures():
    assert detect_in_stills(BorderOnly(REFERENCE_LANDMARKS), []) == []
