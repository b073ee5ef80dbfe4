"""MTCNN on a portrait whose landmarks are known, on pictures without a face, and one by one against together."""

import cv2
import numpy as np
import pytest
import torch

from forensics.faces.mtcnn import MtcnnDetector
from forensics.faces.still import detect_in_stills
from forensics.faces.types import iou

# Read off the portrait by eye: eyes, nose, mouth corners, in pixels of 512 x 512.
PORTRAIT_LANDMARKS = np.array([[204, 101], [247, 103], [224, 129], [202, 141], [244, 143]], np.float32)
TOLERANCE_PX = 6


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector(torch.device("cpu"))


@pytest.fixture(scope="module")
def face(detector, portrait):
    faces = detector.detect([portrait])[0]
    assert len(faces) == 1
    return faces[0]


@pytest.fixture(scope="module")
def faceless() -> np.ndarray:
    """Coarse noise: structure at every place, and no face."""
    rng = np.random.default_rng(5)
    return cv2.resize(rng.integers(0, 256, (24, 32, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)


def test_the_portrait_has_one_face_where_it_is(face):
    assert face.confidence > 0.99
    assert np.abs(face.landmarks - PORTRAIT_LANDMARKS).max() < TOLERANCE_PX
    left, top, right, bottom = face.box
    assert (face.landmarks >= [left, top]).all()
    assert (face.landmarks <= [right, bottom]).all()
    assert 70 < face.size_px < 130
    assert face.box.dtype == face.landmarks.dtype == np.float32


def test_landmarks_scale_with_the_picture(detector, face, portrait):
    doubled = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    (found,) = detector.detect([doubled])[0]
    # This one is reduced before detection, the portrait is not: the map back to pixels is what is tested.
    assert np.abs(found.landmarks / 2 - face.landmarks).max() < 4
    assert iou(found.box / 2, face.box) > 0.8


def test_landmarks_scale_apart_in_each_direction(detector, face, portrait):
    wide = cv2.resize(portrait, (700, 600), interpolation=cv2.INTER_CUBIC)
    (found,) = detector.detect([wide])[0]
    assert np.abs(found.landmarks / [700 / 512, 600 / 512] - face.landmarks).max() < 4


def test_landmarks_follow_a_mirror_with_left_staying_left(detector, face, portrait):
    (found,) = detector.detect([np.ascontiguousarray(portrait[:, ::-1])])[0]
    expected = face.landmarks[[1, 0, 2, 4, 3]]
    expected = np.stack([511 - expected[:, 0], expected[:, 1]], 1)
    assert np.abs(found.landmarks - expected).max() < TOLERANCE_PX


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (30, 30), (31, 31), (8, 900), (40, 3)])
def test_a_picture_too_small_for_a_face_has_none(detector, shape):
    assert detector.detect([np.full((*shape, 3), 120, np.uint8)]) == [[]]


def test_pictures_without_a_face_have_none(detector, faceless):
    flat = np.full((240, 320, 3), 128, np.uint8)
    assert detector.detect([flat, np.zeros_like(flat), faceless]) == [[], [], []]
    assert detector.detect([]) == []


def test_together_is_one_by_one(detector, portrait, faceless):
    head, flat = np.ascontiguousarray(portrait[20:220, 120:320]), np.full((200, 200, 3), 90, np.uint8)
    small = cv2.resize(head, (150, 150), interpolation=cv2.INTER_AREA)
    two = np.hstack([head, head[:, ::-1]])
    frames = [head, flat, small, np.zeros((8, 8, 3), np.uint8), two, np.roll(head, 20, 1), faceless]
    together = detector.detect(frames)
    assert [len(faces) for faces in together] == [1, 0, 1, 0, 2, 1, 0]
    for frame, found in zip(frames, together, strict=True):
        (alone,) = detector.detect([frame])
        assert len(found) == len(alone)
        for a, b in zip(found, alone, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=0.5)
            np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.5)
            assert a.confidence == pytest.approx(b.confidence, abs=1e-3)


def test_faces_come_by_falling_confidence(detector, portrait):
    head = portrait[20:220, 120:320]
    faces = detector.detect([np.hstack([cv2.GaussianBlur(head, (0, 0), 4), head])])[0]
    confidences = [face.confidence for face in faces]
    assert len(confidences) == 2
    assert confidences == sorted(confidences, reverse=True)


def test_refine_confirms_a_shifted_box_and_refuses_the_background(detector, face, portrait, faceless):
    shift = np.array([9, -7, 9, -7], np.float32)
    background = np.array([10, 10, 110, 110], np.float32)
    outside = np.array([-900, -900, -500, -500], np.float32)
    confirmed, refused, gone, nothing = detector.refine(
        [portrait, faceless, portrait, faceless], [face.box + shift, background, outside, background + 90]
    )
    assert confirmed is not None
    assert confirmed.confidence > 0.9
    assert np.abs(confirmed.landmarks - face.landmarks).max() < TOLERANCE_PX
    assert iou(confirmed.box, face.box) > iou(face.box + shift, face.box)
    assert refused is None
    assert gone is None
    assert nothing is None
    assert detector.refine([], []) == []


@pytest.mark.parametrize("factor", [0.4, 2.0, 4.0])
def test_refine_works_at_every_size(detector, face, portrait, factor):
    frame = cv2.resize(portrait, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else 2)
    (found,) = detector.refine([frame], [np.asarray(face.box * factor, np.float32)])
    assert found is not None
    assert np.abs(found.landmarks / factor - face.landmarks).max() < TOLERANCE_PX


def test_refine_works_at_the_frame_s_edge(detector, face, portrait):
    left, top = int(face.box[0]) + 12, int(face.box[1]) + 4
    cut = np.ascontiguousarray(portrait[top:, left:])
    offset = np.array([left, top], np.float32)
    (found,) = detector.refine([cut], [face.box - np.concatenate([offset, offset])])
    assert found is not None
    assert np.abs(found.landmarks + offset - face.landmarks).max() < TOLERANCE_PX


def test_a_face_that_fills_its_still_is_found_where_it_is(detector, face, portrait):
    left, top, right, bottom = (round(float(v)) for v in face.box)
    tight = cv2.resize(portrait[top + 8 : bottom - 4, left + 4 : right - 4], None, fx=3, fy=3)
    assert detector.detect([tight]) == [[]], "the case that needs the border: choose a tighter cut if this finds it"
    (found,) = detect_in_stills(detector, [tight])[0]
    expected = (face.landmarks - [left + 4, top + 8]) * 3
    assert np.abs(found.landmarks - expected).max() < 3 * TOLERANCE_PX
