"""Training a swap: it provably swaps, a run that was killed equals one that was not, and what is refused is named."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from faceswap_people import COLOURS, Person, draw_person, outline, shape_of, write_people

from forensics.cli import cli
from forensics.common.errors import ManifestError, UsageError, WeightsError
from forensics.common.progress import Progress
from generators.checkpoint import checkpoint_path, checkpoints_of, read_checkpoint, read_meta
from generators.faceswap.config import configured
from generators.faceswap.training import training
from generators.faceswap.training.game import SwapGame
from generators.faceswap.training.run_record import is_swap_run, read_swap_run
from generators.faceswap.training.swapper import Swapper, find_swap, load_swapper
from generators.faceswap.training.trainer import SwapTrainer
from generators.faceswap.training.training import MIN_FACES, resume, train
from generators.loop import StoppedBySignal
from generators.monitor.log import read_swap_log
from generators.training import resume as resume_gan

QUIET = Progress(quiet=True)
SMALL = {
    "image_px": 32, "width": 8, "latent": 16, "batch_size": 4, "steps": 8, "save_every": 4, "report_every": 2,
    "grid_every": 4, "quality_every": 4, "device": "cpu", "threads": 1, "precision": "float32",
}  # fmt: skip
VARIANTS = ["autoencoder", "gan"]
ROLES: dict[Person, str] = {"oval": "source", "block": "target"}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sets of faces: the source an oval, the target a block."""
    folder = tmp_path_factory.mktemp("people")
    return write_people(folder / "oval", "oval"), write_people(folder / "block", "block")


@pytest.fixture(scope="module")
def trained(people: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Swapper:
    """A swap that has learned both."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    run(folder, people, steps=250, batch_size=8, learning_rate=2e-3, report_every=50, grid_every=250, save_every=250,
        quality_every=0)  # fmt: skip
    return load_swapper(find_swap(str(folder)), torch.device("cpu"))


def run(folder: Path, people: tuple[Path, Path], **options: Any) -> SwapTrainer:
    return train(*people, "cpu", configured("cpu", {**SMALL, **options}), folder, QUIET)


def state(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return read_checkpoint(checkpoint_path(folder, step))[0]


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value.nan_to_num(-1), right[name].nan_to_num(-1)), name


def assert_same_logs(left: Path, right: Path) -> None:
    logs = [read_swap_log(folder / "log.jsonl") for folder in (left, right)]
    rows = [[str(row.model_copy(update={"steps_per_s": 0.0})) for row in log[0]] for log in logs]  # NaN is not NaN
    assert rows[0] == rows[1]
    assert logs[0][1] == logs[1][1]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


# -- it swaps


@pytest.mark.parametrize("shift", [(0, 0), (9, -7)])
@pytest.mark.parametrize(("given", "to"), [("oval", "block"), ("block", "oval")])
def test_a_swap_has_the_others_colour_and_shape(
    trained: Swapper, given: Person, to: Person, shift: tuple[int, int]
) -> None:
    face = draw_person(given, 125, 8, shift)  # of a pose and a background that training did not have
    drawn, mask = trained.swap(face[None], ROLES[to])
    assert overlap(shape_of(face, given), outline(given, shift)) > 0.85  # the measure knows the drawn shapes
    shape = shape_of(drawn[0], to)
    own, others = overlap(shape, outline(given, shift)), overlap(shape, outline(to, shift))
    assert others > 0.7
    assert own < 0.55
    assert shape_of(drawn[0], given).mean() < 0.03  # nothing of the old colour is left
    colour = np.median(drawn[0][outline(to, shift)], 0)
    assert np.abs(colour - COLOURS[to]).max() < 40  # the two people differ by 150
    assert mask.shape == (1, 256, 256)
    assert mask[0][118:138, 118:138].mean() > 0.8
    assert mask[0][24:40, 24:40].mean() < 0.2


@pytest.mark.parametrize("person", ["oval", "block"])
def test_a_face_by_its_own_decoder_stays_that_face(trained: Swapper, person: Person) -> None:
    face = draw_person(person, 125, 8)
    drawn, _ = trained.swap(face[None], ROLES[person])
    other: Person = "block" if person == "oval" else "oval"
    shape = shape_of(drawn[0], person)
    assert overlap(shape, outline(person)) > 0.75
    assert overlap(shape, outline(person)) > overlap(shape, outline(other)) + 0.2
    swapped, _ = trained.swap(face[None], ROLES[other])
    error, swap_error = (np.abs(v[0].astype(int) - face).mean() for v in (drawn, swapped))
    assert error < 12
    assert swap_error > 25


# -- resumption


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, people: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    run(tmp_path / "whole", people, variant=variant)
    original, taken = SwapGame.step, []
    dies_at = int(np.random.default_rng().integers(1, 9))  # whichever step it is, the end is the same

    def die(self: SwapGame, *pairs: Any) -> None:
        taken.append(1)
        if len(taken) == dies_at:
            raise ConnectionAbortedError
        original(self, *pairs)

    monkeypatch.setattr(SwapGame, "step", die)
    with pytest.raises(ConnectionAbortedError):
        run(tmp_path / "cut", people, variant=variant)
    monkeypatch.setattr(SwapGame, "step", original)
    assert run(tmp_path / "cut", people, variant=variant).step == 8, dies_at
    assert_same(state(tmp_path / "whole", 8), state(tmp_path / "cut", 8))
    assert_same_logs(tmp_path / "whole", tmp_path / "cut")
    for name in ("preview.png", "previews/step-00000008.png"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_by_signal_saves_the_step_and_resume_goes_on(
    tmp_path: Path, people: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    run(tmp_path / "whole", people)
    original, before = SwapGame.step, signal.getsignal(number)

    def step(self: SwapGame, *pairs: Any) -> None:
        original(self, *pairs)
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), number)

    taken: list[int] = []
    monkeypatch.setattr(SwapGame, "step", step)
    with pytest.raises(StoppedBySignal):
        run(tmp_path / "cut", people)
    assert signal.getsignal(number) is before
    assert read_meta(checkpoints_of(tmp_path / "cut")[-1])["step"] == 3
    result = CliRunner().invoke(cli, ["generate", "resume", str(tmp_path / "cut"), "-q"])
    assert result.exit_code == 0, result.output
    assert "face swap: 8 steps on 20 faces of the source and 20 of the target, 32 px" in result.output
    assert_same(state(tmp_path / "whole", 8), state(tmp_path / "cut", 8))


def test_one_seed_is_one_run_and_another_seed_is_another(tmp_path: Path, people: tuple[Path, Path]) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(tmp_path / name, people, steps=2, seed=seed)
    a, b, c = (state(tmp_path / name, 2) for name in "abc")
    assert_same(a, b)
    name = "network.encoder.halvings.0.weight"
    assert not torch.equal(a[name], c[name])


def test_a_longer_run_is_the_same_as_one_that_was_long_from_the_start(
    tmp_path: Path, people: tuple[Path, Path]
) -> None:
    run(tmp_path / "long", people)
    run(tmp_path / "short", people, steps=4)
    assert resume(tmp_path / "short", 8, QUIET).step == 8
    assert_same(state(tmp_path / "long", 8), state(tmp_path / "short", 8))
    assert resume(tmp_path / "short", None, QUIET).step == 8  # and nothing is left
    assert_same_logs(tmp_path / "long", tmp_path / "short")


def test_what_a_run_leaves(tmp_path: Path, people: tuple[Path, Path]) -> None:
    run(tmp_path / "run", people)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "run.json", "log.jsonl", "curves.png", "preview.png", "previews", "checkpoints",
    }  # fmt: skip
    assert [path.stem for path in checkpoints_of(tmp_path / "run")] == ["step-00000004", "step-00000008"]
    rows, measured = read_swap_log(tmp_path / "run" / "log.jsonl")
    assert [row.step for row in rows] == [2, 4, 6, 8]
    assert [row.step for row in measured] == [0, 4, 8]
    record = read_swap_run(tmp_path / "run")
    assert record is not None
    assert (record.source.faces, record.source.held_out) == (20, 4)
    assert record.source.clips == ("oval.mp4",)
    assert record.source.sha256 != record.target.sha256
    meta = read_meta(checkpoint_path(tmp_path / "run", 8))
    assert meta["system"] == "faceswap"
    assert str(people[0]) not in json.dumps(meta)  # a checkpoint is handed on; folders are nobody's business


def test_without_held_out_faces_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = write_people(tmp_path / "a", "oval", MIN_FACES, 0), write_people(tmp_path / "b", "block", 12, 3)
    said: list[str] = []
    monkeypatch.setattr(Progress, "say", lambda self, line: said.append(line))
    run(tmp_path / "run", sets, steps=2)
    assert [line for line in said if "no held-out faces" in line] == [
        "the source's set has no held-out faces: nothing is measured, previews show training faces"
    ]
    assert read_swap_log(tmp_path / "run" / "log.jsonl")[1] == []
    assert (tmp_path / "run" / "preview.png").exists()


def test_nothing_is_measured_where_it_is_off(tmp_path: Path, people: tuple[Path, Path]) -> None:
    run(tmp_path / "run", people, steps=2, quality_every=0)
    rows, measured = read_swap_log(tmp_path / "run" / "log.jsonl")
    assert ([row.step for row in rows], measured) == ([2], [])


# -- what is refused


def test_options_that_would_change_the_run_are_refused_by_name(tmp_path: Path, people: tuple[Path, Path]) -> None:
    run(tmp_path / "run", people, steps=2)
    before = (tmp_path / "run" / "run.json").read_bytes()
    for option, value in (("batch_size", 8), ("variant", "gan"), ("warp_px", 5.0), ("image_px", 64), ("seed", 1)):
        with pytest.raises(UsageError, match=f"option '{option}': the run was begun with") as caught:
            run(tmp_path / "run", people, steps=2, **{option: value})
        assert "--output" in caught.value.hint
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert run(tmp_path / "run", people, steps=3, report_every=1, precision="auto").step == 3


def test_other_faces_are_refused(tmp_path: Path, people: tuple[Path, Path]) -> None:
    run(tmp_path / "run", people, steps=2)
    fewer = write_people(tmp_path / "fewer", "block", 12)
    with pytest.raises(UsageError, match=r"option 'target': the run was begun with other faces \(20; now 12\)"):
        run(tmp_path / "run", (people[0], fewer), steps=2)
    with pytest.raises(UsageError, match="option 'source'"):
        run(tmp_path / "run", (people[1], people[0]), steps=2)


def test_checkpoints_of_another_run_are_refused_without_its_record(tmp_path: Path, people: tuple[Path, Path]) -> None:
    run(tmp_path / "run", people, steps=2)
    (tmp_path / "run" / "run.json").unlink()
    begin = configured("cpu", {**SMALL, "steps": 4})
    with pytest.raises(WeightsError, match="other faces of the source"):
        train(people[1], people[0], "cpu", begin, tmp_path / "run", QUIET, overwrite=True)
    (tmp_path / "run" / "run.json").unlink()
    other = begin.model_copy(update={"learning_rate": 1e-3})
    with pytest.raises(WeightsError, match="of a run with learning_rate"):
        train(*people, "cpu", other, tmp_path / "run", QUIET, overwrite=True)
    (tmp_path / "run" / "run.json").unlink()
    again = begin.model_copy(update={"save_every": 3, "precision": "auto"})
    assert train(*people, "cpu", again, tmp_path / "run", QUIET, overwrite=True).step == 4


def test_one_person_twice_and_faces_that_moved_are_refused(tmp_path: Path, people: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="the same faces"):
        run(tmp_path / "run", (people[0], people[0]))
    assert not (tmp_path / "run").exists()
    moving = write_people(tmp_path / "before", "block")
    run(tmp_path / "run", (people[0], moving), steps=2)
    moving.rename(tmp_path / "after")
    with pytest.raises(UsageError, match=r"the target's faces are not at .*before") as caught:
        resume(tmp_path / "run", 4, QUIET)
    assert "--target DIR" in caught.value.hint
    assert run(tmp_path / "run", (people[0], tmp_path / "after"), steps=4).step == 4


def test_landmarks_without_an_outline_are_named(
    tmp_path: Path, people: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def coincide(points: np.ndarray) -> np.ndarray:
        raise ValueError("landmarks coincide")

    monkeypatch.setattr(training, "place_mean_shape", coincide)
    with pytest.raises(ManifestError, match=r"faces/aaaaaaaa-000000-1\.png: .*coincide"):
        run(tmp_path / "run", people)


def test_too_few_faces_and_no_faces_are_refused(tmp_path: Path, people: tuple[Path, Path]) -> None:
    few = write_people(tmp_path / "few", "oval", MIN_FACES - 1)
    with pytest.raises(UsageError, match=r"--source .*few has 9 faces to train on, fewer than 10"):
        run(tmp_path / "run", (few, people[1]))
    with pytest.raises(ManifestError, match=r"holds no alignments\.json"):
        run(tmp_path / "run", (people[0], tmp_path / "nothing"))
    assert not (tmp_path / "run").exists()


def test_faces_whose_path_no_record_can_hold_are_refused(tmp_path: Path, people: tuple[Path, Path]) -> None:
    odd = write_people(tmp_path / os.fsdecode(b"caf\xe9"), "oval")
    with pytest.raises(UsageError, match=r"not UTF-8: .*caf\\xe9"):
        run(tmp_path / "run", (odd, people[1]), steps=2)
    assert not (tmp_path / "run").exists()


def test_a_gans_run_is_no_swaps_and_the_other_way_round(tmp_path: Path, people: tuple[Path, Path]) -> None:
    (tmp_path / "gan").mkdir()
    (tmp_path / "gan" / "run.json").write_text('{"format": "forensics-gan-run-1", "system": "dcgan"}')
    with pytest.raises(UsageError, match="not the record of a face swap") as caught:
        run(tmp_path / "gan", people)
    assert "give a face swap's run" in caught.value.hint
    with pytest.raises(UsageError, match="not the record of a face swap"):
        resume(tmp_path / "gan", None, QUIET)
    run(tmp_path / "swap", people, steps=2)
    with pytest.raises(UsageError, match="not the record of a run"):
        resume_gan(tmp_path / "swap", None, QUIET)
    assert is_swap_run(tmp_path / "swap")
    assert not is_swap_run(tmp_path / "gan")
    for wrong in (tmp_path / "gan", tmp_path / "nothing"):  # by the command that takes both: never a traceback
        result = CliRunner().invoke(cli, ["generate", "resume", str(wrong)])
        assert isinstance(result.exception, UsageError)
        assert result.exception.hint
    with pytest.raises(UsageError, match="is not the folder of a face swap"):
        resume(tmp_path / "nothing", None, QUIET)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"forensics-swap-run-1"', "null", "[" * 100_000, "\xff", '{"format": 3}']
)
def test_a_broken_record_is_no_swaps(tmp_path: Path, people: tuple[Path, Path], content: str) -> None:
    (tmp_path / "run.json").write_bytes(content.encode("latin-1"))
    assert not is_swap_run(tmp_path)
    with pytest.raises(UsageError, match="not the record"):
        read_swap_run(tmp_path)


def test_a_record_of_another_version_is_a_swaps_and_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": "forensics-swap-run-9"}')
    assert is_swap_run(tmp_path)
    with pytest.raises(UsageError, match="of this version"):
        resume(tmp_path, None, QUIET)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, people: tuple[Path, Path]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no training run wrote \(thesis.txt"):
        run(tmp_path / "run", people)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


# -- what goes wrong in a step


def test_too_little_memory_is_said_in_words(
    tmp_path: Path, people: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: SwapGame, *pairs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")

    monkeypatch.setattr(SwapGame, "step", step)
    with pytest.raises(UsageError, match=r"too little memory for a step .*2 GiB") as caught:
        run(tmp_path, people)
    assert "\n" not in caught.value.message
    assert "--batch-size" in caught.value.hint


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_that_are_no_numbers_roll_back(
    tmp_path: Path, people: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    original, taken = SwapGame.step, []

    def step(self: SwapGame, *pairs: Any) -> None:
        original(self, *pairs)
        taken.append(1)
        if len(taken) == 7:
            next(self.network.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(SwapGame, "step", step)
    outcome = run(tmp_path, people, variant=variant)
    assert outcome.step == 8
    assert read_meta(checkpoint_path(tmp_path, 8))["rollbacks"] == 1
    named = state(tmp_path, 8).items()
    assert all(torch.isfinite(value).all() for _, value in named)
    assert [row.step for row in read_swap_log(tmp_path / "log.jsonl")[0]] == [2, 4, 6, 8]


def test_losses_that_never_are_numbers_are_an_error(
    tmp_path: Path, people: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SwapGame.step

    def step(self: SwapGame, *pairs: Any) -> None:
        original(self, *pairs)
        next(self.network.parameters()).data.fill_(float("inf"))

    monkeypatch.setattr(SwapGame, "step", step)
    with pytest.raises(UsageError, match="not finite at step 2, after 3 returns") as caught:
        run(tmp_path, people)
    assert "--learning-rate" in caught.value.hint


def test_a_checkpoint_of_another_network_is_named(tmp_path: Path, people: tuple[Path, Path]) -> None:
    run(tmp_path / "run", people, steps=2)
    run(tmp_path / "wide", people, steps=2, width=16)
    checkpoint_path(tmp_path / "wide", 2).replace(checkpoint_path(tmp_path / "run", 2))
    with pytest.raises(WeightsError, match="does not fit this run") as caught:
        run(tmp_path / "run", people, steps=4)
    assert "delete it" in caught.value.hint


# -- the commands


@pytest.mark.parametrize("arguments", [[], ["train"], ["preview"], ["extract"], ["swap"]])
def test_help_teaches_and_needs_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from forensics.cli import cli\n"
        f"cli.main(['generate', 'faceswap', *{arguments!r}, '--help'], standalone_mode=False)\n"
        "print('LOADED', *{'torch', 'cv2', 'av', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("LOADED\n")
    assert "forensics generate faceswap" in done.stdout
    if arguments == ["train"]:
        for word in ("--warp-px", "--variant", "gpu-128", "Examples:", "82 million"):
            assert word in done.stdout


def test_train_and_preview_from_the_command_line(tmp_path: Path, people: tuple[Path, Path]) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    who = ["--source", str(people[0]), "--target", str(people[1])]
    begin = ["generate", "faceswap", "train", *who, "--output", str(tmp_path / "run"), *options, "--steps=20"]
    result = CliRunner().invoke(cli, begin)
    assert result.exit_code == 0, result.output
    assert "face swap: 20 steps on 20 faces of the source and 20 of the target, 32 px\n" in result.stdout
    assert "faces are drawn with SSIM" in result.stdout
    assert f"preview: {tmp_path / 'run' / 'preview.png'}\n" in result.stdout
    again = CliRunner().invoke(cli, begin)
    assert again.exit_code == 0
    assert "nothing left to train: step 20 of 20" in again.stderr

    picture = tmp_path / "shown.png"
    for spec in (tmp_path / "run", checkpoint_path(tmp_path / "run", 20)):
        show = ["generate", "faceswap", "preview", str(spec), "--output", str(picture), "--rows", "2", "--overwrite"]
        result = CliRunner().invoke(cli, show)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"preview: {picture}\n"
    result = CliRunner().invoke(cli, [*show[:-1]])
    assert isinstance(result.exception, UsageError)
    assert "--overwrite" in result.exception.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "0"], "option 'batch_size'"),
        (["--image-px", "40"], "option 'image_px'"),
        (["--variant", "pix2pix"], "pix2pix"),
        (["--preset", "huge"], "no preset 'huge'"),
        (["--width", "9"], "option 'width'"),
        (["--source", "nothing"], "nothing"),
    ],
)
def test_wrong_options_are_errors_that_name_the_field(
    tmp_path: Path, people: tuple[Path, Path], arguments: list[str], message: str
) -> None:
    who = ["--source", str(people[0]), "--target", str(people[1]), "--output", str(tmp_path / "run")]
    command = ["-c", "from forensics.cli import main; main()", "generate", "faceswap", "train", *who, *arguments]
    if message != "option 'batch_size'":  # one of them as a person sees it: a process costs seconds
        result = CliRunner().invoke(cli, command[2:])
        shown = f"{result.output} {result.exception}"
        assert result.exit_code != 0
        assert isinstance(result.exception, UsageError | ManifestError | SystemExit)
    else:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        shown = done.stderr
        assert done.returncode == 2
        assert len(shown.splitlines()) == 2  # one line, and a hint
        assert done.stdout == ""
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "run" / "run.json").exists()
