"""Whose face it is: vectors that a test makes, and dlib's where it is installed."""

import importlib.util

import cv2
import numpy as np
import pytest

from forensics.common.errors import UsageError, WeightsError
from generators.faceswap.alignment import TEMPLATE, aligning, transform, warped
from generators.faceswap.quality import identity
from generators.faceswap.quality.identity import (
    CHIP_POINTS,
    DlibEmbedder,
    Likeness,
    centre,
    embedder_named,
    face_chip,
    joined,
    likeness_of,
    unit,
)

# Where MTCNN sees the portrait's eyes, nose and mouth corners.
PORTRAIT_LANDMARKS = np.array([[207.0, 106.0], [245.0, 103.0], [231.0, 132.0], [213.0, 151.0], [243.0, 149.0]])


@pytest.fixture
def dlib():
    if embedder_named("auto") is None:
        pytest.skip("the extra 'identity' (dlib-bin, face-recognition-models) is not installed")
    return embedder_named("dlib")


def test_the_chip_lies_where_dlib_puts_eyes_and_mouth():
    picture = np.zeros((256, 256, 3), np.uint8)
    for x, y in TEMPLATE[[0, 1, 3, 4]]:
        cv2.circle(picture, (round(x), round(y)), 6, (255, 255, 255), -1, cv2.LINE_AA)
    chip = face_chip(picture)
    assert chip.shape == (150, 150, 3)
    _, labels, _, centres = cv2.connectedComponentsWithStats((chip[:, :, 0] > 127).astype(np.uint8))
    assert labels.max() == 4
    found = centres[1:]
    for point in CHIP_POINTS:
        assert np.linalg.norm(found - point, axis=1).min() < 3  # the two mean faces differ a little in proportion
    # The eyes' centres as dlib's five-point form has them, by its own formula for a margin of a quarter.
    corners = np.array([[0.8595674595992, 0.2134981538014], [0.6460604764104, 0.2289674387677]])
    assert CHIP_POINTS[1] == pytest.approx((corners.mean(0) + 0.25) / 1.5 * 150, abs=1.0)


def test_vectors_are_of_unit_length_and_centres_point_between():
    vectors = unit(np.array([[3, 4], [0, 0], [0, -2]], np.float32))
    assert vectors == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, -1]]))
    assert centre(unit(np.array([[1, 0], [0, 1]], np.float32))) == pytest.approx(np.sqrt([0.5, 0.5]))
    with pytest.raises(ValueError, match="no faces"):
        centre(vectors[:0])


def test_a_face_is_the_person_it_is_nearer_to():
    source, target = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    found = likeness_of(unit, np.array([[9, 1], [1, 3], [1, 1]], np.float32), source, target)
    assert found.is_source.tolist() == [True, False, False]
    assert found.to_source[1] == pytest.approx(1 / np.sqrt(10))
    both = joined([found, Likeness(found.to_target, found.to_source)])
    assert both.is_source.tolist() == [True, False, False, False, True, False]


def test_without_the_packages_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(identity.importlib.util, "find_spec", lambda name: None)
    assert embedder_named("auto") is None
    with pytest.raises(UsageError, match="not installed") as error:
        embedder_named("dlib")
    assert "dlib-bin" in error.value.hint
    with pytest.raises(UsageError, match="no embedding"):
        embedder_named("facenet")
    assert embedder_named("none") is None


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path):
    path = tmp_path / "model.dat"
    path.write_bytes(b"anything")
    with pytest.raises(WeightsError, match="not the published model"):
        DlibEmbedder(path)
    with pytest.raises(WeightsError, match="cannot read"):
        DlibEmbedder(tmp_path / "absent.dat")


def test_dlib_knows_a_face_again(dlib, portrait):
    face = warped(portrait, aligning(PORTRAIT_LANDMARKS), 256)
    darker = np.clip(face * 0.7, 0, 255).astype(np.uint8)
    upside_down = np.ascontiguousarray(face[::-1])
    vectors = dlib.embed(np.stack([face, darker, upside_down]))
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.95
    assert vectors[0] @ vectors[2] < 0.9
    assert np.array_equal(dlib.embed(face[None])[0], vectors[0])  # whatever else is in the batch
    assert dlib.embed(face[None][:0]).shape == (0, 128)
    with pytest.raises(ValueError, match="aligned faces"):
        dlib.embed(face[None, :128])


def test_dlib_tells_people_apart(dlib, data_folder):
    """Real faces of several people: one person's are nearer to each other than two persons'."""
    metrics = importlib.import_module("sklearn.metrics")
    from forensics.common.manifest import read_manifest
    from forensics.media.image import read_image
    from generators.faceswap.extraction.tracks import load_face_detector

    by_person: dict[str, list[str]] = {}
    for item in read_manifest(data_folder / "dfdc" / "manifest.csv"):
        if item.split == "dev" and item.label == 0:
            by_person.setdefault(item.identity, []).append(item.path)
    chosen = [(who, path) for who, paths in sorted(by_person.items())[:5] for path in paths[:3]]
    detector = load_face_detector(device="cpu")
    pictures = [np.pad(read_image(path), ((60, 60), (60, 60), (0, 0)), mode="edge") for _, path in chosen]
    found = [faces[0] for faces in detector.detect(pictures)]
    faces = [warped(p, aligning(f.landmarks), 256) for p, f in zip(pictures, found, strict=True)]
    assert np.abs(transform(found[0].landmarks, aligning(found[0].landmarks)) - TEMPLATE).max() < 20
    vectors = dlib.embed(np.stack(faces))
    one, other = np.triu_indices(len(chosen), 1)
    is_same = [chosen[i][0] == chosen[j][0] for i, j in zip(one, other, strict=True)]
    assert metrics.roc_auc_score(is_same, (vectors[one] * vectors[other]).sum(1)) > 0.95
