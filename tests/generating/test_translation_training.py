"""Training of translators: what is learned, runs that were killed, pairs from folders and halves, and the commands."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from forensics.cli import cli
from forensics.common.errors import ManifestError, UsageError, WeightsError
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from generators.checkpoint import checkpoint_path, read_checkpoint
from generators.data.pictures import pictures_of
from generators.data.request import DataRequest
from generators.monitor.log import read_translation_log
from generators.translation import features
from generators.translation.features import VggFeatures
from generators.translation.loaded import load_translator
from generators.translation.pairs import Source
from generators.translation.run_record import PairRequest
from generators.translation.sources import held_out_rows, load_sources
from generators.translation.trainer import PairedTrainer, likeness_in_words
from generators.translation.training import resume, train
from generators.translator import configured, translator_named

QUIET = Progress(quiet=True)
SMALL = {
    "image_px": 32, "width": 4, "batch_size": 4, "steps": 8, "save_every": 3, "report_every": 2, "grid_every": 4,
    "quality_every": 4, "quality_pictures": 4, "device": "cpu", "threads": 1,
}  # fmt: skip
OF = {
    "restore": {"task": "denoise", "blocks": 1},
    "srgan": {
        "scale": 2,
        "blocks": 1,
        "adversarial_weight": 0.01,
        "perceptual_weight": 0.1,
        "d_width": 8,
        "content_steps": 3,
    },
    "pix2pix": {"make": "edges"},
}


def shapes(n, px=32, seed=0):
    """(n, px, px, 3): a disc on a plain ground, both of saturated colours."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        hues = rng.integers(0, 180, 2)
        ground, disc = (cv2.cvtColor(np.uint8([[[hue, 200, 220]]]), cv2.COLOR_HSV2RGB)[0, 0].tolist() for hue in hues)
        picture = np.full((px, px, 3), ground, np.uint8)
        centre = tuple(int(v) for v in rng.integers(px // 4, 3 * px // 4, 2))
        found.append(cv2.circle(picture, centre, int(rng.integers(px // 6, px // 3)), disc, -1))
    return np.stack(found)


def hue_rotated(pictures, by=60):
    """The same with every hue moved on by a third of the circle."""
    out = []
    for picture in pictures:
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + by) % 180
        out.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    return np.stack(out)


def write(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{k:03d}.png"), picture[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "photos", shapes(40))


def run(folder, photos, name="restore", pairs=None, **options):
    translator = translator_named(name)
    config = configured(translator, "cpu", {**SMALL, **OF[name], **options})
    if translator.name == "restore":
        config = config.model_copy(update={"picture_px": 32})
    request = DataRequest(data=(photos,))
    return train(translator, "cpu", config, request, pairs or PairRequest(), folder, QUIET)


def assert_same(left, right, step):
    a, b = (read_checkpoint(checkpoint_path(folder, step))[0] for folder in (left, right))
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


@pytest.mark.parametrize("name", list(OF))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, photos, monkeypatch, name, precision):
    run(tmp_path / "whole", photos, name, precision=precision)
    original, dies_after = PairedTrainer._report, {"restore": 2, "srgan": 4, "pix2pix": 6}[name]

    def die(self, *args):
        if self.step >= dies_after:
            raise ConnectionAbortedError
        return original(self, *args)

    monkeypatch.setattr(PairedTrainer, "_report", die)
    with pytest.raises(ConnectionAbortedError):
        run(tmp_path / "cut", photos, name, precision=precision)
    monkeypatch.setattr(PairedTrainer, "_report", original)
    resume(tmp_path / "cut", None, QUIET)
    assert_same(tmp_path / "whole", tmp_path / "cut", 8)
    logs = [read_translation_log(tmp_path / folder / "log.jsonl") for folder in ("whole", "cut")]
    for whole, cut in zip(*logs, strict=True):
        assert len(whole) == len(cut) > 0
    assert [row.loss for row in logs[0][0]] == [row.loss for row in logs[1][0]], dies_after
    assert logs[0][1] == logs[1][1]


def test_pix2pix_learns_a_rotation_of_hues(tmp_path):
    pictures = shapes(400, seed=1)
    targets, inputs = write(tmp_path / "targets", hue_rotated(pictures)), write(tmp_path / "inputs", pictures)
    trainer = run(
        tmp_path / "run", targets, "pix2pix", PairRequest(inputs=inputs), make="none", width=16, d_width=8, steps=700,
        batch_size=8, dropout=0.0, adversarial_weight=0.1, learning_rate_g=2e-3, threads=0, save_every=350, report_every=50,
        grid_every=700, quality_every=700, quality_pictures=20,
    )  # fmt: skip
    last = read_translation_log(tmp_path / "run" / "log.jsonl")[1][-1]
    assert trainer.step == 700
    assert last.before_psnr_db < 12  # the inputs are far from it
    assert last.psnr_db >= 25


def test_restoring_is_better_than_the_input(tmp_path, photos):
    run(
        tmp_path / "run", photos, steps=150, width=8, batch_size=8, learning_rate_g=2e-3, save_every=150, grid_every=150,
        quality_every=150, weakest=25, strongest=25, threads=0,
    )  # fmt: skip
    last = read_translation_log(tmp_path / "run" / "log.jsonl")[1][-1]
    assert last.psnr_db > last.before_psnr_db + 3
    assert last.nlm_psnr_db is not None
    assert last.nlm_psnr_db > last.before_psnr_db + 1
    assert f"non-local means {last.nlm_psnr_db:.2f}" in likeness_in_words(last)
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_halves_and_folders_are_the_same_pairs(tmp_path):
    left, right = shapes(12, seed=2), hue_rotated(shapes(12, seed=2))
    both = write(tmp_path / "both", np.concatenate([left, right], 2))
    folders = PairRequest(inputs=write(tmp_path / "in", left))
    config = configured(translator_named("pix2pix"), "cpu", SMALL)
    request = DataRequest(data=(write(tmp_path / "out", right),))
    by_name, _ = load_sources(request, folders, config, tmp_path / "a", QUIET)
    by_half, _ = load_sources(DataRequest(data=(both,)), PairRequest(halves="left"), config, tmp_path / "b", QUIET)
    rows = np.arange(len(by_name))
    assert len(by_name) == len(by_half) == 12  # twenty are needed to hold one out
    for a, b in ((by_name.inputs, by_half.inputs), (by_name.targets, by_half.targets)):
        assert (a.batch(rows) == b.batch(rows)).all()
    for k in (1, 5):
        (tmp_path / "in" / f"{k:03d}.png").unlink()
    assert len(load_sources(request, folders, config, tmp_path / "c", QUIET)[0]) == 10
    stranger = write(tmp_path / "strangers", left[:1])
    (stranger / "000.png").rename(stranger / "other.png")
    with pytest.raises(ManifestError, match="has the name of one"):
        load_sources(request, PairRequest(inputs=stranger), config, tmp_path / "d", QUIET)


def test_held_out_pictures_are_of_dev_or_not_trained_on(tmp_path, photos):
    config = configured(translator_named("restore"), "cpu", {**SMALL, **OF["restore"], "picture_px": 32})
    source, held_out = load_sources(DataRequest(data=(photos,)), PairRequest(), config, tmp_path / "a", QUIET)
    assert (len(source), len(held_out)) == (38, 2)
    assert not set(source.targets.digests) & set(held_out.targets.digests)
    manifest = photos.parent / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for k in range(40):
            writer.writerow([f"photos/{k:03d}.png", 0, ("train", "train", "dev", "test")[k % 4]])
    try:
        of_splits = load_sources(DataRequest(data=(manifest,)), PairRequest(), config, tmp_path / "b", QUIET)
    finally:
        manifest.unlink()
    assert (len(of_splits[0]), len(of_splits[1])) == (20, 4)  # all of train; quality_pictures of dev
    assert all(int(item.path.stem) % 4 == 2 for item in of_splits[1].targets.items)
    assert all(int(item.path.stem) % 4 < 2 for item in of_splits[0].targets.items)


def test_people_are_held_out_whole():
    items = [Item(Path(f"{k}.png"), 0, identity=f"person {k // 3}") for k in range(120)]
    pixels = np.random.default_rng(0).integers(0, 256, (120, 16, 16, 3), np.uint8)
    is_out = held_out_rows(Source(pictures_of(pixels, items)))
    assert is_out.sum() == 6
    assert {item.identity for item, out in zip(items, is_out, strict=True) if out} == {"person 19", "person 39"}
    assert np.flatnonzero(held_out_rows(Source(pictures_of(pixels)))).tolist() == [19, 39, 59, 79, 99, 119]


@pytest.mark.parametrize(
    ("name", "options", "pairs", "said"),
    [
        ("restore", {"task": "none"}, {}, "needs --task"),
        ("srgan", {"scale": 1}, {}, "needs --scale"),
        ("pix2pix", {"make": "none"}, {}, "needs one of"),
        ("pix2pix", {"make": "gray"}, {"halves": "left"}, "not --halves and --make"),
        ("restore", {}, {"halves": "left"}, "--halves means nothing"),
        ("restore", {}, {"vgg_weights": Path("x.pth")}, "has no effect"),
    ],
)
def test_what_is_asked_for_must_be_said_once(tmp_path, photos, name, options, pairs, said):
    with pytest.raises(UsageError, match=said):
        run(tmp_path / "run", photos, name, PairRequest(**pairs), **options)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_only_as_it_was_begun(tmp_path, photos):
    run(tmp_path / "run", photos)
    with pytest.raises(UsageError, match="'width': the run was begun with 4"):
        run(tmp_path / "run", photos, width=8)
    with pytest.raises(UsageError, match="is of restore, not of srgan"):
        run(tmp_path / "run", photos, "srgan")
    with pytest.raises(UsageError, match="likeness in the features"):
        run(tmp_path / "x2", photos, "srgan")
        record = json.loads((tmp_path / "x2" / "run.json").read_text())
        (tmp_path / "x2" / "run.json").write_text(json.dumps({**record, "perceptual": "vgg19.conv5_4 (0)"}))
        resume(tmp_path / "x2", None, QUIET)
    with pytest.raises(UsageError, match="other pictures"):
        run(tmp_path / "run", write(tmp_path / "others", shapes(25, seed=9)))


def test_vgg_weights_are_checked(tmp_path):
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not a file of torch")
    with pytest.raises(WeightsError, match="is not VGG19's"):
        VggFeatures(bad)


def test_vgg_weights_are_read_and_compared_by(tmp_path, photos, monkeypatch):
    torch.manual_seed(0)
    narrow = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU())
    monkeypatch.setattr(features, "vgg19", lambda weights: SimpleNamespace(features=narrow))
    file = tmp_path / "vgg.pth"
    torch.save({f"features.{name}": value + 1 for name, value in narrow.state_dict().items()}, file)
    first = next(narrow.parameters()).clone()
    extractor = VggFeatures(file)
    assert torch.equal(next(extractor.layers.parameters()), first + 1)
    assert extractor(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 6, 6)
    run(tmp_path / "run", photos, "srgan", PairRequest(vgg_weights=file), content_steps=0)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["perceptual"].startswith("vgg19.conv5_4 (")
    assert record["pairs"]["vgg_weights"] == str(file)
    rows = read_translation_log(tmp_path / "run" / "log.jsonl")[0]
    assert all(row.perceptual > 0 for row in rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("runs") / "denoise"
    run(folder, photos)
    return folder


def invoke(*arguments):
    return CliRunner().invoke(cli, ["generate", *map(str, arguments)], standalone_mode=False)


def test_translate_writes_labelled_pictures_and_goes_on(tmp_path, photos, trained):
    few = tmp_path / "few"
    few.mkdir()
    for k in range(3):
        (few / f"{k}.png").write_bytes((photos / f"{k:03d}.png").read_bytes())
    (few / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    first = invoke("translate", few, "--model", trained, "--output", tmp_path / "out")
    assert first.return_value == 3
    assert "broken.jpg: left out" in first.output
    rows = list(csv.DictReader((tmp_path / "out" / "manifest.csv").open()))
    assert [row["label"] for row in rows] == ["1"] * 3
    assert {row["generator"] for row in rows} == {"restore:denoise"}
    assert [row["made_of"] for row in rows] == ["0.png", "1.png", "2.png"]
    assert b"TrainedAlgorithmicMedia" in (tmp_path / "out" / rows[0]["path"]).read_bytes()
    before = (tmp_path / "out" / rows[0]["path"]).stat().st_mtime_ns
    (tmp_path / "out" / rows[1]["path"]).unlink()
    (few / "broken.jpg").unlink()
    again = invoke("translate", few, "--model", trained, "--output", tmp_path / "out")
    assert again.return_value == 0
    assert "2 of them there already" in again.output
    assert (tmp_path / "out" / rows[0]["path"]).stat().st_mtime_ns == before
    more = invoke("translate", photos / "009.png", "--model", trained, "--output", tmp_path / "out")
    assert more.return_value == 0
    rows = list(csv.DictReader((tmp_path / "out" / "manifest.csv").open()))
    assert [row["made_of"] for row in rows] == ["0.png", "1.png", "2.png", "009.png"]
    (few / "0.png").write_bytes((photos / "011.png").read_bytes())  # another picture under the same name
    changed = invoke("translate", few, "--model", trained, "--output", tmp_path / "out")
    assert "2 of them there already" in changed.output
    other = invoke("translate", few, "--model", trained, "--output", tmp_path / "out", "--format", "jpeg:80")
    assert "another recipe (picture_format)" in str(other.exception)
    foreign = invoke("translate", few, "--model", trained, "--output", photos)
    assert "no translation wrote" in str(foreign.exception)


def test_what_a_manifest_says_is_kept(tmp_path, photos, trained):
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "label", "split"], [photos / "000.png", 1, "test"], [photos / "001.png", 0, "dev"]]
        )
    done = invoke("translate", tmp_path / "manifest.csv", photos / "000.png", "--split", "test", "--model", trained,
                  "--output", tmp_path / "out")  # fmt: skip
    assert done.return_value == 0
    (row,) = csv.DictReader((tmp_path / "out" / "manifest.csv").open())
    assert (row["split"], row["made_of_label"], row["label"]) == ("test", "1", "1")
    described = invoke("translate", tmp_path, "--model", trained, "--output", tmp_path / "other")
    assert described.return_value == 0  # the manifest of the folder
    (tmp_path / "above").mkdir()
    (tmp_path / "manifest.csv").rename(tmp_path / "above" / "manifest.csv")
    refused = invoke("translate", tmp_path, "--model", trained, "--output", tmp_path / "more")
    assert "lies in it" in str(refused.exception)


def test_translate_says_what_it_cannot(tmp_path, trained):
    found = invoke("translate", "nowhere.jpg", "--model", trained, "--output", tmp_path / "out")
    assert "does not exist" in str(found.exception)
    for model in ("dcgan", tmp_path / "none"):
        found = invoke("translate", Path(__file__), "--model", model, "--output", tmp_path / "out")
        assert isinstance(found.exception, UsageError | WeightsError)


def test_commands_from_nothing_to_a_longer_run(tmp_path, photos):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, **OF["srgan"]}.items()]
    begun = invoke("train-translator", "srgan", "--data", photos, "--output", tmp_path / "run", *options)
    assert begun.exit_code == 0, begun.output
    assert "srgan: 8 steps on 38 pictures" in begun.output
    longer = invoke("resume", tmp_path / "run", "--steps", 10)
    assert "srgan: 10 steps" in longer.output
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["perceptual"] == "discriminator"
    loaded = load_translator(str(tmp_path / "run"), torch.device("cpu"))
    assert (loaded.step, loaded.what) == (10, "srgan:x2")


def test_a_checkpoint_that_lies_is_refused(tmp_path, trained):
    from generators.checkpoint import write_checkpoint

    tensors, meta = read_checkpoint(trained / "best.safetensors")
    lying = tmp_path / "lying.safetensors"
    write_checkpoint(lying, tensors, {**meta, "config": {**meta["config"], "width": 8}})
    with pytest.raises(WeightsError, match="do not fit"):
        load_translator(str(lying), torch.device("cpu"))
    write_checkpoint(lying, tensors, {**meta, "system": "dcgan"})
    with pytest.raises(WeightsError, match="not a translator's"):
        load_translator(str(lying), torch.device("cpu"))
    write_checkpoint(lying, tensors, {**meta, "system": []})
    with pytest.raises(WeightsError, match="not a translator's"):
        load_translator(str(lying), torch.device("cpu"))
