"""Adversarial sets as files: where a picture is changed, what the folder remembers, and one run from data to figures."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from eval.attack_sets import crafting
from eval.attack_sets.config import AttackConfig
from eval.attack_sets.crafting import Job, craft_set
from eval.attack_sets.results import AttackResults
from eval.attack_sets.run import MadeSet, attacks_of, make_sets, rows_of_set, run_attacks, set_part, target_config
from eval.attack_sets.set_folder import SetFolder, file_names
from eval.attack_sets.squares import Prepared, Square, chunks, prepare, refuse_videos, squares_of
from eval.attack_sets.victims import Victim, load_victim, parts_of
from eval.attacks import ATTACKS, largest_change, make_attack
from eval.attacks.pictures import to_batch
from eval.cli.attack import command
from eval.score_cache import ItemScore
from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.detectors.bank import DetectorBank
from forensics.detectors.model_set import Calibration, load_model_set
from forensics.detectors.protocol import Subject
from forensics.environment import library_versions
from forensics.faces.canonical import REFERENCE_LANDMARKS, crop_face
from forensics.faces.types import Face
from forensics.media.image import read_image

CPU = torch.device("cpu")
QUIET = Progress(quiet=True)


def noise(index: int, height: int = 48, width: int = 48) -> np.ndarray:
    return rng_for(index, 1).integers(60, 190, (height, width, 3)).astype(np.uint8)


class Faces:
    """Finds faces where it is told: (left, top, side, confidence) each."""

    name = "told"
    min_confidence = 0.9

    def __init__(self, *squares: tuple[float, float, float, float]) -> None:
        self._squares = squares

    def detect(self, frames):
        return [[self._face(*square) for square in self._squares] for _ in frames]

    def refine(self, frames, boxes):
        return None

    @staticmethod
    def _face(left: float, top: float, side: float, confidence: float) -> Face:
        landmarks = (REFERENCE_LANDMARKS * side + np.array([left, top])).astype(np.float32)
        return Face(np.array([left, top, left + side, top + side], np.float32), landmarks, confidence)


class Reader:
    """Reads trusted pictures in this process, in the place of the decoding child."""

    def open(self, path: Path, _sampling):
        pixels = read_image(path)
        sample = SimpleNamespace(pixels=pixels)

        class Stream:
            def __enter__(self):
                return iter([sample])

            def __exit__(self, *_):
                return None

        return Stream()


def bright(x: torch.Tensor) -> torch.Tensor:
    """A detector that calls bright pictures fake."""
    return (x - 0.49).mean((1, 2, 3)) * 1000


VICTIM = Victim("bright", ("bright",), (), "fingerprint", bright)


def job_of(folder: Path, n: int = 5, attack: str = "pgd", **options) -> Job:
    """Pictures of a folder with the middle as their one square."""
    prepared = []
    for index in range(n):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), noise(index)[:, :, ::-1])
        item = Item(path, index % 2, view="face")
        prepared.append(Prepared(index, item, path.name, sha256_of_file(path), 48 * 48, (Square(8, 4, 32),)))
    return Job(prepared, VICTIM, 0.5, make_attack(attack, 2.0, steps=2, **options), CPU)


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def score_of(value: float | None) -> ItemScore:
    return ItemScore(outcome=Outcome.SCORED, score=value)


def craft(job: Job, folder: Path, overwrite: bool = False) -> SetFolder:
    made = SetFolder(folder, job.recipe_sha256, overwrite)
    craft_set(job, made, Reader(), QUIET, "set")
    return made


# Squares


def test_the_square_of_a_scene_is_where_the_crop_of_a_scan_comes_from():
    picture = noise(1, 120, 160)
    faces = Faces((30.4, 20.7, 51.2, 0.99))
    (square,) = squares_of(picture, "scene", faces)
    expected = crop_face(picture, faces.detect([picture])[0][0].landmarks)
    assert np.array_equal(square.cut(picture), expected)
    changed = picture.copy()
    square.paste(changed, 255 - square.cut(picture))
    outside = np.ones(picture.shape[:2], bool)
    outside[square.y : square.y + square.side, square.x : square.x + square.side] = False
    assert np.array_equal(changed[outside], picture[outside])
    assert np.array_equal(square.cut(changed), 255 - expected)


def test_faces_that_overlap_unsure_or_outside_are_left_alone():
    picture = noise(1, 120, 160)
    faces = Faces((20, 20, 50, 0.99), (60, 40, 50, 0.98), (90, 60, 50, 0.97), (100, 10, 40, 0.5), (-60, 0, 50, 0.99))
    squares = squares_of(picture, "scene", faces)
    assert [(square.x, square.y) for square in squares] == [(20, 20), (90, 60)]
    assert squares_of(picture, "scene", Faces()) == ()
    assert squares_of(picture, "face", None) == (Square(20, 0, 120),)


@pytest.mark.parametrize(
    ("areas", "expected"),
    [([], []), ([1] * 4, [4]), ([1] * 9, [4, 4, 1]), ([5, 5, 1], [2, 1]), ([99, 1, 99, 9, 1], [1, 1, 1, 2])],
)
def test_chunks_cover_everything_once_and_bound_number_and_area(areas, expected):
    found = chunks(areas, 4, 10)
    assert [len(part) for part in found] == expected
    assert [place for part in found for place in part] == list(range(len(areas)))


def test_items_keep_their_place_whatever_they_are_called(tmp_path):
    items = [job_of(tmp_path, n=2).prepared[k % 2].item for k in range(4)]
    prepared = prepare(items, ["same.png"] * 4, [str(k) for k in range(4)], Reader(), None, QUIET)
    assert [one.place for one in prepared] == [0, 1, 2, 3]
    assert [one.area for one in prepared] == [48 * 48] * 4
    job = Job([prepared[1], prepared[3]], VICTIM, 0.5, make_attack("fgsm", 2.0), CPU)
    made = MadeSet("set", craft(job, tmp_path / "set"), job)
    assert made.places.tolist() == [1, 3]
    clean = [score_of(value) for value in (0.9, 0.1, 0.9, 0.9)]  # of places 1 and 3, both fakes, one is called real
    assert set_part(made, clean, [score_of(0.1)] * 2).success_clean == 0.5


def test_cells_of_a_set_are_no_formulas(tmp_path):
    job = job_of(tmp_path, n=1)
    hostile = {"generator": "=cmd|' /C calc'!A0", "dataset": "+1+1", "source": "'=kept", "identity": "@sum"}
    extra = {"note": "-2+3", "yaw": "-0.5", "=name": "x"}
    prepared = [replace(one, item=replace(one.item, **hostile, extra=extra)) for one in job.prepared]
    job = replace(job, prepared=prepared)
    made = MadeSet("set", craft(job, tmp_path / "set"), job)
    made.folder.write_rows(rows_of_set(made, [score_of(0.5)]))
    with (tmp_path / "set" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    cells = dict(zip(header, row, strict=True))
    assert cells.pop("yaw") == "-0.5"
    assert not [cell for cell in [*cells, *cells.values()] if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert (cells["generator"], cells["source"]) == ("'=cmd|' /C calc'!A0", "'=kept")


def test_a_picture_that_is_too_small_for_a_patch_is_left_out_of_that_set(tmp_path):
    able = job_of(tmp_path, n=4).prepared
    small = replace(able[1], squares=(Square(0, 0, 19),))  # 1 % of it: a single pixel
    both = replace(able[2], squares=(Square(0, 0, 10), Square(12, 12, 20)))
    able = [able[0], small, both, able[3]]
    config = AttackConfig(attack=("patch", "fgsm"), steps=2)
    attacks = [make_attack("patch", 1.0, steps=2), make_attack("fgsm", 2.0)]
    sets, too_small = make_sets(config, tmp_path, able, [VICTIM], attacks, {"bright": 0.5}, CPU, Reader(), QUIET)
    assert [(one.name, one.places.tolist()) for one in sets] == [
        ("bright-patch-1", [0, 2, 3]),
        ("bright-fgsm-2", [0, 1, 2, 3]),
    ]
    assert [(one.set, one.path, one.outcome) for one in too_small] == [("bright-patch-1", "1.png", "too_small")]
    saved = read_image(sets[0].items[1].path)
    assert np.array_equal(saved[:12], noise(2)[:12]) and not np.array_equal(saved, noise(2))
    sets, too_small = make_sets(
        config, tmp_path / "none", [small], [VICTIM], attacks[:1], {"bright": 0.5}, CPU, Reader(), QUIET
    )
    assert (sets, len(too_small), (tmp_path / "none").exists()) == ([], 1, False)


def test_videos_are_refused_by_their_bytes(tmp_path, clip_writer):
    clip = clip_writer(tmp_path / "named_like_a_picture.mp4", [noise(i) for i in range(3)]).rename(tmp_path / "a.png")
    still = tmp_path / "b.png"
    cv2.imwrite(str(still), noise(0))
    refuse_videos([Item(still, 0), Item(tmp_path / "missing.png", 1)])
    with pytest.raises(UsageError, match=r"1 of 2 items are videos, the first is a\.png"):
        refuse_videos([Item(still, 0), Item(clip, 1)])


# A set on disk


def test_a_set_fools_stays_in_its_ball_and_repeats_itself(tmp_path):
    job = job_of(tmp_path)
    made = craft(job, tmp_path / "set")
    assert sorted(made.entries) == [0, 1, 2, 3, 4]
    for place, entry in made.entries.items():
        saved, original = read_image(made.path / "images" / entry.file), noise(place)
        square = job.prepared[place].squares[0]
        assert largest_change(saved, original) == entry.largest_change == 2
        assert largest_change(square.cut(saved), square.cut(original)) == 2
        assert np.array_equal(saved[:4], original[:4]) and np.array_equal(saved[36:], original[36:])
        logit = float(bright(to_batch([square.cut(saved)])))
        assert (logit > 0) != (job.prepared[place].item.label == 1)
        assert (entry.score_before > 0.5) == (logit > 0)
        assert entry.sha256 == sha256_of_file(made.path / "images" / entry.file)
    craft(job, tmp_path / "again")
    assert bytes_in(tmp_path / "set") == bytes_in(tmp_path / "again")


def test_a_stopped_set_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(crafting, "CHUNK", 2)
    job = job_of(tmp_path)
    whole = craft(job, tmp_path / "whole")
    part = craft(job, tmp_path / "part")
    journal = part.path / "crafted.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:3], lines[3][:20]]))  # a crash in the middle of the fourth line
    for name in ("2.png", "3.png", "4.png"):  # a picture is written after its line
        (part.path / "images" / name).unlink()
    (part.path / "images" / "1.png").write_bytes(b"cut")
    attacked: list[int] = []
    original = crafting._attacked
    monkeypatch.setattr(
        crafting, "_attacked", lambda job, chosen, *rest: attacked.append(len(chosen)) or original(job, chosen, *rest)
    )
    again = craft(job, tmp_path / "part")
    assert attacked == [2, 2, 1]  # the damaged picture's chunk, and the two that the journal had lost
    assert bytes_in(again.path) == bytes_in(whole.path)
    assert again.entries == whole.entries
    attacked.clear()
    craft(job, tmp_path / "part")
    assert attacked == []


def test_another_recipe_replaces_the_set_and_a_foreign_folder_is_kept(tmp_path):
    craft(job_of(tmp_path, n=5), tmp_path / "set")
    smaller = craft(job_of(tmp_path, n=3, seed=1), tmp_path / "set")
    assert sorted(bytes_in(smaller.path)) == ["0.png", "1.png", "2.png"]
    foreign = tmp_path / "foreign" / "images"
    foreign.mkdir(parents=True)
    (foreign / "mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not written by this tool"):
        craft(job_of(tmp_path), foreign.parent)
    assert (foreign / "mine.png").read_bytes() == b"mine"


def test_files_of_others_in_a_folder_of_ours_are_kept(tmp_path):
    made = craft(job_of(tmp_path, n=2), tmp_path / "set")
    foreign = made.path / "images" / "4.png"
    foreign.write_bytes(b"mine")
    patch = made.path / "patch-fake-to-real.png"
    with pytest.raises(UsageError, match=r"4\.png was not written by this tool"):
        craft(job_of(tmp_path, n=5), made.path)
    assert foreign.read_bytes() == b"mine"
    craft(job_of(tmp_path, n=4), made.path)  # another name is not in its way
    assert foreign.read_bytes() == b"mine"
    patch.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"patch-fake-to-real\.png was not written"):
        craft(job_of(tmp_path, n=2, attack="patch"), made.path)
    assert patch.read_bytes() == b"mine"
    craft(job_of(tmp_path, n=5), made.path, overwrite=True)
    assert foreign.read_bytes() != b"mine"


def test_a_picture_that_was_interrupted_is_ours(tmp_path, monkeypatch):
    """Killed between a picture and whatever comes after it: the same command goes on."""
    job, calls = job_of(tmp_path, n=3), []

    def killed(path, data):
        write_atomic(path, data)
        calls.append(path)
        if len(calls) == 3:  # the journal, and two pictures
            raise KeyboardInterrupt

    monkeypatch.setattr("eval.attack_sets.set_folder.write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        craft(job, tmp_path / "set")
    monkeypatch.undo()
    assert len(list((tmp_path / "set" / "images").iterdir())) == 2
    craft(job, tmp_path / "set")
    craft(job, tmp_path / "whole")
    assert bytes_in(tmp_path / "set") == bytes_in(tmp_path / "whole")


@pytest.mark.parametrize("link", ["set", "set/images"])
def test_links_out_of_the_output_are_not_followed(tmp_path, link):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output = tmp_path / "out"
    (output / link).parent.mkdir(parents=True)
    (output / link).symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link to a folder outside"):
        craft(job_of(tmp_path, n=1), output / "set", overwrite=True)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["images", "crafted.jsonl", "images/0.png"])
def test_what_is_in_the_way_is_said_in_a_line(tmp_path, name):
    """A file where a folder belongs, and the other way round."""
    path = tmp_path / "set" / name
    path.parent.mkdir(parents=True)
    if name == "images":
        path.write_text("a file")
    else:
        path.mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        craft(job_of(tmp_path, n=1), tmp_path / "set", overwrite=True)


def test_a_journal_that_names_files_elsewhere_is_not_believed(tmp_path):
    victim_file = tmp_path / "precious.png"
    made = craft(job_of(tmp_path, n=1), tmp_path / "set")
    victim_file.write_bytes(b"precious")
    journal = made.path / "crafted.jsonl"
    entry = json.loads(journal.read_text().splitlines()[1]) | {"file": "../../precious.png"}
    journal.write_text(json.dumps({"recipe": "another"}) + "\n" + json.dumps(entry) + "\n")
    craft(job_of(tmp_path, n=1), tmp_path / "set", overwrite=True)
    assert victim_file.read_bytes() == b"precious"


@pytest.mark.parametrize("library", ["torch", "numpy", "opencv-python-headless"])
def test_another_library_is_another_recipe(tmp_path, monkeypatch, library):
    job = job_of(tmp_path, n=1)
    before, versions = job.recipe_sha256, library_versions()
    monkeypatch.setattr(crafting, "library_versions", lambda: versions | {library: "0.1"})
    assert job.recipe_sha256 != before


def test_recipes_differ_by_everything_that_pixels_depend_on(tmp_path):
    base = job_of(tmp_path)
    others = [
        job_of(tmp_path, seed=1),
        job_of(tmp_path, attack="fgsm"),
        job_of(tmp_path, n=4),
        Job(base.prepared, VICTIM, 0.7, base.attack, CPU),
        Job(base.prepared, Victim("bright", ("bright",), (), "retrained", bright), 0.5, base.attack, CPU),
    ]
    assert len({job.recipe_sha256 for job in [base, *others]}) == 6
    assert base.recipe_sha256 == job_of(tmp_path).recipe_sha256


def test_patch_sets_keep_the_patch_and_change_one_percent(tmp_path):
    job = Job(job_of(tmp_path, n=4).prepared, VICTIM, 0.5, make_attack("patch", 1.0, steps=3), CPU)
    made = craft(job, tmp_path / "set")
    assert (made.path / "patch-fake-to-real.png").is_file() and (made.path / "patch-real-to-fake.png").is_file()
    for place, entry in made.entries.items():
        changed = (read_image(made.path / "images" / entry.file) != noise(place)).any(2)
        assert 0 < changed.sum() <= 0.01 * 32 * 32


def test_file_names_are_safe_and_unique():
    names = file_names([Path("a/x.jpg"), Path("b/X.png"), Path("c/=cmd(1).png"), Path("d/....png"), Path("e/x.gif")])
    assert names == ["x.png", "X-2.png", "cmd_1.png", "input.png", "x-3.png"]


# Victims


@pytest.fixture(scope="module")
def shipped():
    return load_model_set()


def test_victims_say_what_a_scan_says(shipped):
    """The fusion as one differentiable function is the bank's calibrated logit, and so is a single member."""
    crop = cv2.GaussianBlur(noise(3, 150, 150), (0, 0), 2)
    bank = DetectorBank(["default", "cnn"], *shipped, CPU)
    expected = bank.calibrated_logits([Subject.of_crop(crop)])
    for name in ("default", "cnn"):
        victim = load_victim(name, *shipped, CPU)
        x = to_batch([crop]).requires_grad_(True)
        value = victim.logits(x)
        total = value.item() + float(victim.left_out_logits([crop])[0])
        assert total == pytest.approx(float(expected[name][0]), abs=2e-3)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert float(gradient.abs().max()) > 0
    weights = shipped[0].calibrations["default"].coefficients
    assert parts_of("default", shipped[0]) == {name for name, weight in weights.items() if weight}


def victim_of(fusion, shipped):
    """The shipped detectors in another fusion as a victim; two crops, and the logits that a scan gives them."""
    model_set, folder = shipped
    model_set = model_set.model_copy(update={"calibrations": {**model_set.calibrations, "default": fusion}})
    crops = [cv2.GaussianBlur(noise(k, 150, 150), (0, 0), 2) for k in range(2)]
    expected = DetectorBank(["default"], model_set, folder, CPU).calibrated_logits(
        [Subject.of_crop(crop) for crop in crops]
    )["default"]
    return load_victim("default", model_set, folder, CPU), crops, expected


def test_what_a_fusion_cannot_differentiate_counts_as_it_is_on_the_clean_crop(shipped):
    fusion = Calibration(coefficients={"cnn": 0.7, "spectrum": 0.4}, intercept=-0.3)
    victim, crops, expected = victim_of(fusion, shipped)
    assert (victim.members, victim.left_out) == (("cnn",), ("spectrum",))
    rest = victim.left_out_logits(crops)
    assert np.abs(rest).min() > 0.01
    with torch.no_grad():
        total = victim.logits(to_batch(crops)).numpy() + rest
    assert total == pytest.approx(expected, abs=2e-3)


def test_a_victim_of_two_with_different_blind_spots_says_what_a_scan_says(shipped):
    fusion = Calibration(
        coefficients={"cnn": 0.7, "texture": 0.9}, intercept=0.0, offsets={"cnn": -0.4, "texture": 0.6}
    )
    victim, crops, expected = victim_of(fusion, shipped)
    x = to_batch(crops).requires_grad_(True)
    found = victim.logits(x)
    assert found.detach().numpy() + victim.left_out_logits(crops) == pytest.approx(expected, abs=2e-3)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.isfinite(gradient).all() and float(gradient.abs().max()) > 0


@pytest.mark.parametrize("attack", ["fgsm", "patch"])
def test_success_in_memory_counts_what_is_left_out(tmp_path, attack):
    """Alone, the part with a gradient would be on the wrong side for every picture; with the rest it is for none."""
    job = job_of(tmp_path, n=4, attack=attack)
    rest = {0: -1e4, 1: 1e4}  # all say the truth, loudly
    labels = [one.item.label for one in job.prepared]
    clean = {noise(k)[4:36, 8:40].tobytes(): rest[label] for k, label in enumerate(labels)}
    victim = replace(VICTIM, left_out_logits=lambda crops: np.array([clean[crop.tobytes()] for crop in crops]))
    made = craft(replace(job, victim=victim), tmp_path / "set")
    assert [entry.score_before > 0.5 for _, entry in sorted(made.entries.items())] == [label == 1 for label in labels]


@pytest.mark.parametrize("name", ["spectrum", "mine.py"])
def test_a_detector_without_gradient_is_refused_by_name(shipped, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def predict(path):\n    return 0.5\n")
    with pytest.raises(UsageError, match="cannot be attacked by gradient") as caught:
        load_victim(name, *shipped, CPU)
    assert "cnn" in caught.value.hint and "default" in caught.value.hint and "--target" in caught.value.hint


# Options


def test_every_attack_gets_every_epsilon_and_a_patch_its_area():
    config = AttackConfig(attack=("fgsm", "patch"), epsilon=(1.0, 4.0), patch_percent=2.0, seed=3)
    found = [(attack.name, attack.epsilon, attack.seed) for attack in attacks_of(config)]
    assert found == [("fgsm", 1.0, 3), ("fgsm", 4.0, 3), ("patch", 2.0, 3)]
    with pytest.raises(UsageError, match="no attack 'deepfool'"):
        attacks_of(AttackConfig(attack=("deepfool",)))


def test_targets_are_all_built_in_ones_or_those_named_and_the_victims_always(shipped):
    assert {"default", *shipped[0].weights} <= set(target_config(AttackConfig()).detector)
    assert target_config(AttackConfig(detector=("cnn",), target=("texture",))).detector == ("texture", "cnn")


def test_help_names_every_attack():
    text = CliRunner().invoke(command, ["--help"]).output
    assert all(f"\n    {name} " in text for name in ATTACKS)


# From data to figures


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Six face crops, drawn smooth so that a network has something to say of them, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("data")
    items = []
    for index in range(6):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), cv2.GaussianBlur(noise(index, 120, 120), (0, 0), 1 + index / 2))
        items.append(Item(path, index % 2, dataset="drawn", source=f"s{index}", split="test", view="face"))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    items.append(Item(folder / "broken.png", 1, dataset="drawn", source="s6", split="test", view="face"))
    write_manifest(folder / "manifest.csv", items)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> tuple[AttackConfig, Path, AttackResults]:
    config = AttackConfig(
        detector=("cnn",), target=("texture",), attack=("pgd-8bit",), epsilon=(8.0,), steps=3, workers=1, draws=100
    )
    output = tmp_path_factory.mktemp("run") / "out"
    return config, output, run_attacks(config, [data], output, QUIET)


def test_run_makes_a_set_that_is_a_data_set_with_the_promised_columns(data, run):
    _, output, results = run
    (made,) = results.sets
    assert (made.folder, made.n_real, made.n_fake, made.largest_change) == ("cnn-pgd-8bit-8", 3, 3, 8)
    rows = read_manifest(output / made.folder / "manifest.csv")
    assert len(rows) == 6
    originals = {item.source: item for item in read_manifest(data / "manifest.csv")}
    for row in rows:
        original = originals[row.source]
        assert (row.label, row.dataset, row.split, row.view) == (original.label, "drawn", "test", "face")
        assert (row.extra["attack"], row.extra["epsilon"], row.extra["victim"], row.extra["seed"]) == (
            "pgd-8bit", "8", "cnn", "0",
        )  # fmt: skip
        assert row.extra["sha256"] == sha256_of_file(row.path) and row.extra["original"] == sha256_of_file(
            original.path
        )
        assert largest_change(read_image(row.path), read_image(original.path)) <= 8
        assert row.extra["success_before"] == row.extra["success_after"]  # 8-bit in memory already
    assert made.success_before == made.success_after


def test_run_says_what_it_left_out_and_who_knew_what(run):
    _, _, results = run
    assert [(one.path, one.outcome) for one in results.left_out] == [("broken.png", "unreadable")]
    assert {(cell.target, cell.threat_model) for cell in results.cells} == {
        ("cnn", "white-box"),
        ("texture", "transfer"),
    }
    own = next(cell for cell in results.cells if cell.target == "cnn")
    assert (own.n_real, own.n_fake, own.n_clusters, own.n_lost) == (3, 3, 6, 0)


def test_figures_follow_from_the_scores_that_were_written(run):
    _, output, results = run
    with (output / "scores.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["detector"] == "cnn" and row["score"]]
    scores = {(row["source"], row["path"].startswith("cnn-pgd-8bit-8/")): float(row["score"]) for row in rows}
    threshold = results.thresholds["cnn"]
    flips = [(scores[f"s{i}", True] >= threshold) != (scores[f"s{i}", False] >= threshold) for i in range(6)]
    own = next(cell for cell in results.cells if cell.target == "cnn")
    assert own.flipped.value == pytest.approx(np.mean(flips), abs=1e-6)
    # The attack moves every score towards the other class, or leaves it where it is.
    moves = np.array([(scores[f"s{i}", True] - scores[f"s{i}", False]) * (-1 if i % 2 else 1) for i in range(6)])
    assert moves.min() >= -1e-3 and moves.max() > 0.01


def test_run_again_crafts_nothing_and_says_the_same(data, run, monkeypatch):
    config, output, results = run
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file() and path.name != "attack.json"}
    monkeypatch.setattr(crafting, "craft_pictures", lambda *_, **__: pytest.fail("crafted again"))
    again = run_attacks(config, [data], output, QUIET)
    assert {path: path.read_bytes() for path in before} == before
    same = results.provenance.model_copy(update={"clock": {}})
    assert again.model_copy(update={"provenance": same}) == results.model_copy(update={"provenance": same})


def test_an_unreadable_picture_while_crafting_is_an_error_and_no_invented_picture(tmp_path):
    job = job_of(tmp_path, n=2)
    (tmp_path / "1.png").write_bytes(b"changed since it was looked at")
    with pytest.raises(MediaError):
        craft(job, tmp_path / "set")
    assert bytes_in(tmp_path / "set") == {}
