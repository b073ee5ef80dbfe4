"""Two processes: the same numbers as one, one set of files, one voice.

One run is started by accelerate's launcher, as a user starts it; what need not be is started by torch's own `spawn`.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from two_processes import free_port, joined, pair

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from generators.checkpoint import checkpoint_path, read_checkpoint
from generators.data.request import DataRequest
from generators.layers import BatchNorm1d, BatchNorm2d
from generators.loop import StoppedBySignal
from generators.monitor.log import read_log
from generators.parallel import Processes
from generators.run_folder import read_run
from generators.system import configured, system_named
from generators.training import resume, train

pytestmark = pytest.mark.timeout(120)

QUIET = Progress(quiet=True)
STEPS = 6
# All that a step has where batches meet: batch statistics in both networks, a second derivative through them, two D steps.
OPTIONS = {
    "image_px": 16, "width": 4, "latent": 8, "batch_size": 8, "steps": STEPS, "save_every": 3, "report_every": 2,
    "grid_every": 3, "quality_every": 0, "samples": 4, "device": "cpu", "threads": 1, "workers": 1, "augment": "off",
    "precision": "float32", "r1_gamma": 1.0, "r1_every": 2, "d_steps": 2,
}  # fmt: skip
# Sums of float32 in another order: off by 1e-7 after these steps. Adam divides a gradient by its own size, so that one that
# is all rounding could move its weight by up to the learning rate, 2e-4, a step. Without shared statistics, or without
# averaged gradients, weights are off by 1e-3.
WEIGHT_ATOL = 2e-5
STATISTIC_ATOL = 1e-5
LATE_S = 1.0
LAUNCH_TIMEOUT_S = 90


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 drawn pictures of a disc."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(40):
        picture = np.full((24, 24, 3), rng.integers(0, 120, 3), np.uint8)
        cv2.circle(picture, (12, int(rng.integers(8, 16))), 5, [int(c) for c in rng.integers(130, 255, 3)], -1)
        cv2.imwrite(str(folder / f"{i:02d}.png"), picture)
    return folder


@dataclass(frozen=True)
class Launched:
    """What a launched run left behind."""

    folder: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def launched(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """The command by `accelerate launch` with two processes; --device auto where that means the CPU."""
    folder = tmp_path_factory.mktemp("two") / "run"
    device = "cpu" if torch.cuda.is_available() or torch.backends.mps.is_available() else "auto"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**OPTIONS, "device": device}.items()]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    launcher += [f"--main_process_port={free_port()}", "--module"]
    process = subprocess.Popen(
        [*launcher, "forensics", "generate", "train", "dcgan", f"--data={photos}", f"--output={folder}", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=LAUNCH_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends its processes; killed, it would leave them behind
        pytest.fail(f"the launched run hangs: {process.communicate()[1]}")
    assert process.returncode == 0, stderr
    return Launched(folder, stdout, stderr)


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in this process."""
    folder = tmp_path_factory.mktemp("one") / "run"
    begin(folder, photos)
    return folder


def begin(folder: Path, photos: Path) -> None:
    system = system_named("dcgan")
    train(system, "cpu", configured(system, "cpu", OPTIONS), DataRequest(data=(photos,)), folder, QUIET)


def assert_close(left: Path, right: Path, step: int) -> None:
    """All tensors of two checkpoints, names and values."""
    ours, theirs = (read_checkpoint(checkpoint_path(folder, step))[0] for folder in (left, right))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        is_statistic = "running_" in name or name.startswith("optimizer.")
        atol = STATISTIC_ATOL if is_statistic else WEIGHT_ATOL
        torch.testing.assert_close(
            value, theirs[name], rtol=1e-4, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )


# -- the launched run


def test_two_launched_processes_were_two(launched: Launched) -> None:
    record = read_run(launched.folder)
    assert record is not None
    assert (record.processes, record.device) == (2, "cpu")


def test_two_processes_take_the_steps_of_one(launched: Launched, alone: Path) -> None:
    assert_close(launched.folder, alone, 3)
    assert_close(launched.folder, alone, STEPS)


def test_what_two_processes_report_is_over_the_whole_batch(launched: Launched, alone: Path) -> None:
    ours, theirs = (read_log(folder / "log.jsonl")[0] for folder in (launched.folder, alone))
    assert [row.step for row in ours] == [row.step for row in theirs] == [2, 4, 6]
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("loss_d", "loss_g", "accuracy_real", "accuracy_fake"):
            assert getattr(mine, name) == pytest.approx(getattr(other, name), abs=1e-4), name


def test_two_processes_write_one_set_of_files(launched: Launched, alone: Path) -> None:
    def names(folder: Path) -> list[str]:
        """All but the cache of pixels, and the samples, which only the command draws."""
        found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return sorted(name for name in found if not name.startswith(("cache/", "samples/")))

    assert names(launched.folder) == names(alone)
    assert sorted(path.name for path in (launched.folder / "checkpoints").iterdir()) == [
        "step-00000003.safetensors",
        "step-00000006.safetensors",
    ]
    assert len(list((launched.folder / "samples" / "fake").iterdir())) == OPTIONS["samples"]
    assert len((launched.folder / "log.jsonl").read_text().splitlines()) == STEPS // 2


def test_two_processes_speak_once(launched: Launched) -> None:
    lines = launched.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dcgan", "samples"]
    said = launched.stderr.splitlines()
    assert sum("40 of 40 taken" in line for line in said) == 1
    assert sum(line.startswith("step 6:") for line in said) == 1
    assert not [line for line in said if "Traceback" in line or "FutureWarning" in line]


# -- spawned pairs


def normalised(norm: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs, and the gradient of a second derivative's size at x, which is R1's way through a norm."""
    out = norm(x)
    (first,) = torch.autograd.grad((out * out.detach().sin()).sum() + out.pow(3).sum(), x, create_graph=True)
    return out, first


def test_two_processes_share_statistics_gradients_and_signals(tmp_path: Path, photos: Path) -> None:
    pair(check_parts, tmp_path / "run", photos)
    assert not (tmp_path / "run" / "run.json").exists()


def check_parts(rank: int, port: int, folder: Path, photos: Path) -> None:
    """All that one pair can check: to begin a process takes longer than these do."""
    processes = joined(rank, port)
    check_norm(rank, (8, 3, 4, 4))
    check_norm(rank, (8, 3))
    check_processes(rank, processes)
    check_odd_batch(folder, photos)
    processes.close()
    processes.close()  # a second time does no harm


def check_norm(rank: int, shape: tuple[int, ...]) -> None:
    """Outputs, first and second derivatives and running statistics are those of torch's own on the whole batch."""
    generator = torch.Generator().manual_seed(0)
    # A mean far from 0 and channels of unlike size: where a sum of squares would lose its digits.
    whole = torch.randn(shape, generator=generator) * 3 + 100 * torch.arange(3.0).view(3, *[1] * (len(shape) - 2))
    kind = BatchNorm2d if len(shape) == 4 else BatchNorm1d
    torch_kind = torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d
    reference, ours = torch_kind(3).double(), kind(3)
    for norm in (reference, ours):
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            norm.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    x_whole = whole.double().requires_grad_(True)
    cut = slice(0, 3) if rank == 0 else slice(3, 8)  # processes need not have equal shares
    x_mine = whole[cut].clone().requires_grad_(True)
    (y_whole, g_whole), (y_mine, g_mine) = normalised(reference, x_whole), normalised(ours, x_mine)
    torch.testing.assert_close(y_mine.double(), y_whole[cut], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(g_mine.double(), g_whole[cut], rtol=1e-3, atol=1e-3)
    g_whole.square().sum().backward()
    g_mine.square().sum().backward()
    assert x_mine.grad is not None
    assert x_whole.grad is not None
    torch.testing.assert_close(x_mine.grad.double(), x_whole.grad[cut], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(ours.running_mean.double(), reference.running_mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.running_var.double(), reference.running_var, rtol=1e-4, atol=1e-4)
    assert int(ours.num_batches_tracked) == 1


def check_processes(rank: int, processes: Processes) -> None:
    assert (processes.count, processes.rank, processes.is_main) == (2, rank, rank == 0)
    assert processes.share(8) == slice(4 * rank, 4 * rank + 4)
    with pytest.raises(UsageError, match="option 'batch_size': 7 pictures do not divide among 2 processes"):
        processes.share(7)
    assert processes.any(rank == 1)
    assert not processes.any(False)
    network = torch.nn.Linear(2, 1)
    network.weight.grad = torch.tensor([[1.0 + rank, 4.0 * rank]])  # the bias has none
    processes.mean_gradients(network)
    assert network.weight.grad.tolist() == [[1.5, 2.0]]
    assert network.bias.grad is None


def check_odd_batch(folder: Path, photos: Path) -> None:
    """An error that names the field, in both, before anything is written."""
    system = system_named("dcgan")
    config = configured(system, "cpu", {**OPTIONS, "batch_size": 7})
    with pytest.raises(UsageError, match="option 'batch_size'"):
        train(system, "cpu", config, DataRequest(data=(photos,)), folder, QUIET)


def test_a_signal_to_one_process_stops_both_and_one_goes_on(tmp_path: Path, photos: Path, alone: Path) -> None:
    pair(stop_after_four, tmp_path / "run", photos)
    assert checkpoint_path(tmp_path / "run", 4).exists()
    resume(tmp_path / "run", None, QUIET)
    assert_close(tmp_path / "run", alone, STEPS)


def stop_after_four(rank: int, port: int, folder: Path, photos: Path) -> None:
    from generators.game import Game
    from generators.trainer import Trainer

    joined(rank, port)
    original, original_run = Game.step, Trainer.run

    def late(self: Trainer) -> object:
        """The second process comes when the first has begun."""
        time.sleep(rank * LATE_S)
        return original_run(self)

    def step(self: Game, reals: object, number: int, *rest: object) -> None:
        if rank == 1 and number == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, reals, number, *rest)

    Trainer.run, Game.step = late, step
    with pytest.raises(StoppedBySignal):
        begin(folder, photos)
