"""The trainer: a run that was killed equals one that was not, rollbacks, resumption, errors that name the field."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from forensics.cli import cli
from forensics.common.errors import UsageError, WeightsError
from forensics.common.progress import Progress
from generators.checkpoint import (
    BEST,
    checkpoint_path,
    checkpoints_of,
    export_generator,
    find_model,
    load_generator,
    read_checkpoint,
    read_meta,
)
from generators.data.request import DataRequest
from generators.monitor.log import read_log
from generators.run_folder import read_run
from generators.system import SYSTEMS, configured, system_named
from generators.trainer import Trainer
from generators.training import resume, train

QUIET = Progress(quiet=True)
SMALL = {
    "image_px": 16, "width": 4, "latent": 8, "batch_size": 8, "steps": 12, "save_every": 4, "report_every": 2,
    "grid_every": 6, "quality_every": 6, "quality_samples": 50, "samples": 4, "device": "cpu", "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 drawn pictures in two folders: discs on the left, squares on the right."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for kind in ("disc", "square"):
        (folder / kind).mkdir()
        for i in range(30):
            picture = np.full((24, 24, 3), rng.integers(0, 120, 3), np.uint8)
            colour = [int(c) for c in rng.integers(130, 255, 3)]
            if kind == "disc":
                cv2.circle(picture, (8, int(rng.integers(8, 16))), 5, colour, -1)
            else:
                y = int(rng.integers(4, 10))
                cv2.rectangle(picture, (12, y), (20, y + 8), colour, -1)
            cv2.imwrite(str(folder / kind / f"{i:02d}.png"), picture)
    return folder


@pytest.fixture(autouse=True)
def plain_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """KID of pixels: fast, and without weights."""
    from generators import training
    from generators.quality.extractors import extractor_named

    monkeypatch.setattr(
        training, "extractor_named", lambda _name, file, device: extractor_named("pixels", file, device)
    )


def run(folder: Path, photos: Path, system: str = "dcgan", request: dict[str, object] | None = None, **options: object):
    known = system_named(system)
    values = {name: value for name, value in {**SMALL, **options}.items() if name not in known.ignores}
    config = configured(known, "cpu", values)
    return train(known, "cpu", config, DataRequest(data=(photos,), **(request or {})), folder, QUIET)


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return read_checkpoint(checkpoint_path(folder, step))[0]


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    options = {"precision": precision, "r1_gamma": 1.0, "r1_every": 3, "d_steps": 2, "spectral_norm": True}
    run(tmp_path / "whole", photos, **options)
    original = Trainer._report
    dies_after = int(np.random.default_rng().integers(1, SMALL["steps"]))  # whichever step it is, the end is the same

    def die(self: Trainer, *args: object) -> object:
        if self.step >= dies_after:
            raise ConnectionAbortedError
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_report", die)
    with pytest.raises(ConnectionAbortedError):
        run(tmp_path / "cut", photos, **options)
    monkeypatch.setattr(Trainer, "_report", original)
    run(tmp_path / "cut", photos, **options)
    assert_same(weights(tmp_path / "whole", 12), weights(tmp_path / "cut", 12))
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("whole", "cut")]
    assert [r.model_copy(update={"steps_per_s": 0.0}) for r in logs[0][0]] == [
        r.model_copy(update={"steps_per_s": 0.0}) for r in logs[1][0]
    ], dies_after
    assert logs[0][1] == logs[1][1]
    assert (tmp_path / "whole" / BEST).read_bytes() == (tmp_path / "cut" / BEST).read_bytes()


def test_two_runs_with_one_seed_are_the_same_and_another_seed_is_not(tmp_path: Path, photos: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(tmp_path / name, photos, seed=seed)
    a, b, c = (weights(tmp_path / name, 12) for name in "abc")
    assert_same(a, b)
    assert (tmp_path / "a/grid.png").read_bytes() == (tmp_path / "b/grid.png").read_bytes()
    assert not torch.equal(a["generator.layers.0.weight"], c["generator.layers.0.weight"])


def test_longer_run_is_the_same_as_one_that_was_long_from_the_start(tmp_path: Path, photos: Path) -> None:
    run(tmp_path / "long", photos, steps=12)
    run(tmp_path / "short", photos, steps=8)
    outcome = resume(tmp_path / "short", 12, QUIET)
    assert outcome.step == 12
    assert_same(weights(tmp_path / "long", 12), weights(tmp_path / "short", 12))


def test_a_finished_run_says_that_nothing_is_left(tmp_path: Path, photos: Path) -> None:
    said: list[str] = []

    class Said(Progress):
        def say(self, line: str) -> None:
            said.append(line)

    run(tmp_path, photos)
    before = weights(tmp_path, 12)
    assert resume(tmp_path, None, Said()).step == 12
    assert "nothing left to train: step 12 of 12" in said
    assert_same(before, weights(tmp_path, 12))


def test_newest_two_checkpoints_and_the_best_are_kept(tmp_path: Path, photos: Path) -> None:
    outcome = run(tmp_path, photos)
    assert [path.name for path in checkpoints_of(tmp_path)] == [
        "step-00000008.safetensors",
        "step-00000012.safetensors",
    ]
    _, qualities = read_log(tmp_path / "log.jsonl")
    assert [row.step for row in qualities] == [0, 6, 12]
    assert outcome.best is not None
    assert outcome.best.kid == min(row.kid for row in qualities[1:])  # the untrained generator is no candidate
    assert read_meta(tmp_path / BEST)["step"] == outcome.best.step
    assert {"run.json", "log.jsonl", "curves.png", "grid.png", "grids", "checkpoints", "cache", BEST} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_losses_that_are_no_numbers_roll_back(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generators.game import Game

    original, poisoned = Game.step, []

    def step(self: Game, reals: object, number: int, rollbacks: int, measured: bool) -> None:
        original(self, reals, number, rollbacks, measured)
        if number == 9 and rollbacks == 0:
            poisoned.append(number)
            next(self.generator.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(Game, "step", step)
    outcome = run(tmp_path, photos)
    assert poisoned == [9]
    assert outcome.step == 12
    assert read_meta(checkpoint_path(tmp_path, 12))["rollbacks"] == 1
    assert all(torch.isfinite(value).all() for value in weights(tmp_path, 12).values() if value.is_floating_point())
    assert [row.step for row in read_log(tmp_path / "log.jsonl")[0]] == [2, 4, 6, 8, 10, 12]


def test_losses_that_never_are_numbers_are_an_error(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from generators.game import Game

    monkeypatch.setattr(Game, "is_finite", lambda self: False)
    with pytest.raises(UsageError, match="not finite at step 2, after 3 returns") as caught:
        run(tmp_path, photos)
    assert "--learning-rate" in caught.value.hint


def test_samples_that_collapsed_roll_back(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generators import trainer
    from generators.monitor.health import Health, State

    original = trainer.assess

    def assess(rows: list[object]) -> Health:
        is_first = rows[-1].step == 10 and not seen  # type: ignore[attr-defined]
        seen.extend([1] if is_first else [])
        return Health(State.COLLAPSED, "collapsed") if is_first else original(rows)  # type: ignore[arg-type]

    seen: list[int] = []
    monkeypatch.setattr(trainer, "assess", assess)
    assert run(tmp_path, photos).step == 12
    assert read_meta(checkpoint_path(tmp_path, 12))["rollbacks"] == 1


def test_ctrl_c_saves_the_step_and_resume_goes_on(tmp_path: Path, photos: Path) -> None:
    run(tmp_path / "whole", photos, steps=120, quality_every=0, save_every=1000, precision="float32")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-c", "from forensics.cli import main; main()", "generate"]
    asked = ["train", "dcgan", "--data", str(photos), "--output", str(tmp_path / "cut"), *options]
    asked += ["--steps=120", "--quality-every=0", "--save-every=1000", "--precision=float32", "--samples=0"]
    process = subprocess.Popen([*command, *asked], stderr=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stderr is not None
    log = tmp_path / "cut" / "log.jsonl"
    while process.poll() is None and (not log.exists() or log.stat().st_size < 200):
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 130:  # else it was done before the signal came
        stopped = int(read_meta(checkpoints_of(tmp_path / "cut")[-1])["step"])
        assert 0 < stopped < 120
        assert "goes on from there" in errors
    resume(tmp_path / "cut", None, QUIET)
    assert_same(weights(tmp_path / "whole", 120), weights(tmp_path / "cut", 120))


def test_options_that_would_change_the_run_are_refused_by_name(tmp_path: Path, photos: Path) -> None:
    run(tmp_path, photos)
    with pytest.raises(UsageError, match="option 'batch_size': the run was begun with 8, not 16"):
        run(tmp_path, photos, batch_size=16)
    with pytest.raises(UsageError, match="the run is of dcgan"):
        run(tmp_path, photos, system="adaptive-conv")
    with pytest.raises(UsageError, match="other pictures"):
        run(tmp_path, photos / "disc")
    assert run(tmp_path, photos, steps=14, save_every=2).step == 14


def test_data_whose_path_no_record_can_hold_are_refused(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    (tmp_path / "link").symlink_to(odd)
    for data in (odd, tmp_path / "link"):
        with pytest.raises(UsageError, match=r"not UTF-8: .*caf\\xe9"):
            run(tmp_path / "run", data)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no training run wrote \(thesis.txt"):
        run(tmp_path, photos)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dcgan", "--batch-size", "1"], "option 'batch_size'"),
        (["dcgan", "--objective", "wasserstein"], "objective"),
        (["dcgan", "--image-px", "48"], "option 'image_px': 48"),
        (["dcgan", "--preset", "huge"], "no preset 'huge'"),
        (["stylegan3"], "no system 'stylegan3'"),
        (["cgan"], "classes"),
        (["dcgan", "--config", "no.toml"], "no.toml"),
        (["dcgan", "--generators", "3"], "option 'generators' means nothing to dcgan"),
    ],
)
def test_wrong_options_are_errors_that_name_the_field(
    tmp_path: Path, photos: Path, arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(
        cli, ["generate", "train", *arguments, "--data", str(photos), "--output", str(tmp_path / "run")]
    )
    shown = f"{result.output} {result.exception}"
    assert result.exit_code != 0
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "run" / "run.json").exists()


def test_options_from_a_file_and_the_command_line_wins(tmp_path: Path, photos: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in SMALL.items()))
    result = CliRunner().invoke(
        cli,
        ["generate", "train", "dcgan", "--data", str(photos), "--output", str(tmp_path / "run"), "--config", str(file),
         "--steps", "2", "-q"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    record = read_run(tmp_path / "run")
    assert record is not None
    assert (record.config.steps, record.config.width) == (2, 4)
    assert (tmp_path / "run/samples/manifest.csv").exists()


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_every_system_trains_resumes_and_loads(tmp_path: Path, photos: Path, system: str) -> None:
    request = {"class_by": "folder"} if system_named(system).condition == "class" else {}
    size = {"image_px": 32, "width": 4} if system == "biggan" else {}
    kinds = {"generators": 2} if system == "madgan" else {}
    options = {"steps": 4, "precision": "float32", **kinds, **size}
    run(tmp_path / "whole", photos, system, request, **options)
    run(tmp_path / "cut", photos, system, request, **{**options, "steps": 2, "save_every": 1})
    resume(tmp_path / "cut", 4, QUIET)
    assert_same(weights(tmp_path / "whole", 4), weights(tmp_path / "cut", 4))
    loaded = load_generator(find_model(str(tmp_path / "whole")), torch.device("cpu"))
    assert loaded.system.name == system
    if request:
        assert loaded.class_names == ("disc", "square")


def test_exported_generator_is_small_and_draws_alike(tmp_path: Path, photos: Path) -> None:
    run(tmp_path / "run", photos)
    export_generator(find_model(str(tmp_path / "run")), tmp_path / "half.safetensors")
    whole = load_generator(find_model(str(tmp_path / "run")), torch.device("cpu"))
    half = load_generator(tmp_path / "half.safetensors", torch.device("cpu"))
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert (whole.network(z) - half.network(z)).abs().max() < 0.02
    assert (tmp_path / "half.safetensors").stat().st_size < find_model(str(tmp_path / "run")).stat().st_size / 3


def test_damaged_and_foreign_checkpoints_are_typed_errors(tmp_path: Path, photos: Path) -> None:
    run(tmp_path / "run", photos)
    good = find_model(str(tmp_path / "run")).read_bytes()
    bad = tmp_path / "bad.safetensors"
    rng = np.random.default_rng(0)
    for content in (b"", b"nonsense", good[:1000], good[: len(good) // 2], b"\xff" * 64):
        bad.write_bytes(content)
        with pytest.raises(WeightsError):
            load_generator(bad, torch.device("cpu"))
    for _ in range(40):
        data = bytearray(good)
        data[int(rng.integers(0, 6000))] ^= 1 << int(rng.integers(0, 8))
        bad.write_bytes(bytes(data))
        try:
            load_generator(bad, torch.device("cpu"))
        except WeightsError:
            continue
    with pytest.raises(UsageError, match="there is no model"):
        find_model(str(tmp_path / "nothing"))


def test_best_that_a_kill_left_behind_is_repaired(tmp_path: Path, photos: Path) -> None:
    run(tmp_path, photos, steps=12)
    newest = checkpoint_path(tmp_path, 12)
    tensors, meta = read_checkpoint(newest)
    from generators.checkpoint import write_checkpoint

    meta["best"] = {**meta["best"], "step": 12}
    write_checkpoint(newest, tensors, meta)
    (tmp_path / BEST).unlink()
    resume(tmp_path, None, QUIET)
    assert read_meta(tmp_path / BEST)["step"] == 12
