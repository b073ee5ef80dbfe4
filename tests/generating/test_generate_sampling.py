"""Latents, pictures of a generator, and the folder of samples."""

import csv
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import stats

from forensics.cli import cli
from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.progress import Progress
from generators.checkpoint import load_generator, read_checkpoint, write_checkpoint
from generators.drawing import BATCH, draw_latents, draw_pictures, label_named, labels_of, render
from generators.sampling import Reals, read_record, write_samples
from generators.system import configured, system_named

CPU = torch.device("cpu")
SIZES = {"image_px": 16, "width": 4, "latent": 8}


def checkpoint(path, name="dcgan", class_names=(), view="scene", seed=0, **options):
    """An untrained generator whose pictures differ: first weights alone draw grey."""
    system = system_named(name)
    config = configured(system, "cpu", {**SIZES, "classes": len(class_names), **options})
    torch.manual_seed(seed)
    weights = system.generator(config).state_dict()
    loud = {f"average.{key}": 8 * value if value.dim() == 4 else value for key, value in weights.items()}
    meta = {"system": name, "config": config.model_dump(mode="json"), "step": 7, "class_names": list(class_names)}
    write_checkpoint(path, loud, {**meta, "view": view})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("model") / "dcgan.safetensors")


@pytest.fixture(scope="module")
def loaded(model):
    return load_generator(model, CPU)


def pictures_of(loaded, n, seed=0, **options):
    return np.concatenate(list(draw_pictures(loaded, n, seed, **options)))


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- latents


def test_a_latent_is_a_function_of_seed_and_index_alone():
    many = draw_latents(50, 8, seed=3)
    assert many.dtype == np.float32 and many.shape == (50, 8)
    assert (draw_latents(7, 8, seed=3, start=20) == many[20:27]).all()
    assert (draw_latents(1, 8, seed=3, start=49) == many[49:]).all()
    assert len(np.unique(many[:, 0])) == 50
    assert not np.isin(draw_latents(50, 8, seed=4), many).any()


def test_latents_are_standard_normal():
    z = draw_latents(500, 40, seed=0)
    assert stats.kstest(z.ravel(), "norm").pvalue > 0.01
    # Neither rows nor columns know of each other.
    assert np.abs(np.corrcoef(z[:, :2].T)[0, 1]) < 0.15
    assert stats.kstest(z.mean(0) * math.sqrt(500), "norm").pvalue > 0.01


@pytest.mark.parametrize("t", [0.04, 0.5, 2.0])
def test_truncated_latents_are_those_that_redrawing_gives(t):
    z = draw_latents(500, 40, seed=0, truncation=t)
    assert np.abs(z).max() <= np.float32(t)
    assert stats.kstest(z.ravel(), stats.truncnorm(-t, t).cdf).pvalue > 0.01
    # The same samples, drawn towards the middle.
    free = draw_latents(500, 40, seed=0)
    assert ((z > 0) == (free > 0)).all()
    assert (np.abs(z) <= np.abs(free)).all()


@pytest.mark.parametrize("wrong", [0, -1, math.nan])
def test_a_truncation_that_leaves_nothing_is_refused(wrong):
    with pytest.raises(UsageError, match="truncation"):
        draw_latents(1, 8, seed=0, truncation=wrong)


# -- pictures


def test_a_sample_does_not_depend_on_how_many_are_drawn_with_it(loaded):
    many = pictures_of(loaded, 2 * BATCH + 5)
    assert many.shape == (2 * BATCH + 5, 16, 16, 3) and many.dtype == np.uint8
    assert len(np.unique(many.reshape(len(many), -1), axis=0)) == len(many)
    for start, n in ((0, 1), (0, 33), (31, 2), (BATCH + 3, 30), (60, 1)):
        assert (pictures_of(loaded, n, start=start) == many[start : start + n]).all()


def test_given_latents_are_drawn_as_samples_are(loaded):
    z = draw_latents(40, 8, seed=0)
    drawn = np.concatenate(list(render(loaded, z, None)))
    assert np.array_equal(drawn, pictures_of(loaded, 40))


def test_pictures_are_those_of_the_network(loaded):
    with torch.no_grad():
        expected = loaded.network(torch.from_numpy(draw_latents(BATCH, 8, seed=0)))
    grey = (expected.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(pictures_of(loaded, BATCH) - grey).max() <= 0.5 + 1e-4


def test_classes_take_turns_unless_one_is_asked_for(tmp_path):
    loaded = load_generator(checkpoint(tmp_path / "c.safetensors", "cgan", ("cat", "dog", "owl")), CPU)
    indices = np.arange(5)
    assert labels_of(loaded, indices).tolist() == [0, 1, 2, 0, 1]
    assert labels_of(loaded, indices, 2).tolist() == [2] * 5
    assert [label_named(loaded, name) for name in ("dog", "2", "0")] == [1, 2, 0]
    for wrong in ("3", "cow", "-1", ""):
        with pytest.raises(UsageError, match="no class"):
            label_named(loaded, wrong)
    everyone, dogs = pictures_of(loaded, 6), pictures_of(loaded, 6, label=1)
    assert (everyone[[1, 4]] == dogs[[1, 4]]).all()
    assert all((everyone[k] != dogs[k]).any() for k in (0, 2, 3, 5))


def test_a_system_without_classes_has_none(loaded):
    assert labels_of(loaded, np.arange(3)) is None
    with pytest.raises(UsageError, match="without classes"):
        label_named(loaded, "0")


def test_a_generator_whose_weights_are_no_numbers_is_an_error(tmp_path):
    path = checkpoint(tmp_path / "a.safetensors")
    loaded = load_generator(path, CPU)
    next(loaded.network.parameters()).data.fill_(math.nan)
    with pytest.raises(UsageError, match="not finite"):
        list(draw_pictures(loaded, 1, 0))


# -- the folder


def test_a_folder_of_samples_is_a_labelled_set(loaded, tmp_path):
    manifest = write_samples(loaded, tmp_path / "set", 5, seed=3, split="dev")
    items = read_manifest(manifest)
    expected = pictures_of(loaded, 5, seed=3)
    assert len(items) == 5
    for k, item in enumerate(items):
        assert (item.label, item.generator, item.split, item.view) == (1, "dcgan", "dev", "scene")
        assert item.dataset == "generators-dcgan"
        assert item.source == f"{loaded.sha256[:12]}-3-{k}"
        assert item.extra == {"sha256": sha256_of_file(item.path), "seed": "3", "checkpoint": loaded.sha256}
        assert (cv2.imread(str(item.path))[:, :, ::-1] == expected[k]).all()
    assert sorted(tree(tmp_path / "set")) == [
        *(f"fake/{k:06d}.png" for k in range(5)), "grid.png", "manifest.csv", "samples.json",
    ]  # fmt: skip


def test_the_same_command_gives_the_same_bytes(loaded, tmp_path):
    for name in ("a", "b"):
        write_samples(loaded, tmp_path / name, 5, seed=3, dataset="x")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    write_samples(loaded, tmp_path / "c", 5, seed=4, dataset="x")
    assert tree(tmp_path / "c")["fake/000000.png"] != tree(tmp_path / "a")["fake/000000.png"]


def test_a_stopped_folder_is_finished_without_drawing_again(loaded, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    write_samples(loaded, whole, 100)
    write_samples(loaded, stopped, 100)
    kept = stopped / "fake" / "000070.png"
    for name in ("manifest.csv", "fake/000003.png", "fake/000099.png"):
        (stopped / name).unlink()
    before = kept.stat().st_mtime_ns, kept.stat().st_ino
    write_samples(loaded, stopped, 100)
    assert tree(stopped) == tree(whole)
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == before


def test_more_samples_are_added_and_fewer_are_refused(loaded, tmp_path):
    write_samples(loaded, tmp_path / "grown", 3)
    write_samples(loaded, tmp_path / "grown", 40)
    write_samples(loaded, tmp_path / "fresh", 40)
    assert tree(tmp_path / "grown") == tree(tmp_path / "fresh")
    with pytest.raises(UsageError, match="40 samples already"):
        write_samples(loaded, tmp_path / "grown", 3)
    # What was asked for and never drawn is no reason to refuse.
    for k in range(3, 40):
        (tmp_path / "grown" / "fake" / f"{k:06d}.png").unlink()
    write_samples(loaded, tmp_path / "grown", 3)
    assert len(read_manifest(tmp_path / "grown" / "manifest.csv")) == 3


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"seed": 1}, "seed"), ({"split": "test"}, "split"), ({"truncation": 0.5}, "truncation"),
     ({"picture_format": "jpeg:90"}, "picture_format"), ({"dataset": "mine"}, "dataset")],
)  # fmt: skip
def test_another_recipe_is_refused_and_named(loaded, tmp_path, changed, word):
    write_samples(loaded, tmp_path, 3)
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=word):
        write_samples(loaded, tmp_path, 3, **changed)
    assert tree(tmp_path) == before


def test_another_checkpoint_is_refused_and_replaces_all_with_overwrite(loaded, tmp_path):
    other = load_generator(checkpoint(tmp_path / "other.safetensors", seed=1), CPU)
    write_samples(loaded, tmp_path / "set", 5, picture_format="jpeg:80")
    with pytest.raises(UsageError, match="checkpoint"):
        write_samples(other, tmp_path / "set", 3, picture_format="jpeg:80")
    write_samples(other, tmp_path / "set", 3, overwrite=True)
    write_samples(other, tmp_path / "fresh", 3)
    assert tree(tmp_path / "set") == tree(tmp_path / "fresh")


def test_files_of_somebody_else_stay(loaded, tmp_path):
    (tmp_path / "holiday.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not samples"):
        write_samples(loaded, tmp_path, 2)
    write_samples(loaded, tmp_path, 2, overwrite=True)
    assert (tmp_path / "holiday.png").read_bytes() == b"mine"
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        write_samples(loaded, tmp_path / "file", 2)


def test_a_foreign_picture_in_the_place_of_a_sample_is_not_taken_for_it(loaded, tmp_path):
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "000001.png").write_bytes(b"mine")
    write_samples(loaded, tmp_path, 2, overwrite=True)
    assert (cv2.imread(str(tmp_path / "fake" / "000001.png"))[:, :, ::-1] == pictures_of(loaded, 2)[1]).all()


@pytest.mark.parametrize("text", ["{}", "no json", '{"format": "forensics-samples-2"}'])
def test_a_record_that_is_not_ours_is_not_believed(loaded, tmp_path, text):
    (tmp_path / "samples.json").write_text(text)
    with pytest.raises(UsageError, match=r"samples\.json"):
        write_samples(loaded, tmp_path, 2)


def test_the_manifest_says_which_class_or_generator_drew(tmp_path):
    cats = load_generator(checkpoint(tmp_path / "c.safetensors", "cgan", ("cat", "dog")), CPU)
    items = read_manifest(write_samples(cats, tmp_path / "c", 3, truncation=0.5))
    assert [item.extra["class"] for item in items] == ["cat", "dog", "cat"]
    assert {item.extra["truncation"] for item in items} == {"0.5"}
    items = read_manifest(write_samples(cats, tmp_path / "dogs", 3, label=1))
    assert [item.extra["class"] for item in items] == ["dog"] * 3
    several = load_generator(checkpoint(tmp_path / "m.safetensors", "madgan", generators=2), CPU)
    items = read_manifest(write_samples(several, tmp_path / "m", 3))
    assert [item.extra["generator_index"] for item in items] == ["0", "1", "0"]
    assert "class" not in items[0].extra


# -- reals beside them


@pytest.fixture
def real_manifest(tmp_path):
    rng = np.random.default_rng(0)
    items = []
    for k in range(8):
        path = tmp_path / "photos" / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        colour = rng.integers(0, 256, 3, np.uint8)
        cv2.imwrite(str(path), np.full((40, 60, 3), colour, np.uint8))
        split = "test" if k == 7 else "train"
        items.append(Item(path, int(k == 6), dataset="zoo", source=f"s{k}", identity=f"p{k}", split=split))
    write_manifest(tmp_path / "photos" / "manifest.csv", items)
    return tmp_path / "photos" / "manifest.csv"


def test_reals_go_through_the_same_pipeline(loaded, real_manifest, tmp_path):
    manifest = write_samples(loaded, tmp_path / "set", 4, reals=Reals((real_manifest,)), picture_format="jpeg:90")
    items = read_manifest(manifest)
    reals = [item for item in items if item.label == 0]
    assert [item.label for item in items] == [1] * 4 + [0] * 4
    originals = {item.source: item for item in read_manifest(real_manifest)}
    for item in reals:
        original = originals[item.source]
        assert (item.identity, item.split) == (original.identity, "train")
        assert (item.dataset, item.extra["original_dataset"]) == ("generators-dcgan", "zoo")
        assert (item.generator, item.view, original.label) == ("", "scene", 0)
        assert item.extra["sha256"] == sha256_of_file(item.path)
        shown, was = cv2.imread(str(item.path)), cv2.imread(str(original.path))
        assert shown.shape == (16, 16, 3)
        assert np.abs(shown.astype(int) - was[0, 0]).max() <= 4  # one colour, but for the JPEG's rounding
    assert {item.path.suffix for item in items} == {".jpg"}
    # Files of both classes have the same tables: nothing but the picture tells them apart.
    heads = {item.path.read_bytes()[:160] for item in items}
    assert len(heads) == 1


def test_fewer_reals_than_samples_are_all_taken_and_the_split_is_kept(loaded, real_manifest, tmp_path):
    manifest = write_samples(loaded, tmp_path / "set", 20, reals=Reals((real_manifest,), "train"))
    assert sum(item.label == 0 for item in read_manifest(manifest)) == 6
    assert read_record(tmp_path / "set").n_reals == 6
    with pytest.raises(UsageError, match="reals"):
        write_samples(loaded, tmp_path / "set", 20)
    manifest = write_samples(loaded, tmp_path / "test", 20, split="test", reals=Reals((real_manifest,), "test"))
    assert [item.source for item in read_manifest(manifest) if item.label == 0] == ["s7"]


def test_names_of_two_data_sets_are_told_apart(loaded, real_manifest, tmp_path):
    items = read_manifest(real_manifest)
    write_manifest(real_manifest, [replace(item, dataset="zoo" if k % 2 else "farm") for k, item in enumerate(items)])
    manifest = write_samples(loaded, tmp_path / "set", 6, reals=Reals((real_manifest,)))
    reals = [item for item in read_manifest(manifest) if item.label == 0]
    expected = {f"{'zoo' if k % 2 else 'farm'}/s{k}" for k in range(6)}
    assert {item.source for item in reals} == expected
    assert {item.source.split("/")[0] for item in reals} == {item.identity.split("/")[0] for item in reals}


def test_reals_that_have_become_fewer_leave_no_file_behind(loaded, real_manifest, tmp_path):
    reals = Reals((real_manifest,))
    write_samples(loaded, tmp_path / "set", 6, reals=reals)
    items = read_manifest(real_manifest)
    write_manifest(real_manifest, items[2:])
    write_samples(loaded, tmp_path / "set", 6, reals=reals)
    write_samples(loaded, tmp_path / "fresh", 6, reals=reals)
    assert tree(tmp_path / "set") == tree(tmp_path / "fresh")


def test_a_stop_while_a_set_grows_leaves_no_manifest_of_other_reals(loaded, real_manifest, tmp_path, monkeypatch):
    reals = Reals((real_manifest,))
    write_samples(loaded, tmp_path / "set", 2, reals=reals)

    def stop(path, content):
        if path.parent.name == "real":
            raise KeyboardInterrupt
        write_atomic(path, content)

    monkeypatch.setattr("generators.sampling.write_atomic", stop)
    with pytest.raises(KeyboardInterrupt):
        write_samples(loaded, tmp_path / "set", 4, reals=reals)
    assert not (tmp_path / "set" / "manifest.csv").exists()
    monkeypatch.undo()
    write_samples(loaded, tmp_path / "set", 4, reals=reals)
    write_samples(loaded, tmp_path / "fresh", 4, reals=reals)
    assert tree(tmp_path / "set") == tree(tmp_path / "fresh")


def test_overwrite_takes_away_only_what_it_replaces(loaded, tmp_path):
    kept = [tmp_path / name for name in ("fake/000002.png", "fake/000000.jpg", "real/000000.png")]
    for path in [*kept, tmp_path / "fake" / "000001.png"]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    for _ in range(2):
        write_samples(loaded, tmp_path, 2, overwrite=True)
        assert [path.read_bytes() for path in kept] == [b"mine"] * 3
    with pytest.raises(UsageError, match=r"000002\.png is not one of"):
        write_samples(loaded, tmp_path, 3)


def test_every_split_has_a_seed_of_its_own(loaded, tmp_path):
    for split in ("train", "dev", "test"):
        write_samples(loaded, tmp_path / split, 1, split=split)
    assert [read_record(tmp_path / split).seed for split in ("train", "dev", "test")] == [0, 1, 2]
    assert len({(tmp_path / split / "fake" / "000000.png").read_bytes() for split in ("train", "dev", "test")}) == 3


def test_names_that_are_no_text_are_refused(loaded, tmp_path):
    for options in ({"dataset": "\udcff"}, {"reals": Reals((tmp_path / "\udcff",))}):
        with pytest.raises(UsageError, match="UTF-8"):
            write_samples(loaded, tmp_path / "set", 1, **options)
    assert not (tmp_path / "set").exists()


# -- checkpoints that lie


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32])
def test_weights_of_another_kind_of_number_are_refused(model, tmp_path, dtype):
    tensors, meta = read_checkpoint(model)
    name = next(key for key, value in tensors.items() if value.dim() == 4)
    write_checkpoint(tmp_path / "bad.safetensors", {**tensors, name: tensors[name].to(dtype)}, meta)
    with pytest.raises(WeightsError, match="do not fit"):
        load_generator(tmp_path / "bad.safetensors", CPU)


def test_classes_and_views_that_cannot_be_are_refused(tmp_path):
    path = checkpoint(tmp_path / "c.safetensors", "cgan", ("cat", "\ud800"))
    assert load_generator(path, CPU).class_names == ("cat", "\\ud800")
    tensors, meta = read_checkpoint(path)
    write_checkpoint(path, tensors, {**meta, "class_names": ["cat"]})
    with pytest.raises(WeightsError, match="1 names of 2 classes"):
        load_generator(path, CPU)
    write_checkpoint(path, tensors, {**meta, "view": "x"})
    with pytest.raises(WeightsError, match="view"):
        load_generator(path, CPU)


# -- the command


def run(*arguments):
    return CliRunner().invoke(cli, ["generate", *map(str, arguments)], catch_exceptions=True)


def test_the_command_writes_and_says_what_next(model, tmp_path):
    result = run("sample", model, "--output", tmp_path / "set", "--n", 3, "--device", "cpu", "-q")
    assert result.exit_code == 0, result.output
    assert "3 fake, 16 px, split train" in result.stdout
    assert "forensics bench run" in result.stdout
    with (tmp_path / "set" / "manifest.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert cv2.imread(str(tmp_path / "set" / "grid.png")).shape == (16 * 2 + 2, 16 * 2 + 2, 3)


def test_a_run_folder_is_a_model(model, tmp_path):
    best = tmp_path / "run" / "best.safetensors"
    best.parent.mkdir()
    best.write_bytes(model.read_bytes())
    assert run("sample", best.parent, "-o", tmp_path / "set", "--n", 1, "-q").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--class", "cat"), "without classes"),
        (("--reals-split", "dev"), "--reals"),
        (("--format", "jpeg:400"), "picture format"),
        (("--n", "0"), None),
        (("--truncation", "0"), None),
        (("--seed", "-1"), None),
    ],
)
def test_options_that_cannot_be_are_errors(model, tmp_path, arguments, message):
    result = run("sample", model, "-o", tmp_path / "set", "-q", *arguments)
    if message is None:
        assert result.exit_code == 2
    else:
        assert isinstance(result.exception, UsageError) and message in result.exception.message
    assert not (tmp_path / "set").exists()


def test_no_model_of_that_name(tmp_path):
    result = run("sample", tmp_path / "nothing", "-o", tmp_path / "set")
    assert isinstance(result.exception, UsageError) and "no model" in result.exception.message


def test_progress_says_what_was_there(loaded, tmp_path, capsys):
    write_samples(loaded, tmp_path, 2)
    write_samples(loaded, tmp_path, 5, progress=Progress())
    assert "2 of 5 samples are there already" in capsys.readouterr().err


def test_an_export_that_cannot_be_written_is_an_error(model, tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("x")
    for target, word in (("folder.safetensors", "is a folder"), ("file/a.safetensors", "cannot be written")):
        result = run("export", model, "-o", tmp_path / target, "--overwrite")
        assert isinstance(result.exception, UsageError) and word in result.exception.message
