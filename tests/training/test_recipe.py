"""From a manifest to weights that scan: crops, training, calibration, figures, on two dozen small pictures."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from forensics.common.errors import ManifestError, UsageError, WeightsError
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors.model_set import load_model_set
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.types import Face
from forensics.report import store
from forensics.scan import Scanner
from forensics.training import recipe
from forensics.training.config import TrainConfig
from forensics.training.crops import load_crops
from forensics.training.recipe import run_folder, run_recipe

CONFIG = TrainConfig(
    backbone="test_efficientnet", init="none", input_px=64, epochs=1, batch_size=4, workers=0, precision="float32",
    device="cpu", threads=1,
    texture_epochs=1, texture_px=32,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they bring in networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture(scope="module")
def items(portrait, tmp_path_factory) -> list[Item]:
    """Portraits in different light, real; the same with doubled pixels, fake. Faces cut out, and some whole scenes."""
    folder = tmp_path_factory.mktemp("pictures")
    head = portrait[20:220, 120:320]
    found = []
    for i in range(26):
        split = ("train", "train", "dev", "test")[i // 2 % 4]
        label = i % 2
        picture = np.clip(head * (0.8 + 0.02 * i) + i, 0, 255).astype(np.uint8)
        if label:
            picture = cv2.resize(picture[::2, ::2], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        view = "scene" if i // 2 in (0, 2, 3) else "face"
        if view == "face":
            picture = picture[35:135, 50:150]
        path = save(picture, folder / f"{i}.png")
        found.append(Item(path, label, dataset="portraits", source=str(i // 2), split=split, view=view))
    return found


@pytest.fixture(scope="module")
def weights(items, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_recipe(CONFIG, items, folder, "test only", Progress(quiet=True))
    return folder


def test_it_leaves_a_set_of_weights_with_its_figures(weights, items):
    model_set, _ = load_model_set(weights)
    assert list(model_set.weights) == ["cnn", "texture", "spectrum", "durall", "frank"]
    assert set(model_set.calibrations["default"].coefficients) == {"cnn", "texture", "spectrum"}
    assert list(model_set.weights["durall"].settings) == ["inverse_penalty"]
    assert set(model_set.calibrations) == set(model_set.operating_points) == {"default", *model_set.weights}
    assert (model_set.licence, model_set.trained_on) == ("test only", "train splits of portraits")
    assert model_set.selftest_logit is not None
    n_test = sum(item.split == "test" for item in items)
    assert all(f"({n_test} pictures)" in point.test_set for point in model_set.operating_points.values())
    metrics = json.loads((weights / "metrics.json").read_text(encoding="utf-8"))
    for split in ("dev", "test"):
        for block in (metrics[split][name]["portraits"] for name in model_set.calibrations):
            assert block["n_real"] + block["n_fake"] + block["n_missed"] == sum(i.split == split for i in items)
            assert block["coverage"] == 1
            assert 0 <= block["auc"]["low"] <= block["auc"]["value"] <= block["auc"]["high"] <= 1
    card = (weights / "card.md").read_text(encoding="utf-8")
    assert "### test split" in card
    assert f"{metrics['test']['default']['portraits']['auc']['value']:.3f} [" in card
    assert (weights / "cnn" / "curve.svg").read_text(encoding="utf-8").startswith("<svg")
    assert TrainConfig.model_validate_json((weights / "config.json").read_text(encoding="utf-8")) == CONFIG
    assert [path.name for path in weights.rglob("*") if path.name.endswith(".tmp")] == []


def test_pixels_in_twins_are_what_the_spectrum_sees(weights):
    metrics = json.loads((weights / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["spectrum"]["portraits"]["auc"]["value"] == 1.0


def test_baselines_alone_are_a_set_without_a_fusion(items, tmp_path):
    config = CONFIG.model_copy(update={"detectors": ("meso4", "durall"), "meso_epochs": 1})
    faces = [item for item in items if item.view == "face"]
    # Two of dev and of test, and one of train, are whole scenes: one of each is enough here.
    faces += [Item(item.path, item.label, split="dev", view="scene", source="x") for item in items[4:6]]
    metrics = run_recipe(config, faces, tmp_path, "test only", Progress(quiet=True))
    model_set, _ = load_model_set(tmp_path)
    assert list(model_set.weights) == list(model_set.calibrations) == ["durall", "meso4"]
    assert list(metrics["test"]) == ["durall", "meso4"]
    assert model_set.selftest_logit is None
    assert (tmp_path / "meso4" / "curve.svg").is_file()
    assert not (tmp_path / "cnn.safetensors").exists()
    with Scanner(ScanConfig(detector=("meso4",), weights=tmp_path, view="face", device="cpu", threads=1)) as scanner:
        record = scanner.scan(faces[0].path).record
    assert [(part.name, part.is_calibrated) for part in record.detectors] == [("meso4", True)]
    assert record.verdict.operating_point == model_set.operating_points["meso4"]
    with pytest.raises(WeightsError, match="no fusion 'default'"):
        Scanner(ScanConfig(weights=tmp_path, device="cpu"))


def test_the_folder_scans(weights, items):
    faces = [item for item in items if item.split == "test" and item.view == "face"][:4]
    with Scanner(ScanConfig(weights=weights, view="face", device="cpu", threads=1)) as scanner:
        for item in faces:
            result = scanner.scan(item.path)
            assert result.record.outcome is Outcome.SCORED
            assert {"default", *scanner.model_set.calibrations["default"].coefficients} == set(result.top_logits)
            assert result.record.model.licence == "test only"
            assert 0 <= result.record.verdict.probability <= 1


@pytest.mark.parametrize("missing", ["train", "dev"])
def test_a_split_that_is_missing_is_a_typed_error(items, tmp_path, missing):
    with pytest.raises(ManifestError, match="split train and of split dev"):
        run_recipe(CONFIG, [i for i in items if i.split != missing], tmp_path, "x", Progress(quiet=True))
    assert not list(tmp_path.iterdir())


def test_too_few_groups_for_a_baseline_are_noticed_before_anything_is_trained(items, tmp_path, monkeypatch):
    alike = [replace(item, source="one", identity="") for item in items]
    with pytest.raises(ManifestError, match="too few real or fake groups"):
        run_recipe(CONFIG, alike, tmp_path, "x", Progress(quiet=True))
    assert not list(tmp_path.iterdir())
    # Enough in the manifest, too few of which a face was found.
    some = [item for item in items if item.split == "train"][:4] + [item for item in items if item.split == "dev"]
    one_crop = load_crops(some[:2], tmp_path / "crops", Fixed(), Progress(quiet=True))
    monkeypatch.setattr(recipe, "load_crops", lambda *_: one_crop)
    monkeypatch.setattr(recipe, "_train", not_reached)
    with pytest.raises(ManifestError, match="too few real or fake groups"):
        run_recipe(CONFIG, some, tmp_path / "run", "x", Progress(quiet=True))


def not_reached(*_arguments: object) -> None:
    raise AssertionError("trained all the same")


# --- whose folder it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.json", "metrics.json", "card.md", "cnn.safetensors", "crops/a"])
def test_somebody_else_s_file_is_not_replaced(items, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="was not written by this tool") as caught:
        run_recipe(CONFIG, items, tmp_path, "x", Progress(quiet=True))
    assert "--overwrite" in caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / name).read_text() == "{}"
    assert run_folder(CONFIG, tmp_path, overwrite=True).folder == tmp_path


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_that_cannot_be_a_folder_is_a_typed_error(items, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="--output"):
        run_recipe(CONFIG, items, tmp_path / place, "x", Progress(quiet=True))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_a_typed_error(items, tmp_path, monkeypatch):
    def refuse(path: Path, _content: bytes | str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(store, "write_atomic", refuse)
    with pytest.raises(UsageError, match="cannot be written: Permission denied"):
        run_recipe(CONFIG, items, tmp_path, "x", Progress(quiet=True))


def test_a_file_in_place_of_a_folder_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "crops").write_text("mine")
    with pytest.raises(UsageError, match="crops is not a folder"):
        run_folder(CONFIG, tmp_path, overwrite=True)


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    (tmp_path / "cnn").mkdir()
    (tmp_path / "cnn" / "state.pt").write_bytes(b"state")
    (tmp_path / "config.json").write_text(CONFIG.model_dump_json(exclude={"detectors", "meso_epochs"}))
    run_folder(CONFIG, tmp_path, overwrite=False)
    run_folder(CONFIG, tmp_path, overwrite=False)  # by its list of files from now on
    (tmp_path / "meso4").mkdir()
    with pytest.raises(UsageError, match="meso4 was not written"):
        run_folder(CONFIG.model_copy(update={"detectors": ("meso4",)}), tmp_path, overwrite=False)


def test_what_is_not_calibrated_yet_is_no_set_of_weights(items, tmp_path, monkeypatch):
    """The run is stopped while test pictures are scored: the folder does not scan, and a second call finishes it."""
    config = CONFIG.model_copy(update={"detectors": ("cnn",)})
    score = recipe.score_items
    folders = []

    def score_or_stop(some: list[Item], folder: Path, *others: object):
        folders.append(folder)
        assert load_model_set(folder)[0].operating_points
        assert not (tmp_path / "model.json").exists()
        if some[0].split == "test":
            raise KeyboardInterrupt
        return score(some, folder, *others)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe, "score_items", score_or_stop)
        run_recipe(config, items, tmp_path, "x", Progress(quiet=True))
    assert len(folders) == 2
    assert not (tmp_path / "model.json").exists()
    assert not any(folder.exists() for folder in folders)
    run_recipe(config, items, tmp_path, "x", Progress(quiet=True))
    model_set, _ = load_model_set(tmp_path)
    assert all("pictures)" in point.test_set for point in model_set.operating_points.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "card.md", "cnn", "cnn.safetensors", "config.json", "crops", "forensics-run.json", "metrics.json", "model.json",
    ]  # fmt: skip


# --- crops --------------------------------------------------------------------------------------------------------


class Fixed:
    """Finds a small and a large face in every picture of at least 100 pixels."""

    name = "fixed"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, frames):
        self.calls += len(frames)
        return [[self._face(30, 5, 0.99), self._face(60, 40, 0.8)] if f.shape[0] >= 100 else [] for f in frames]

    def refine(self, frames, boxes):
        raise AssertionError("stills are detected")

    @staticmethod
    def _face(side: float, at: float, confidence: float) -> Face:
        landmarks = (REFERENCE_LANDMARKS * side + at).astype(np.float32)
        return Face(np.array([at, at, at + side, at + side], np.float32), landmarks, confidence)


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
    crops = load_crops(mixed, tmp_path / "cache", Fixed(), Progress(quiet=True))
    assert [item.path.name for item in crops.items] == ["wide.png", "scene.png"]
    assert crops.missed == {"a": 1, "b": 2}
    wide, scene = (np.asarray(Image.open(item.path)) for item in crops.items)
    assert np.array_equal(crops[0], wide[:, 10:50])
    # The larger of the two faces.
    assert np.array_equal(crops[1], scene[40:100, 40:100])


def test_crops_are_made_once_and_again_when_a_file_changes(mixed, tmp_path):
    detector, folder = Fixed(), tmp_path / "cache"
    first = load_crops(mixed, folder, detector, Progress(quiet=True))
    calls = detector.calls
    again = load_crops(mixed, folder, detector, Progress(quiet=True))
    assert detector.calls == calls
    assert all(np.array_equal(first[i], again[i]) for i in range(len(first)))
    changed = np.full((44, 44, 3), 9, np.uint8)
    save(changed, mixed[0].path)
    assert np.array_equal(load_crops(mixed, folder, detector, Progress(quiet=True))[0], changed)
    assert detector.calls > calls


def test_a_relabelled_manifest_keeps_its_crops(mixed, tmp_path):
    detector, folder = Fixed(), tmp_path / "cache"
    load_crops(mixed, folder, detector, Progress(quiet=True))
    calls = detector.calls
    flipped = [Item(i.path, 1 - i.label, dataset=i.dataset, view=i.view) for i in mixed]
    crops = load_crops(flipped, folder, detector, Progress(quiet=True))
    assert detector.calls == calls
    assert [item.label for item in crops.items] == [1, 0]


def test_an_index_never_stands_beside_the_pixels_of_another_run(mixed, tmp_path, monkeypatch):
    from forensics.training import crops as room

    folder = tmp_path / "cache"
    expected = load_crops(mixed[:1], folder, Fixed(), Progress(quiet=True))[0].copy()

    def fail(*_arguments):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(room, "write_atomic", fail)
        load_crops(mixed[2:3], folder, Fixed(), Progress(quiet=True))
    assert np.array_equal(load_crops(mixed[:1], folder, Fixed(), Progress(quiet=True))[0], expected)


def test_a_manifest_without_any_face_is_a_typed_error(mixed, tmp_path):
    with pytest.raises(ManifestError, match="no picture") as caught:
        load_crops(mixed[3:], tmp_path / "cache", Fixed(), Progress(quiet=True))
    assert "view" in caught.value.hint
