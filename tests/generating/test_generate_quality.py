"""`forensics generate quality`: copies are found, floors are given, and every figure names what it is of."""

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from forensics.cli import cli
from forensics.common.errors import ForensicsError, ManifestError, UsageError
from forensics.common.manifest import Item, write_manifest
from forensics.common.progress import Progress
from generators.checkpoint import write_checkpoint
from generators.measure import measure
from generators.quality.neighbours import memorisation, mirrored, most_suspicious, nearest
from generators.quality_config import QualityConfig
from generators.system import configured, system_named

PX = 16
QUIET = Progress(quiet=True)


def blobs(n, seed, level=128):
    """Soft discs at random places on one grey level: layout that 16 x 16 pixels show."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:PX, :PX]
    found = []
    for _ in range(n):
        (cy, cx), radius = rng.uniform(3, PX - 3, 2), rng.uniform(2, 5)
        disc = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * radius**2))[:, :, None] * rng.uniform(-90, 90, 3)
        found.append(np.clip(level + disc + rng.normal(0, 2, (PX, PX, 3)), 0, 255).astype(np.uint8))
    return np.stack(found)


def write_set(folder, sets):
    """A manifest of (label, split, pictures)."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number, (label, split, pictures) in enumerate(sets):
        for k, picture in enumerate(pictures):
            path = folder / f"{number}-{k:03d}.png"
            cv2.imwrite(str(path), picture[:, :, ::-1])
            items.append(Item(path=path, label=label, split=split, generator="drawn" if label else ""))
    write_manifest(folder / "manifest.csv", items)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def train():
    return blobs(80, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory, train):
    sets = [(0, "train", train), (0, "dev", blobs(60, 2)), (0, "test", blobs(50, 3))]
    return write_set(tmp_path_factory.mktemp("data"), sets)


def config(data, **values):
    return QualityConfig.model_validate({"extractor": "pixels", "device": "cpu", "data": (str(data),), **values})


def samples(folder, pictures):
    return str(write_set(folder, [(1, "test", pictures)]))


# -- neighbours


def test_nearest_is_exact_and_stable():
    base = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [0.0, 1.0]])
    found = nearest(np.array([[0.0, 0.0], [3.0, 3.0]]), base, 3)
    assert found.indices.tolist() == [[0, 2, 3], [1, 2, 3]]
    assert found.distances == pytest.approx(np.array([[0, 1, 1], [1, 13**0.5, 13**0.5]]))
    assert nearest(base[:1], base[:2], 5).indices.shape == (1, 2)
    rng = np.random.default_rng(0)
    queries, base = rng.normal(size=(600, 7)), rng.normal(size=(90, 7))
    full = np.linalg.norm(queries[:, None] - base[None], axis=2)
    assert np.array_equal(nearest(queries, base, 1).indices[:, 0], full.argmin(1))


def test_copies_are_at_distance_zero():
    base = 1000.0 + np.random.default_rng(0).normal(size=(50, 30))  # where |a|^2 - 2ab + |b|^2 cancels
    assert nearest(base, base, 1).distances.max() == 0.0


def test_memorisation_of_copies_of_strangers_and_of_the_same():
    rng = np.random.default_rng(0)
    base, held_out = rng.normal(size=(300, 8)), nearest(rng.normal(size=(400, 8)), base_of(0))
    copies = nearest(base + rng.normal(0, 1e-3, base.shape), base)
    found = memorisation(copies, nearest(rng.normal(size=(400, 8)), base))
    assert found.near_share == 1.0 > found.expected.high
    assert found.nearer == pytest.approx(1.0, abs=1e-3)
    fresh = memorisation(nearest(rng.normal(size=(400, 8)), base_of(0)), held_out)
    assert fresh.expected.low <= fresh.near_share <= fresh.expected.high
    assert fresh.expected.value == pytest.approx(4 / 401)  # the 4th smallest of 400
    assert fresh.nearer == pytest.approx(0.5, abs=0.07)
    far = memorisation(nearest(rng.normal(3, 1, (200, 8)), base_of(0)), held_out)
    assert far.near_share == 0.0
    assert far.nearer < 0.05
    assert most_suspicious(copies, 3).tolist() == np.argsort(copies.distances[:, 0])[:3].tolist()


def test_range_without_copies_holds_at_few_reals():
    # The second smallest of 110 distances: 0.018 are expected below it, and 0.05 are nothing unusual.
    inside = []
    for seed in range(200):
        rng = np.random.default_rng([seed, 2])
        base = rng.normal(size=(40, 3))
        found = memorisation(nearest(rng.normal(size=(150, 3)), base), nearest(rng.normal(size=(110, 3)), base))
        assert found.expected.value == pytest.approx(2 / 111)
        inside.append(found.near_share <= found.expected.high)
    assert np.mean(inside) >= 0.95
    assert found.expected.high > 0.04


def base_of(seed):
    return np.random.default_rng([seed, 1]).normal(size=(300, 8))


def test_exact_copies_count_where_reals_repeat_training_pictures():
    # The nearest hundredth of the reals is at distance 0 too: samples at 0 are within it, not outside.
    base = np.arange(10.0)[:, None]
    found = memorisation(nearest(base, base), nearest(base, base))
    assert found.threshold == 0.0
    assert found.near_share == 1.0
    assert found.nearer == 0.5


# -- the measurement


def test_good_samples_are_near_the_floor_and_bad_ones_are_not(tmp_path, data):
    good = measure(samples(tmp_path / "good", blobs(60, 9)), config(data), QUIET)
    bad = measure(samples(tmp_path / "bad", blobs(60, 9, level=60)), config(data), QUIET)
    assert good.kid.low <= good.floor_kid.high
    assert bad.kid.low > max(good.kid.high, bad.floor_kid.high)
    assert bad.fid.low > good.fid.high
    assert max(bad.precision.value, bad.recall.value) < 0.1
    assert min(good.precision.value, good.recall.value) > 0.6
    (copies,) = good.memorisation  # the extractor is pixels already
    assert copies.space == "pixels at 32 px"
    assert copies.near_share <= copies.expected_share_high
    assert (good.real.n, good.train.n, good.fake.n) == (60, 80, 60)
    assert good.fake.system == "drawn"
    assert any("biased" in note for note in good.notes)


def test_copies_are_found_and_shown(tmp_path, data, train):
    pictures = np.concatenate([train[:30], blobs(30, 9)])
    found = measure(samples(tmp_path / "fakes", pictures), config(data, output=tmp_path / "q"), QUIET)
    assert found.memorisation[0].near_share == pytest.approx(0.5, abs=0.06)
    assert found.memorisation[0].expected_share_high < 0.2
    sheet = cv2.imread(str(tmp_path / "q" / "neighbours.png"))[:, :, ::-1]
    assert sheet.shape == (16 * PX + 15 * 2, 4 * PX + 3 * 2, 3)
    # Each row begins with a copy and the picture it is of.
    for row in range(16):
        top = row * (PX + 2)
        assert np.array_equal(sheet[top : top + PX, :PX], sheet[top : top + PX, PX + 2 : 2 * PX + 2])


def test_mirrored_copies_are_found_in_pixels(tmp_path, data, train):
    pictures = np.concatenate([train[:30, :, ::-1], blobs(30, 9)])
    found = measure(samples(tmp_path / "fakes", pictures), config(data), QUIET)
    assert found.memorisation[0].near_share == pytest.approx(0.5, abs=0.06)
    assert found.memorisation[0].expected_share_high < 0.2


def test_nearest_takes_the_smaller_of_a_picture_and_its_mirror_image():
    rng = np.random.default_rng(0)
    base, queries = rng.random((20, 3 * 4 * 4)), rng.random((9, 3 * 4 * 4))
    flipped = np.stack([row.reshape(4, 4, 3)[:, ::-1].ravel() for row in base])
    assert np.array_equal(mirrored(base, 4), flipped)
    full = np.minimum(*(np.linalg.norm(queries[:, None] - rows[None], axis=2) for rows in (base, flipped)))
    found = nearest(queries, base, 3, flipped)
    assert np.array_equal(found.indices, full.argsort(axis=1)[:, :3])
    assert np.allclose(found.distances, np.sort(full, axis=1)[:, :3])
    # Those of one set and of the set mirrored, and a symmetric picture is not its own neighbour twice.
    assert np.array_equal(nearest(flipped[:5], base, 1, flipped).indices[:, 0], np.arange(5))
    assert all(len(set(row)) == 3 for row in found.indices.tolist())


def test_too_few_training_pictures_for_a_floor_are_said(tmp_path, data, train):
    other = write_set(tmp_path / "other", [(0, "train", train[:7])])
    found = measure(samples(tmp_path / "f", blobs(40, 9)), config(data, train_data=(str(other),)), QUIET)
    assert (found.train.n, found.floor_kid, found.floor_fid) == (7, None, None)
    assert "no floor: training pictures 7, needed 8" in found.notes
    assert len(found.memorisation) == 1


def test_same_command_same_bytes_from_cache_too(tmp_path, data):
    fakes = samples(tmp_path / "fakes", blobs(40, 9))
    measure(fakes, config(data, output=tmp_path / "a"), QUIET)
    first = (tmp_path / "a" / "results.json").read_bytes()
    measure(fakes, config(data, output=tmp_path / "a"), QUIET)
    measure(fakes, config(data, output=tmp_path / "b"), QUIET)
    assert first == (tmp_path / "a" / "results.json").read_bytes() == (tmp_path / "b" / "results.json").read_bytes()


def test_split_decides_the_reals(tmp_path, data):
    fakes = samples(tmp_path / "fakes", blobs(40, 9))
    found = measure(fakes, config(data, split="test"), QUIET)
    assert (found.real.split, found.real.n, found.train.n) == ("test", 50, 80)
    on_train = measure(fakes, config(data, split="train"), QUIET)
    assert on_train.train is None
    assert on_train.floor_kid is None
    assert on_train.memorisation == ()
    assert any("no floor" in note for note in on_train.notes)


def test_reals_that_were_trained_on_are_said(tmp_path, data, train):
    mixed = write_set(tmp_path / "mixed", [(0, "train", train), (0, "dev", np.concatenate([train[:20], blobs(40, 5)]))])
    found = measure(samples(tmp_path / "fakes", blobs(40, 9)), config(mixed), QUIET)
    assert found.real.seen_in_training == 20
    assert any("20 of the 60 reals are training pictures" in note for note in found.notes)


def test_a_manifest_without_splits_gives_no_floor(tmp_path, capsys):
    plain = write_set(tmp_path / "plain", [(0, "", blobs(60, 2))])
    found = measure(samples(tmp_path / "fakes", blobs(40, 9)), config(plain), Progress())
    assert found.train is None
    assert found.floor_kid is None
    assert "the reals are the training pictures" in capsys.readouterr().err


def test_train_data_as_given(tmp_path, data, train):
    other = write_set(tmp_path / "other", [(0, "train", blobs(30, 8))])
    found = measure(samples(tmp_path / "f", train[:40]), config(data, train_data=(str(other),)), QUIET)
    assert found.train.n == 30
    assert found.floor_fid is None  # 30 against 40: a FID of another number of pictures is another figure
    assert found.floor_kid.n_fake == 30
    assert found.memorisation[0].near_share < 0.2
    some = measure(samples(tmp_path / "f", train[:40]), config(data, reals=50), QUIET)
    assert some.train.n == 50
    assert any("among 50 training pictures drawn" in note for note in some.notes)
    with pytest.raises(ManifestError):
        measure(samples(tmp_path / "f", train[:40]), config(data, train_data=(str(tmp_path / "none.csv"),)), QUIET)


# -- models


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    system = system_named("dcgan")
    options = configured(system, "cpu", {"image_px": PX, "width": 4, "latent": 8})
    torch.manual_seed(0)
    weights = {f"average.{k}": 8 * v if v.dim() == 4 else v for k, v in system.generator(options).state_dict().items()}
    run = tmp_path_factory.mktemp("run")
    meta = {"system": "dcgan", "config": options.model_dump(mode="json"), "step": 7, "class_names": [], "view": "scene"}
    write_checkpoint(run / "best.safetensors", weights, meta)
    return run


def test_a_run_and_its_checkpoint_are_the_same_model(model, data):
    by_run = measure(str(model), config(data, samples=40), QUIET)
    by_file = measure(str(model / "best.safetensors"), config(data, samples=40), QUIET)
    assert by_run.kid == by_file.kid
    assert by_run.fake.kind == "model"
    assert (by_run.fake.system, by_run.fake.step, by_run.fake.seed, by_run.fake.n) == ("dcgan", 7, 0, 40)
    assert len(by_run.fake.checkpoint) == 64
    assert by_run.kid.low > max(0, by_run.floor_kid.value)
    assert measure(str(model), config(data, samples=40, seed=1), QUIET).kid != by_run.kid


def test_samples_on_disk_measure_like_the_model_that_drew_them(tmp_path, model, data):
    from generators.checkpoint import load_generator
    from generators.sampling import write_samples

    loaded = load_generator(model / "best.safetensors", torch.device("cpu"))
    manifest = write_samples(loaded, tmp_path / "set", 40, 0)
    for given in (manifest, manifest.parent):
        on_disk = measure(str(given), config(data), QUIET)
        assert on_disk.kid == measure(str(model), config(data, samples=40), QUIET).kid
        assert on_disk.fake.checkpoint == loaded.sha256


# -- the command


def test_command_prints_a_table_and_json(tmp_path, data):
    fakes = samples(tmp_path / "fakes", blobs(40, 9))
    arguments = ["generate", "quality", fakes, "--data", str(data), "--extractor", "pixels", "-q"]
    table = CliRunner().invoke(cli, [*arguments, "--output", str(tmp_path / "q")], catch_exceptions=False)
    assert table.exit_code == 0
    for word in ("kid[pixels]", "fid[pixels]", "precision[pixels]", "recall[pixels]", "floor", "near copies", "note:"):
        assert word in table.stdout
    shown = CliRunner().invoke(cli, [*arguments, "--format", "json"], catch_exceptions=False)
    found = json.loads(shown.stdout)
    assert found == json.loads((tmp_path / "q" / "results.json").read_text())
    assert found["extractor"]["name"] == "pixels"
    assert len(found["extractor"]["sha256"]) == 64
    assert found["versions"]["torch-fidelity"]


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("nothing-here", {}, "no model 'nothing-here'"),
        ("fakes", {"extractor": "inception"}, "needs --inception-weights"),
        ("fakes", {"samples": 8, "reals": 8, "split": "dev", "output": "taken"}, "not of a measurement"),
        ("empty", {}, "no picture"),
    ],
)
def test_what_cannot_be_measured_is_an_error_with_a_hint(tmp_path, data, what, options, message):
    samples(tmp_path / "fakes", blobs(10, 9))
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("keep")
    if "output" in options:
        options = {**options, "output": tmp_path / options["output"]}
    spec = str(tmp_path / what) if (tmp_path / what).exists() else what
    with pytest.raises(ForensicsError, match=message) as raised:
        measure(spec, config(data, **options), QUIET)
    assert raised.value.hint
    assert (tmp_path / "taken" / "mine.txt").read_text() == "keep"


def test_samples_that_cannot_be_read(tmp_path, data):
    folder = tmp_path / "fakes"
    manifest = write_set(folder, [(1, "test", blobs(12, 9))])
    (folder / "0-000.png").write_bytes(b"not a picture")
    assert measure(str(manifest), config(data), QUIET).fake.n == 11
    for path in folder.glob("*.png"):
        path.write_bytes(b"not a picture")
    with pytest.raises(ManifestError, match="no sample"):
        measure(str(manifest), config(data), QUIET)


def test_reals_must_be_given(tmp_path):
    fakes = samples(tmp_path / "fakes", blobs(10, 9))
    with pytest.raises(UsageError, match="--data is missing") as raised:
        measure(fakes, QualityConfig(device="cpu"), QUIET)
    assert raised.value.hint


def test_too_few_samples(tmp_path, data):
    with pytest.raises(UsageError, match="too few"):
        measure(samples(tmp_path / "fakes", blobs(5, 9)), config(data), QUIET)


def test_a_run_knows_what_it_was_trained_on(tmp_path, model, data, train):
    import shutil

    from generators.data.request import DataRequest
    from generators.run_folder import DataRecord, RunRecord, write_run

    run = tmp_path / "run"
    shutil.copytree(model, run)
    own = write_set(tmp_path / "own", [(0, "train", train[:30])])
    record = RunRecord(
        system="dcgan",
        preset="cpu",
        config=configured(system_named("dcgan"), "cpu", {}),
        precision="float32",
        processes=1,
        device="cpu",
        request=DataRequest(data=(own,), class_by="folder"),
        data=DataRecord(name="own", pictures=30, sha256="", class_names=(), view="scene", missed={}),
        versions={},
    )
    write_run(run, record)
    found = measure(str(run), config(data, samples=30), QUIET)
    assert (found.train.n, found.train.data) == (30, (str(own),))
    shutil.rmtree(own.parent)
    assert measure(str(run), config(data, samples=30), QUIET).train is None
