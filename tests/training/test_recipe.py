"""From a manifest to weights that scan: crops, training, calibration, figures, on two dozen small pictures."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from forensics.common.errors import ManifestError, UsageError, WeightsError
from forensics.common.manifest import Item
from forensics.common.options_file import resolve_options
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors.model_set import load_model_set
from forensics.faces.mtcnn import MtcnnDetector
from forensics.report import store
from forensics.scan import Scanner
from forensics.training import measure, recipe
from forensics.training.config import TrainConfig
from forensics.training.crops import load_crops
from forensics.training.recipe import run_folder, run_recipe, without_fakes_of

CONFIG = TrainConfig(
    backbone="test_efficientnet", init="none", input_px=64, epochs=1, batch_size=4, workers=0, precision="float32",
    device="cpu", threads=1,
    texture_epochs=1, texture_px=32,
)  # fmt: skip
EXPERT = CONFIG.model_copy(update={"texture_fakes": ("portraits",)})


pytestmark = pytest.mark.usefixtures("one_thread")


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
    run_recipe(EXPERT, items, folder, "test only", Progress(quiet=True))
    return folder


def test_it_leaves_a_set_of_weights_with_its_figures(weights, items):
    model_set, _ = load_model_set(weights)
    assert list(model_set.weights) == ["cnn", "texture", "spectrum", "durall", "frank"]
    names = ["default", *model_set.weights]
    assert set(model_set.calibrations["default"].coefficients) == {"cnn", "texture", "spectrum"}
    assert list(model_set.weights["durall"].settings) == ["inverse_penalty"]
    assert set(model_set.calibrations) == set(model_set.operating_points) == {*names, "whole-image"}
    assert (model_set.licence, model_set.trained_on) == (
        "test only",
        "train splits of portraits; texture on the fakes of portraits alone",
    )
    assert model_set.selftest_logit is not None
    test = [item for item in items if item.split == "test"]
    assert all(f"({len(test)} pictures)" in model_set.operating_points[name].test_set for name in names)
    n_whole = sum(item.view == "scene" for item in test)
    assert f"({n_whole} pictures)" in model_set.operating_points["whole-image"].test_set
    assert 0 < n_whole < len(test)
    metrics = json.loads((weights / "metrics.json").read_text(encoding="utf-8"))
    for split in ("dev", "test"):
        for block in (metrics[split][name]["portraits"] for name in names):
            assert block["n_real"] + block["n_fake"] + block["n_missed"] == sum(i.split == split for i in items)
            assert block["coverage"] == 1
            assert 0 <= block["auc"]["low"] <= block["auc"]["value"] <= block["auc"]["high"] <= 1
    card = (weights / "card.md").read_text(encoding="utf-8")
    assert "### test split" in card
    assert f"{metrics['test']['default']['portraits']['auc']['value']:.3f} [" in card
    assert (weights / "cnn" / "curve.svg").read_text(encoding="utf-8").startswith("<svg")
    assert TrainConfig.model_validate_json((weights / "config.json").read_text(encoding="utf-8")) == EXPERT
    assert [path.name for path in weights.rglob("*") if path.name.endswith(".tmp")] == []


def test_the_options_are_kept_as_a_file_that_gives_the_same_run(weights):
    file = weights / "recipe.toml"
    assert resolve_options(TrainConfig, file, {}, "recipe", "") == EXPERT
    text = file.read_text(encoding="utf-8").splitlines()
    for name, field in TrainConfig.model_fields.items():
        (line,) = (number for number, line in enumerate(text) if line.startswith(f"{name} = "))
        assert text[line - 1] == f"# {field.description}"


def test_pixels_in_twins_are_what_the_spectrum_sees(weights):
    metrics = json.loads((weights / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["spectrum"]["portraits"]["auc"]["value"] == 1.0


def test_several_networks_are_one_detector_and_each_is_that_of_its_own_seed(two_sets, tmp_path):
    config = CONFIG.model_copy(update={"detectors": ("cnn",), "cnn_networks": 2, "stored_as": "int8"})
    run_recipe(config, two_sets, tmp_path / "both", "x", Progress(quiet=True))
    model_set, folder = load_model_set(tmp_path / "both")
    (part,) = model_set.weights.values()
    assert list(part.hashes) == ["cnn.safetensors", "cnn-2.safetensors"]
    assert all((folder / name / "curve.svg").is_file() for name in ("cnn", "cnn-2"))
    second = config.model_copy(update={"cnn_networks": 1, "seed": 1})
    run_recipe(second, two_sets, tmp_path / "second", "x", Progress(quiet=True))
    assert list(load_model_set(tmp_path / "second")[0].hashes.values()) == [part.more_files["cnn-2.safetensors"]]
    assert part.sha256 != part.more_files["cnn-2.safetensors"]
    with Scanner(ScanConfig(weights=folder, detector=("cnn",), view="face", device="cpu", threads=1)) as scanner:
        assert scanner.scan(two_sets[0].path).record.model.files.keys() >= set(part.hashes)


def test_a_member_that_is_trained_is_not_trained_again(two_sets, tmp_path):
    config = CONFIG.model_copy(update={"detectors": ("cnn",)})
    run_recipe(config, two_sets, tmp_path, "x", Progress(quiet=True))
    first = (tmp_path / "cnn" / "log.jsonl").read_bytes()
    two = config.model_copy(update={"cnn_networks": 2})
    run_recipe(two, two_sets, tmp_path, "x", Progress(quiet=True))
    assert (tmp_path / "cnn" / "log.jsonl").read_bytes() == first
    assert list(load_model_set(tmp_path)[0].hashes) == ["cnn.safetensors", "cnn-2.safetensors"]
    # With fewer again no file is left that no description names; what was trained is still there for more.
    second = (tmp_path / "cnn-2" / "log.jsonl").read_bytes()
    run_recipe(config, two_sets, tmp_path, "x", Progress(quiet=True))
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["cnn.safetensors"]
    run_recipe(two, two_sets, tmp_path, "x", Progress(quiet=True))
    assert list(load_model_set(tmp_path)[0].hashes) == ["cnn.safetensors", "cnn-2.safetensors"]
    assert (tmp_path / "cnn-2" / "log.jsonl").read_bytes() == second


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
    faces = [replace(item, view="face") for item in items]
    some = [item for item in faces if item.split == "train"][:4] + [item for item in faces if item.split == "dev"]
    one_crop = load_crops(some[:2], tmp_path / "crops", NoFaces(), Progress(quiet=True))
    monkeypatch.setattr(recipe, "load_crops", lambda *_: one_crop)
    monkeypatch.setattr(recipe, "_train", not_reached)
    with pytest.raises(ManifestError, match="too few real or fake groups"):
        run_recipe(CONFIG, some, tmp_path / "run", "x", Progress(quiet=True))


def not_reached(*_arguments: object) -> None:
    raise AssertionError("trained all the same")


class NoFaces:
    """A detector that finds none: pictures of view `face` are all that gives a crop."""

    name = MtcnnDetector.name

    def __init__(self, *_arguments: object) -> None:
        self.n_seen = 0

    def detect(self, frames):
        self.n_seen += len(frames)
        return [[] for _ in frames]

    def refine(self, frames, boxes):
        raise AssertionError("stills are detected")


# --- which pictures it needs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_sets(items) -> list[Item]:
    """Face pictures of all splits, every other source in a second data set."""
    return [replace(i, view="face", dataset="ab"[int(i.source) // 4 % 2]) for i in items]


def without(items: list[Item], split: str, label: int) -> list[Item]:
    return [item for item in items if (item.split, item.label) != (split, label)]


class ReachedError(Exception):
    """What was checked is in order."""


def reached(*_arguments: object) -> None:
    raise ReachedError


@pytest.mark.parametrize(
    ("detectors", "split", "label", "message"),
    [
        (("cnn", "spectrum"), "train", 1, "spectrum: the train split needs real and fake"),
        (("texture",), "train", 1, "texture: the train split needs real and fake"),
        (("meso4", "cnn"), "train", 1, "meso4: the train split needs"),
        (("durall",), "train", 1, "durall: the train split needs"),
        (("cnn",), "train", 0, "cnn: the train split needs real and fake"),
        (("cnn",), "dev", 0, "the dev split needs real and fake"),
        (("cnn",), "dev", 1, "the dev split needs real and fake"),
    ],
)
def test_a_missing_class_is_noticed_before_anything_is_written(two_sets, tmp_path, detectors, split, label, message):
    config = CONFIG.model_copy(update={"detectors": detectors})
    with pytest.raises(ManifestError, match=message) as caught:
        run_recipe(config, without(two_sets, split, label), tmp_path, "x", Progress(quiet=True))
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_reals_alone_are_enough_for_a_network_that_is_shown_pseudo_fakes(two_sets, tmp_path, monkeypatch):
    reals = without(two_sets, "train", 1)
    config = CONFIG.model_copy(update={"detectors": ("cnn",)})
    monkeypatch.setattr(recipe, "run_folder", reached)
    with pytest.raises(ReachedError):
        run_recipe(config, reals, tmp_path, "x", Progress(quiet=True))
    none = dict.fromkeys(("self_blends", "warp_blends", "part_blends", "face_blends"), 0.0)
    with pytest.raises(ManifestError, match="cnn: the train split needs") as caught:
        run_recipe(config.model_copy(update=none), reals, tmp_path, "x", Progress(quiet=True))
    assert "--self-blends" in caught.value.hint


def test_fakes_of_a_data_set_that_is_left_out_are_not_trained_on(two_sets, tmp_path, monkeypatch):
    """Neither by the linear models, nor by a network's plan; dev keeps them."""
    fitted: list[Item] = []

    def note(crops, _progress):
        fitted.extend(crops.items)
        raise ReachedError

    monkeypatch.setattr(recipe, "MtcnnDetector", NoFaces)
    monkeypatch.setattr(recipe, "features_of", note)
    config = CONFIG.model_copy(update={"detectors": ("spectrum",), "left_out": ("b",)})
    with pytest.raises(ReachedError):
        run_recipe(config, two_sets, tmp_path, "x", Progress(quiet=True))
    expected = Counter((i.dataset, i.label) for i in two_sets if i.split == "train")
    assert expected.pop(("b", 1)) > 0
    assert Counter((item.dataset, item.label) for item in fitted) == expected


def test_a_data_set_to_leave_out_that_is_not_there_is_noticed_at_once(two_sets, tmp_path):
    config = CONFIG.model_copy(update={"left_out": ("a", "c")})
    with pytest.raises(UsageError, match="--left-out c: no such data set") as caught:
        run_recipe(config, two_sets, tmp_path, "x", Progress(quiet=True))
    assert caught.value.hint == "there are: a, b"
    assert not list(tmp_path.iterdir())


def test_families_of_the_texture_network_that_are_not_there_are_noticed_at_once(two_sets, tmp_path):
    config = CONFIG.model_copy(update={"texture_fakes": ("b", "c")})
    with pytest.raises(UsageError, match="--texture-fakes c: no such data set"):
        run_recipe(config, two_sets, tmp_path, "x", Progress(quiet=True))
    alone = CONFIG.model_copy(update={"detectors": ("texture",), "texture_fakes": ("b",), "left_out": ("b",)})
    with pytest.raises(ManifestError, match="texture: there are no fakes of b"):
        run_recipe(alone, two_sets, tmp_path, "x", Progress(quiet=True))
    assert not list(tmp_path.iterdir())


def test_what_is_left_is_counted_without_what_is_left_out(two_sets, tmp_path):
    config = CONFIG.model_copy(update={"detectors": ("cnn", "durall"), "left_out": ("a", "b")})
    with pytest.raises(ManifestError, match="durall: the train split needs"):
        run_recipe(config, two_sets, tmp_path, "x", Progress(quiet=True))
    assert not list(tmp_path.iterdir())


def test_leaving_out_nothing_leaves_everything(two_sets, tmp_path):
    crops = load_crops(two_sets[:6], tmp_path, NoFaces(), Progress(quiet=True))
    assert without_fakes_of(crops, ()).items == crops.items
    assert [item.label for item in without_fakes_of(crops, ("a",)).items] == [0, 0, 0]


def test_crops_that_are_kept_elsewhere_serve_several_runs(two_sets, tmp_path, monkeypatch):
    detectors = []

    def detector(*arguments: object) -> NoFaces:
        detectors.append(NoFaces(*arguments))
        return detectors[-1]

    monkeypatch.setattr(recipe, "MtcnnDetector", detector)
    monkeypatch.setattr(recipe, "_train", reached)
    config = CONFIG.model_copy(update={"detectors": ("durall",)})
    for name in ("first", "second"):
        with pytest.raises(ReachedError):
            run_recipe(config, two_sets, tmp_path / name, "x", Progress(quiet=True), crops=tmp_path / "kept")
        assert not (tmp_path / name / "crops").exists()
    found = sorted((path.parent.name, path.suffix) for path in (tmp_path / "kept").rglob("*.*"))
    assert found == [("dev", ".bin"), ("dev", ".json"), ("train", ".bin"), ("train", ".json")]
    first, second = (part.n_seen for part in detectors)
    assert first > 0
    assert second == 0


# --- whose folder it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "config.json", "recipe.toml", "model.json", "metrics.json", "card.md", "cnn.safetensors", "crops/a",
])  # fmt: skip
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
    score = measure.score_items
    folders = []

    def score_or_stop(some: list[Item], folder: Path, *others: object):
        folders.append(folder)
        assert load_model_set(folder)[0].operating_points
        assert not (tmp_path / "model.json").exists()
        if some[0].split == "test":
            raise KeyboardInterrupt
        return score(some, folder, *others)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(measure, "score_items", score_or_stop)
        run_recipe(config, items, tmp_path, "x", Progress(quiet=True))
    assert len(folders) == 2
    assert not (tmp_path / "model.json").exists()
    assert not any(folder.exists() for folder in folders)
    run_recipe(config, items, tmp_path, "x", Progress(quiet=True))
    model_set, _ = load_model_set(tmp_path)
    assert all("pictures)" in point.test_set for point in model_set.operating_points.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "card.md", "cnn", "cnn.safetensors", "config.json", "crops", "forensics-run.json", "metrics.json", "model.json",
        "recipe.toml",
    ]  # fmt: skip


def test_pictures_that_are_judged_as_a_whole_are_not_cropped(items, tmp_path, monkeypatch):
    asked: list[Item] = []

    class EnoughError(Exception):
        pass

    def crops(wanted, *_):
        asked.extend(wanted)
        raise EnoughError

    monkeypatch.setattr(recipe, "load_crops", crops)
    whole = [replace(item, view="whole") for item in items if item.view == "scene"]
    faces = [item for item in items if item.view == "face"]
    with pytest.raises(EnoughError):
        run_recipe(CONFIG, [*whole, *faces, *items], tmp_path / "run", "test only", Progress(quiet=True))
    assert asked
    assert {item.view for item in asked} == {"face", "scene"}
