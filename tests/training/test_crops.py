"""Face crops of manifests: pixels of their pictures, with landmarks and surroundings, made once by scanning's own path."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.faces.canonical import MAX_SURROUNDINGS_PX, REFERENCE_LANDMARKS, SURROUNDINGS
from forensics.faces.mtcnn import MtcnnDetector
from forensics.faces.types import Face
from forensics.scan import Scanner
from forensics.training.crops import CroppedFace, Crops, faces_of, load_crops

QUIET = Progress(quiet=True)


def save(picture: np.ndarray, path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path


def face_at(side: float, left: float, top: float, confidence: float = 0.9) -> Face:
    """A face whose canonical square is this one."""
    landmarks = (REFERENCE_LANDMARKS * side + np.array([left, top])).astype(np.float32)
    return Face(np.array([left, top, left + side, top + side], np.float32), landmarks, confidence)


class Fixed:
    """Finds a small and a large face in every picture of at least 100 pixels."""

    name = "fixed"
    min_confidence = 0.5

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, frames):
        self.calls += len(frames)
        return [[face_at(30, 5, 5, 0.99), face_at(60, 40, 40, 0.8)] if f.shape[0] >= 100 else [] for f in frames]

    def refine(self, frames, boxes):
        raise AssertionError("stills are detected")


@pytest.fixture
def mixed(tmp_path) -> list[Item]:
    """A face crop that is not square, a scene, a scene without a face, and a file that is no picture."""
    rng = np.random.default_rng(0)
    wide = save(rng.integers(0, 256, (40, 60, 3), np.uint8), tmp_path / "wide.png")
    scene = save(rng.integers(0, 256, (120, 150, 3), np.uint8), tmp_path / "scene.png")
    small = save(rng.integers(0, 256, (30, 30, 3), np.uint8), tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return [
        Item(wide, 0, dataset="a", view="face"),
        Item(small, 1, dataset="a"),
        Item(scene, 1, dataset="b"),
        Item(tmp_path / "broken.png", 0, dataset="b"),
        Item(tmp_path / "absent.png", 0, dataset="b", view="face"),
    ]


def test_crops_are_pixels_of_their_pictures(mixed, tmp_path):
    crops = load_crops(mixed, tmp_path / "cache", Fixed(), QUIET)
    assert [item.path.name for item in crops.items] == ["wide.png", "scene.png"]
    assert crops.missed == {"a": 1, "b": 2}
    wide, scene = (np.asarray(Image.open(item.path)) for item in crops.items)
    assert np.array_equal(crops[0], wide[:, 10:50])
    # The larger of the two faces.
    assert np.array_equal(crops[1], scene[40:100, 40:100])


def test_crops_are_made_once_and_again_when_a_file_changes(mixed, tmp_path):
    detector, folder = Fixed(), tmp_path / "cache"
    first = load_crops(mixed, folder, detector, QUIET)
    calls = detector.calls
    again = load_crops(mixed, folder, detector, QUIET)
    assert detector.calls == calls
    assert all(np.array_equal(first[i], again[i]) for i in range(len(first)))
    changed = np.full((44, 44, 3), 9, np.uint8)
    save(changed, mixed[0].path)
    assert np.array_equal(load_crops(mixed, folder, detector, QUIET)[0], changed)
    assert detector.calls > calls


def test_a_relabelled_manifest_keeps_its_crops(mixed, tmp_path):
    detector, folder = Fixed(), tmp_path / "cache"
    load_crops(mixed, folder, detector, QUIET)
    calls = detector.calls
    flipped = [Item(i.path, 1 - i.label, dataset=i.dataset, view=i.view) for i in mixed]
    crops = load_crops(flipped, folder, detector, QUIET)
    assert detector.calls == calls
    assert [item.label for item in crops.items] == [1, 0]


def test_an_index_never_stands_beside_the_pixels_of_another_run(mixed, tmp_path, monkeypatch):
    from forensics.training import crops as room

    folder = tmp_path / "cache"
    expected = load_crops(mixed[:1], folder, Fixed(), QUIET)[0].copy()

    def fail(*_arguments):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(room, "write_atomic", fail)
        load_crops(mixed[2:3], folder, Fixed(), QUIET)
    assert np.array_equal(load_crops(mixed[:1], folder, Fixed(), QUIET)[0], expected)


def test_runs_with_other_pictures_keep_their_own_files(mixed, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "crops.bin").write_bytes(b"mine")
    (folder / "crops.json").write_text("[]")
    detector = Fixed()
    one, other = load_crops(mixed[:1], folder, detector, QUIET), load_crops(mixed[2:3], folder, detector, QUIET)
    calls = detector.calls
    # Neither took the place of the other, nor of a file that is not theirs.
    assert np.array_equal(load_crops(mixed[:1], folder, detector, QUIET)[0], one[0])
    assert np.array_equal(load_crops(mixed[2:3], folder, detector, QUIET)[0], other[0])
    assert detector.calls == calls
    assert (folder / "crops.bin").read_bytes() == b"mine"
    keys = {json.loads(path.read_text())["key"][:16] for path in folder.glob("*.json") if path.stem != "crops"}
    assert {path.name for path in folder.iterdir()} == {"crops.bin", "crops.json"} | {
        f"{key}.{suffix}" for key in keys for suffix in ("bin", "json")
    }


def test_two_runs_at_once_make_the_same_crops(mixed, tmp_path):
    folder = tmp_path / "cache"

    class Slow(Fixed):
        """While it looks for faces, another run makes the same crops."""

        beside = None

        def detect(self, frames):
            if self.beside is None:
                self.beside = load_crops(mixed, folder, Fixed(), QUIET)
            return super().detect(frames)

    slow = Slow()
    found = load_crops(mixed, folder, slow, QUIET)
    assert np.array_equal(found.pixels, slow.beside.pixels)
    assert found.places.tolist() == slow.beside.places.tolist()
    assert sorted(path.suffix for path in folder.iterdir()) == [".bin", ".json"]


@pytest.mark.parametrize("text", ["[]", "null", "{", "{}", '{"key": "other"}'])
def test_a_damaged_index_is_made_again(mixed, tmp_path, text):
    folder = tmp_path / "cache"
    expected = load_crops(mixed, folder, Fixed(), QUIET).places
    (index,) = folder.glob("*.json")
    index.write_text(text)
    assert np.array_equal(load_crops(mixed, folder, Fixed(), QUIET).places, expected)


def test_a_manifest_without_any_face_is_a_typed_error(mixed, tmp_path):
    with pytest.raises(ManifestError, match="no picture") as caught:
        load_crops(mixed[3:], tmp_path / "cache", Fixed(), QUIET)
    assert "view" in caught.value.hint


# --- where the face lies, and what is around it -------------------------------------------------------------------


class Finds:
    """Finds one given face in every picture, or none."""

    name = "finds"
    min_confidence = 0.5

    def __init__(self, face: Face | None) -> None:
        self._face = face

    def detect(self, frames):
        return [[] if self._face is None else [self._face] for _ in frames]

    def refine(self, frames, boxes):
        raise AssertionError("stills are detected")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def one(picture: np.ndarray, view: str, face: Face | None, folder: Path) -> CroppedFace | None:
    return faces_of([Item(save(picture, folder / "one.png"), 0, view=view)], Finds(face))[0]


@pytest.mark.parametrize(
    ("left", "top", "side", "corner"),
    [
        (100.0, 80.0, 90.0, (100, 80)),
        (100.2, 80.6, 90.3, (100, 81)),
        # Beyond the frame's edge, where the square is moved inside.
        (-20.0, 80.0, 90.0, (0, 80)),
        (250.0, 180.0, 90.0, (230, 150)),
    ],
)
def test_landmarks_lie_in_the_crop_where_they_lay_in_the_scene(tmp_path, left, top, side, corner):
    picture, face = noise(240, 320), face_at(side, left, top)
    found = one(picture, "scene", face, tmp_path)
    assert found.crop.shape == (90, 90, 3)
    assert np.array_equal(found.crop, picture[corner[1] : corner[1] + 90, corner[0] : corner[0] + 90])
    assert np.allclose(found.landmarks + np.array(corner), face.landmarks, atol=1e-3)


def test_surroundings_are_the_same_square_enlarged_about_its_centre(tmp_path):
    picture = noise(240, 320)
    found = one(picture, "scene", face_at(80, 120, 70), tmp_path)
    side = round(80 * SURROUNDINGS)
    margin = (side - 80) // 2
    assert np.array_equal(
        found.surroundings, picture[70 - margin : 70 - margin + side, 120 - margin : 120 - margin + side]
    )


def test_surroundings_of_a_large_face_are_reduced(tmp_path):
    picture = cv2.resize(noise(50, 50), (500, 500), interpolation=cv2.INTER_CUBIC)
    found = one(picture, "scene", face_at(200, 150, 150), tmp_path)
    assert found.crop.shape[0] == 200
    assert found.surroundings.shape[0] == MAX_SURROUNDINGS_PX
    expected = cv2.resize(picture[80:420, 80:420], (MAX_SURROUNDINGS_PX,) * 2, interpolation=cv2.INTER_AREA)
    assert np.array_equal(found.surroundings, expected)


def test_a_face_outside_of_its_picture_is_none(tmp_path):
    assert one(noise(240, 320), "scene", face_at(90, -60, 80), tmp_path) is None
    assert one(noise(240, 320), "scene", None, tmp_path) is None


def test_a_face_picture_is_whole_and_its_landmarks_are_those_found_in_it(tmp_path):
    picture, face = noise(110, 150), face_at(60, 30, 25)
    found = one(picture, "face", face, tmp_path)
    assert np.array_equal(found.crop, picture[:, 20:130])
    assert found.surroundings is found.crop
    assert np.array_equal(found.landmarks, face.landmarks)  # of the middle square, in which faces are looked for


def test_a_face_that_a_scan_would_not_believe_is_none(tmp_path):
    unsure = face_at(60, 30, 25, confidence=0.4)
    assert one(noise(110, 150), "scene", unsure, tmp_path) is None
    found = one(noise(110, 150), "face", unsure, tmp_path)
    assert np.allclose(found.landmarks, REFERENCE_LANDMARKS * 110, atol=1e-3)


def test_a_large_unsure_face_does_not_hide_a_sure_one(tmp_path):
    class Both(Finds):
        def detect(self, frames):
            return [[face_at(120, 40, 40, 0.4), face_at(60, 100, 100, 0.9)] for _ in frames]

    picture = noise(240, 320)
    found = faces_of([Item(save(picture, tmp_path / "p.png"), 0)], Both(None))[0]
    assert np.array_equal(found.crop, picture[100:160, 100:160])


def test_a_face_picture_in_which_none_is_found_has_the_median_landmarks(tmp_path):
    found = one(noise(110, 150), "face", None, tmp_path)
    assert np.allclose(found.landmarks, REFERENCE_LANDMARKS * 110, atol=1e-3)


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    import torch

    return MtcnnDetector(torch.device("cpu"))


def test_a_real_face_s_landmarks_lie_on_its_eyes_nose_and_mouth(portrait, tmp_path, detector):
    found = faces_of([Item(save(portrait, tmp_path / "p.png"), 0)], detector)[0]
    # Eyes, nose and corners of the mouth of the portrait, read off the picture.
    marked = np.array([[198, 105], [238, 102], [221, 125], [203, 147], [239, 145]], np.float32)
    top, left = np.unravel_index(
        cv2.matchTemplate(portrait, found.crop, cv2.TM_SQDIFF).argmin(),
        (513 - found.crop.shape[0],) * 2,
    )
    assert np.abs(found.landmarks + np.array([left, top]) - marked).max() < 12


@pytest.mark.parametrize("view", ["scene", "face"])
def test_crop_and_surroundings_are_those_that_scanning_gives_to_detectors(
    portrait, tmp_path, detector, monkeypatch, view
):
    from forensics.detectors.bank import DetectorBank

    picture = portrait if view == "scene" else cv2.resize(portrait[20:220, 120:320], (300, 300))
    path = save(picture, tmp_path / "p.png")
    given = []
    score = DetectorBank.calibrated_logits

    def note(self, subjects):
        given.extend(subjects)
        return score(self, subjects)

    monkeypatch.setattr(DetectorBank, "calibrated_logits", note)
    with Scanner(ScanConfig(view=view, device="cpu", threads=1, stability=False, detector=("spectrum",))) as scanner:
        scanner.scan(path, explain=False)
    crops = load_crops([Item(path, 0, view=view)], tmp_path / "crops", detector, QUIET)
    assert np.array_equal(crops[0], given[0].crop)
    assert np.array_equal(crops.surroundings(0), given[0].surroundings)


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path) -> Crops:
    """Three scenes of different size with the same face, and one too small for it."""
    items = [
        Item(save(noise(side, side), tmp_path / f"{side}.png"), i % 2, dataset="ab"[i % 2])
        for i, side in enumerate((140, 180, 60, 220))
    ]
    return load_crops(items, tmp_path / "cache", Finds(face_at(64, 33.3, 40)), QUIET)


def test_what_is_kept_is_what_was_cut_out(kept, tmp_path):
    assert [item.path.stem for item in kept.items] == ["140", "180", "220"]
    cut_out = faces_of(list(kept.items), Finds(face_at(64, 33.3, 40)))
    for index, face in enumerate(cut_out):
        assert np.array_equal(kept[index], face.crop)
        assert np.array_equal(kept.surroundings(index), face.surroundings)
        assert kept.surroundings(index).shape[0] == 109
        assert np.allclose(kept.landmarks[index], face.landmarks, atol=0.006)
    assert kept.landmarks.dtype == np.float32
    # Read from the files, not made: the detector would find nothing now.
    again = load_crops(
        [Item(tmp_path / f"{side}.png", 0) for side in (140, 180, 60, 220)], tmp_path / "cache", Finds(None), QUIET
    )
    assert np.array_equal(again.places, kept.places)
    assert np.array_equal(again.landmarks, kept.landmarks)


def test_a_picture_that_is_all_there_is_is_kept_once(tmp_path):
    item = Item(save(noise(50, 50), tmp_path / "face.png"), 0, view="face")
    crops = load_crops([item], tmp_path / "cache", Finds(None), QUIET)
    assert crops.places.tolist() == [[0, 50, 0, 50]]
    assert [path.stat().st_size for path in (tmp_path / "cache").glob("*.bin")] == [50 * 50 * 3]


@pytest.mark.parametrize("indices", [[2, 0], [1], []])
def test_only_keeps_some_in_this_order(kept, indices):
    some = kept.only(indices)
    assert [item.path.stem for item in some.items] == [kept.items[i].path.stem for i in indices]
    assert len(some) == len(indices)
    for position, index in enumerate(indices):
        assert np.array_equal(some[position], kept[index])
        assert np.array_equal(some.surroundings(position), kept.surroundings(index))
        assert np.array_equal(some.landmarks[position], kept.landmarks[index])
    assert some.missed == kept.missed
    assert some.sha256 != kept.sha256


def test_kept_pixels_cannot_be_written_to(kept):
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0, 0] = 0
