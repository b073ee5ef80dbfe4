"""Learning without pairs: networks and pool of the paper, two sets of pictures, what is learned, and the commands."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from forensics.cli import cli
from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from generators.checkpoint import checkpoint_path, export_generator, read_checkpoint
from generators.data.pictures import pictures_of
from generators.data.request import DataRequest
from generators.layers import InstanceNorm2d
from generators.monitor.log import read_cycle_log
from generators.networks.patchgan import PatchDiscriminator
from generators.translation.cycle_trainer import CycleTrainer
from generators.translation.domains import Domains, endless, judged
from generators.translation.loaded import LoadedTranslator, load_translator
from generators.translation.replay import ReplayPool
from generators.translation.run_record import PairRequest
from generators.translation.sources import load_domains
from generators.translation.tiles import translate
from generators.translation.training import resume, train
from generators.translation_config import TranslationConfig
from generators.translator import configured, translator_named

QUIET = Progress(quiet=True)
CPU = torch.device("cpu")
SMALL = {
    "image_px": 32, "picture_px": 36, "width": 4, "d_width": 4, "blocks": 1, "batch_size": 2, "steps": 8, "replay": 6,
    "save_every": 3, "report_every": 2, "grid_every": 4, "quality_every": 4, "quality_pictures": 4, "device": "cpu",
    "threads": 1,
}  # fmt: skip
# Colours of ground and disc, and what is far enough from both: a pixel is right when it is nearer than this to its own.
DARK, LIGHT = ((20, 20, 20), (200, 40, 40)), ((235, 235, 235), (40, 160, 60))
NEAR = 64


def discs(n, colours, seed, px=36):
    """(n, px, px, 3) pictures of discs, and (n, px, px) where the discs are."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, px, px), np.uint8)
    for mask in masks:
        for _ in range(rng.integers(1, 3)):
            centre = tuple(int(v) for v in rng.integers(px // 6, px - px // 6, 2))
            cv2.circle(mask, centre, int(rng.integers(px // 9, px // 5)), 1, -1)
    pictures = np.array(colours, np.int64)[masks] + rng.integers(-8, 9, (n, 1, 1, 1))  # no two are the same
    return pictures.astype(np.uint8), masks


def write(folder: Path, pictures) -> Path:
    folder.mkdir(parents=True)
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{k:03d}.png"), picture[:, :, ::-1])
    return folder


def run(folder, data, inputs=None, **options):
    translator = translator_named("cyclegan")
    config = configured(translator, "cpu", {**SMALL, **options})
    return train(translator, "cpu", config, DataRequest(data=(data,)), PairRequest(inputs=inputs), folder, QUIET)


def invoke(*arguments):
    return CliRunner().invoke(cli, ["generate", *map(str, arguments)], standalone_mode=False)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "photos", discs(40, DARK, 0)[0])


def test_sizes_of_the_paper():
    def weights_of(network):
        return sum(p.numel() for p in network.parameters())

    make = translator_named("cyclegan").generator
    with torch.device("meta"):
        assert weights_of(make(TranslationConfig(image_px=256, width=64, blocks=9))) == 11_378_179
        assert weights_of(make(TranslationConfig(image_px=128, width=64, blocks=6))) == 7_837_699
        norm = InstanceNorm2d
        assert weights_of(PatchDiscriminator(64, is_conditional=False, norm=norm)) == 2_764_737
    with pytest.raises(UsageError, match="not a multiple of 4"):
        make(TranslationConfig(image_px=30))


def test_the_pool_fills_then_trades_half():
    size, steps, batch = 50, 4000, 2
    pool, rng = ReplayPool(size, (1, 1, 1), CPU), np.random.default_rng(0)
    ages, numbers = [], iter(range(steps * batch))
    for step in range(steps):
        drawn = torch.tensor([float(next(numbers)) for _ in range(batch)]).view(batch, 1, 1, 1)
        shown = pool.exchange(drawn, rng)
        if step * batch < size:
            assert torch.equal(shown, drawn)
        else:
            ages += (drawn - shown).flatten().tolist()
        kept = pool.pictures[: pool.count].flatten().tolist()
        assert len(set(kept)) == pool.count == min(size, (step + 1) * batch)
    ages = np.array(ages)
    assert (ages >= 0).all()  # nothing is shown that was not drawn
    assert (ages > 0).mean() == pytest.approx(0.5, abs=0.03)
    # Each newcomer displaces one of 50 with odds of one half: it leaves after 100 pictures on average.
    assert ages[ages > 0].mean() == pytest.approx(2 * size, rel=0.1)


def test_an_empty_pool_shows_what_comes():
    pool, drawn = ReplayPool(0, (3, 4, 4), CPU), torch.randn(2, 3, 4, 4)
    assert pool.exchange(drawn, np.random.default_rng(0)) is drawn


def test_steps_see_the_same_pictures_and_no_pairs(tmp_path, photos):
    config = configured(translator_named("cyclegan"), "cpu", {**SMALL, "make": "sketch"})
    domains, held_out = load_domains(DataRequest(data=(photos,)), PairRequest(), config, tmp_path / "a", QUIET)
    assert (len(domains.first), len(domains.second), len(held_out)) == (19, 19, 2)
    seen = [{*part.digests} for part in (domains.first, domains.second, held_out.first)]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    with ThreadPoolExecutor(2) as pool:
        steps = endless(domains, config, 0, 0, slice(0, 2), pool)
        third = [next(steps) for _ in range(4)][3]
        again = next(endless(domains, config, 3, 0, slice(0, 2), pool))
        halves = [next(endless(domains, config, 3, 0, slice(k, k + 1), pool)) for k in range(2)]
    assert third.given.shape == third.target.shape == (2, 32, 32, 3)
    for name in ("given", "target"):
        assert (getattr(third, name) == getattr(again, name)).all()
        assert (getattr(third, name) == np.concatenate([getattr(half, name) for half in halves])).all()
    assert (third.target[..., 0] == third.target[..., 2]).all()  # drawings are grey, pictures are not
    assert (third.given[..., 0] != third.given[..., 2]).any()
    truth = judged(held_out, config, [0, 1])
    assert truth.has_truth
    assert (truth.second[..., 0] == truth.second[..., 2]).all()


def test_sets_are_gone_through_in_orders_of_their_own():
    n = 16
    pixels = np.repeat(np.arange(n, dtype=np.uint8), 32 * 32 * 3).reshape(n, 32, 32, 3)
    config = configured(translator_named("cyclegan"), "cpu", {**SMALL, "picture_px": 32, "batch_size": n})
    with ThreadPoolExecutor(1) as pool:
        pairs = next(endless(Domains(pictures_of(pixels), pictures_of(pixels)), config, 0, 0, slice(0, n), pool))
    first, second = pairs.given[:, 0, 0, 0].tolist(), pairs.target[:, 0, 0, 0].tolist()
    assert sorted(first) == sorted(second) == list(range(n))
    assert first != second


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, photos, monkeypatch, precision):
    run(tmp_path / "whole", photos, make="sketch", precision=precision)
    original = CycleTrainer._report

    def die(self, *args):
        if self.step >= 6:
            raise ConnectionAbortedError
        return original(self, *args)

    monkeypatch.setattr(CycleTrainer, "_report", die)
    with pytest.raises(ConnectionAbortedError):
        run(tmp_path / "cut", photos, make="sketch", precision=precision)
    monkeypatch.setattr(CycleTrainer, "_report", original)
    resume(tmp_path / "cut", None, QUIET)
    whole, cut = (read_checkpoint(checkpoint_path(tmp_path / name, 8)) for name in ("whole", "cut"))
    assert whole[0].keys() == cut[0].keys()
    assert {"replay.0", "replay.1"} < whole[0].keys()
    for name, value in whole[0].items():
        assert torch.equal(value, cut[0][name]), name
    assert whole[1]["game"] == cut[1]["game"]
    assert whole[1]["game"]["replayed"] == [6, 6]  # the pools were full, and traded
    logs = [read_cycle_log(tmp_path / name / "log.jsonl") for name in ("whole", "cut")]
    assert [row.loss for row in logs[0][0]] == [row.loss for row in logs[1][0]]
    assert logs[0][1] == logs[1][1]


def test_a_known_mapping_is_found_both_ways(tmp_path):
    """Red discs on black and green discs on white, of which no two are a pair."""
    first = write(tmp_path / "first", discs(60, DARK, 1)[0])
    second = write(tmp_path / "second", discs(60, LIGHT, 2)[0])
    run(
        tmp_path / "run", second, first, width=16, d_width=16, blocks=2, batch_size=4, steps=300, replay=50, threads=0,
        learning_rate_g=1e-3, learning_rate_d=5e-4, save_every=300, report_every=50, grid_every=300, quality_every=300,
    )  # fmt: skip
    last = read_cycle_log(tmp_path / "run" / "log.jsonl")[0][-1]
    assert last.cycle < 0.1  # of a range of 2; it begins at about 0.8
    for given, wanted, is_back in ((DARK, LIGHT, False), (LIGHT, DARK, True)):
        loaded = load_translator(str(tmp_path / "run"), CPU, is_back=is_back)
        pictures, masks = discs(20, given, 3, px=32)
        off = [
            np.abs(translate(loaded, picture).astype(int) - np.array(wanted)[mask]).max(2)
            for picture, mask in zip(pictures, masks, strict=True)
        ]
        assert (np.stack(off) < NEAR).mean() >= 0.9, loaded.what


def test_one_set_twice_is_left_as_it_is(tmp_path):
    """Where both sets are of one kind, what is learned is the identity."""
    first = write(tmp_path / "first", discs(40, DARK, 4)[0])
    second = write(tmp_path / "second", discs(40, DARK, 5)[0])
    run(
        tmp_path / "run", second, first, width=8, d_width=8, blocks=2, batch_size=4, steps=250, replay=50, threads=0,
        learning_rate_g=1e-3, save_every=250, report_every=50, grid_every=250, quality_every=250,
    )  # fmt: skip
    pictures, _ = discs(20, DARK, 6, px=32)
    for is_back in (False, True):
        loaded = load_translator(str(tmp_path / "run"), CPU, is_back=is_back)
        off = [np.abs(translate(loaded, picture).astype(int) - picture) for picture in pictures]
        assert np.mean(off) < 12, loaded.what


@pytest.mark.parametrize(
    ("options", "pairs", "said"),
    [
        ({}, {}, "needs one of --make and --inputs"),
        ({"make": "sketch"}, {"inputs": Path("x")}, "not --inputs and --make"),
        ({"make": "sketch"}, {"halves": "left"}, "--halves means nothing"),
        ({"make": "sketch", "adversarial_weight": 0.0}, {}, "needs --adversarial-weight"),
    ],
)
def test_what_is_asked_for_must_be_said_once(tmp_path, photos, options, pairs, said):
    translator = translator_named("cyclegan")
    config = configured(translator, "cpu", {**SMALL, **options})
    with pytest.raises(UsageError, match=said):
        train(translator, "cpu", config, DataRequest(data=(photos,)), PairRequest(**pairs), tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


def test_options_of_others_are_refused():
    with pytest.raises(UsageError, match="'dropout' means nothing to cyclegan"):
        configured(translator_named("cyclegan"), "cpu", {"dropout": 0.1})
    with pytest.raises(UsageError, match="'replay' means nothing to restore"):
        configured(translator_named("restore"), "cpu", {"task": "denoise", "replay": 10})


def test_commands_there_and_back(tmp_path, photos):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    begun = invoke(
        "train-translator", "cyclegan", "--make", "sketch", "--data", photos, "--output", tmp_path / "run", *options
    )
    assert begun.exit_code == 0, begun.output
    assert "to what is wanted PSNR" in begun.output
    assert "--direction back" in begun.output
    assert (tmp_path / "run" / "grid.png").exists()
    assert (tmp_path / "run" / "curves.png").exists()
    wide = cv2.resize(cv2.imread(str(photos / "000.png")), (101, 47))
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    file = tmp_path / "alone.safetensors"
    export_generator(checkpoint_path(tmp_path / "run", 8), file)
    assert {name.split(".")[0] for name in read_checkpoint(file)[0]} == {"average", "back_average"}
    pictures = {}
    for direction, what in (("there", "cyclegan:sketch"), ("back", "cyclegan:sketch-back")):
        out = tmp_path / direction
        done = invoke(
            "translate",
            tmp_path / "wide.png",
            "--model",
            file,
            "--output",
            out,
            "--direction",
            direction,
            "--tile",
            "64",
        )
        assert done.return_value == 0, done.output
        assert f"1 picture by {what}:" in done.output
        assert what in (out / "manifest.csv").read_text()
        (path,) = (out / "pictures").iterdir()
        pictures[direction] = cv2.imread(str(path))
        assert pictures[direction].shape == (47, 101, 3)
    assert (pictures["there"] != pictures["back"]).any()
    again = invoke("translate", tmp_path / "wide.png", "--model", file, "--output", tmp_path / "there",
                   "--direction", "back")  # fmt: skip
    assert "another recipe (model)" in str(again.exception)


def test_a_way_back_that_there_is_not(tmp_path):
    with pytest.raises(UsageError, match="has no way back"):
        load_translator("restore-denoise", CPU, is_back=True)


@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (64, 64), (131, 77)])
def test_any_size_goes_through(shape):
    translator = translator_named("cyclegan")
    config = configured(translator, "cpu", SMALL)
    torch.manual_seed(0)
    network = translator.generator(config).eval().requires_grad_(False)
    loaded = LoadedTranslator(translator, config, network, "0" * 64, 1, CPU)
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert translate(loaded, picture, 64).shape == picture.shape
    if shape == (64, 64):  # one tile: the network's own pixels
        x = torch.from_numpy(picture[None]).permute(0, 3, 1, 2).float() * (2 / 255) - 1
        with torch.inference_mode():
            whole = ((network(x)[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        assert (translate(loaded, picture, 64) == whole).all()
