"""The loop of every training, by a run that only counts: what it does at which step, and what goes wrong."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

from forensics.common.errors import WeightsError
from forensics.common.progress import Progress
from generators.checkpoint import (
    BEST,
    checkpoint_path,
    checkpoints_of,
    read_checkpoint,
    read_meta,
    step_of,
    write_checkpoint,
)
from generators.loop import MAX_ROLLBACKS, Loop, News, StoppedBySignal
from generators.monitor.log import QualityRow, append, measured_steps
from generators.parallel import Processes


class Rhythm(BaseModel):
    steps: int = 12
    report_every: int = 3
    grid_every: int = 5
    save_every: int = 4
    quality_every: int = 6


class Said(Progress):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Counting(Loop[int, QualityRow]):
    """Its weights are a mixture of all batches so far; what happens at a step is what a test says."""

    remedy = "count again"

    def __init__(self, folder: Path, rhythm: Rhythm | None = None, **at: Any) -> None:
        self.said = Said()
        super().__init__("counts", rhythm or Rhythm(), folder, Processes("cpu"), self.said)
        self.value = torch.zeros(1, dtype=torch.float64)
        self.events: list[tuple[str, int]] = []
        self.collapses, self.signals, self.kids = at.get("collapses", ()), at.get("signals", {}), at.get("kids", {})

    def _batches(self, step: int) -> Iterator[int]:
        while True:
            yield 1000 * self._rollbacks + step
            step += 1

    def _take(self, batches: Iterator[int], is_reported: bool) -> None:
        self.value = self.value * 0.9 + next(batches)
        if is_reported:
            self.events.append(("told", self.step + 1))
        for number in self.signals.get(self.step + 1, ()):
            os.kill(os.getpid(), number)

    def _is_finite(self) -> bool:
        return bool(torch.isfinite(self.value).all())

    def _report(self, bar: Any, steps_per_s: float) -> bool:
        self.events.append(("report", self.step))
        return self.step in self.collapses

    def _show(self) -> None:
        self.events.append(("show", self.step))

    def _measured(self) -> News[QualityRow]:
        self.events.append(("measure", self.step))
        kid = self.kids.get(self.step, 1.0)
        row = QualityRow(step=self.step, kid=kid, low=kid, high=kid, extractor="none")
        return News(row, f"KID {kid}", self._best is None or kid < self._best.kid)

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {"value": self.value}, {"own": 1}

    def _restore(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        self.value = tensors["value"].clone().reshape(1)
        _ = meta["own"]

    def _measurement(self, plain: Any) -> QualityRow:
        return QualityRow.model_validate(plain)

    def _look_back(self) -> None:
        self.events.append(("look back", self.step))

    def steps_of(self, event: str) -> list[int]:
        return [step for name, step in self.events if name == event]


def counted(folder: Path, rhythm: Rhythm | None = None, **at: Any) -> Counting:
    loop = Counting(folder, rhythm, **at)
    loop.train()
    return loop


def final(folder: Path) -> float:
    return float(read_checkpoint(checkpoints_of(folder)[-1])[0]["value"])


def test_everything_is_done_at_its_step_and_at_the_end(tmp_path: Path) -> None:
    loop = counted(tmp_path, Rhythm(steps=13))
    assert loop.steps_of("report") == loop.steps_of("told") == [3, 6, 9, 12]
    assert loop.steps_of("show") == [0, 5, 10, 13]
    assert loop.steps_of("measure") == [0, 6, 12, 13]
    # The newest two that a rollback may return to, and the end.
    assert [step_of(path) for path in checkpoints_of(tmp_path)] == [8, 12, 13]
    assert measured_steps(tmp_path / "log.jsonl") == {0, 6, 12, 13}


def test_nothing_is_measured_where_it_is_off(tmp_path: Path) -> None:
    loop = counted(tmp_path, Rhythm(quality_every=0))
    assert measured_steps(tmp_path / "log.jsonl") == set()
    assert loop.steps_of("measure") == []
    assert loop.steps_of("show") == [0, 5, 10, 12]
    assert [step_of(path) for path in checkpoints_of(tmp_path)] == [8, 12]


def test_the_best_is_kept_while_its_checkpoint_goes(tmp_path: Path) -> None:
    loop = counted(tmp_path, Rhythm(steps=24), kids={0: 9.0, 6: 0.5, 12: 0.7, 18: 0.6})
    assert read_meta(tmp_path / BEST)["step"] == 6
    assert not checkpoint_path(tmp_path, 6).exists()
    assert [line for line in loop.said.lines if "the best so far" in line] == [
        "step 0: KID 9.0, the best so far", "step 6: KID 0.5, the best so far",
    ]  # fmt: skip


def test_a_collapse_rolls_back_and_draws_other_noise(tmp_path: Path) -> None:
    plain = counted(tmp_path / "plain")
    loop = counted(tmp_path / "run", collapses={9})
    assert loop.step == 12
    assert "collapsed at step 9: rolled back to step 6" in loop.said.lines
    assert read_meta(checkpoint_path(tmp_path / "run", 12))["rollbacks"] == MAX_ROLLBACKS
    assert loop.value != plain.value


def test_a_collapse_without_end_is_borne(tmp_path: Path) -> None:
    """After as many returns as are allowed, a run that collapses goes on: its words say so, and nobody loses it."""
    loop = counted(tmp_path, collapses=set(range(100)))
    assert loop.step == 12
    assert sum("rolled back" in line for line in loop.said.lines) == MAX_ROLLBACKS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stops_at", [1, 4, 7, 11])
def test_a_stop_changes_no_step(tmp_path: Path, number: signal.Signals, stops_at: int) -> None:
    counted(tmp_path / "whole", collapses={9})
    before = signal.getsignal(number)
    with pytest.raises(StoppedBySignal):
        counted(tmp_path / "cut", collapses={9}, signals={stops_at: [number]})
    assert signal.getsignal(number) is before
    assert (tmp_path / "cut/checkpoints").is_dir()
    loop = counted(tmp_path / "cut", collapses={9})
    assert any(line.startswith("resumed at step") for line in loop.said.lines)
    # A checkpoint of a stop is none that a rollback returns to, or the stopped run would be another.
    assert final(tmp_path / "cut") == final(tmp_path / "whole")


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        counted(tmp_path, signals={5: [signal.SIGINT, signal.SIGINT]})
    assert step_of(checkpoints_of(tmp_path)[-1]) == 4  # what was kept before is kept
    counted(tmp_path)
    counted(tmp_path / "whole")
    assert final(tmp_path) == final(tmp_path / "whole")


def test_a_second_sigterm_is_only_a_stop(tmp_path: Path) -> None:
    with pytest.raises(StoppedBySignal):
        counted(tmp_path, signals={5: [signal.SIGTERM, signal.SIGTERM]})
    assert step_of(checkpoints_of(tmp_path)[-1]) == 5


@pytest.mark.parametrize("kind", ["nothing", "own", "step", "endless", "rollbacks", "best"])
def test_a_state_that_does_not_fit_is_named(tmp_path: Path, kind: str) -> None:
    counted(tmp_path)
    path = checkpoint_path(tmp_path, 12)
    meta: dict[str, Any] = {"step": 12, "rollbacks": 0, "best": None, "own": 1}
    tensors = {"value": torch.zeros(1, dtype=torch.float64)}
    if kind == "nothing":
        tensors = {"other": torch.zeros(1)}
    elif kind == "best":
        meta["best"] = {"step": "x"}
    elif kind == "step":
        meta["step"] = "twelve"
    elif kind == "endless":
        meta["step"] = float("inf")
    else:
        del meta[kind]
    write_checkpoint(path, tensors, meta)
    with pytest.raises(WeightsError, match="does not fit this run") as caught:
        counted(tmp_path)
    assert "delete it" in caught.value.hint
    path.unlink()
    assert counted(tmp_path).step == 12  # from the one before


def test_a_kill_between_saving_and_measuring_costs_nothing(tmp_path: Path) -> None:
    counted(tmp_path / "whole")
    counted(tmp_path / "cut")
    log = tmp_path / "cut" / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:10])  # the last measurement, torn
    loop = counted(tmp_path / "cut")
    assert loop.steps_of("measure") == [12]
    assert log.read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()
    assert counted(tmp_path / "cut").steps_of("measure") == []


def test_rows_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    counted(tmp_path)
    append(tmp_path / "log.jsonl", QualityRow(step=99, kid=1.0, low=1.0, high=1.0, extractor="none"))
    counted(tmp_path)
    assert 99 not in measured_steps(tmp_path / "log.jsonl")


def test_losses_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    class Poisoned(Counting):
        def _take(self, batches: Iterator[int], is_reported: bool) -> None:
            super()._take(batches, is_reported)
            if self.step + 1 == 8 and not self._rollbacks:
                self.value = torch.full((1,), float("nan"), dtype=torch.float64)

    loop = Poisoned(tmp_path)
    loop.train()
    assert loop.step == 12
    assert "the loss is not finite at step 8: rolled back to step 4" in loop.said.lines
    for path in checkpoints_of(tmp_path):
        assert torch.isfinite(read_checkpoint(path)[0]["value"]).all()


def test_a_return_to_an_earlier_best_leaves_the_best_alone(tmp_path: Path) -> None:
    rhythm = Rhythm(steps=18, save_every=6)
    counted(tmp_path, rhythm, collapses={15}, kids={0: 9.0, 6: 0.5, 12: 0.3, 18: 0.4})
    assert read_meta(tmp_path / BEST)["step"] == 12


@pytest.mark.parametrize("content", [None, b"torn"])
def test_a_best_that_is_missing_or_torn_is_kept_again(tmp_path: Path, content: bytes | None) -> None:
    counted(tmp_path, kids={0: 9.0, 6: 0.5, 12: 0.3})
    (tmp_path / BEST).unlink()  # it is the newest checkpoint's file under another name
    if content is not None:
        (tmp_path / BEST).write_bytes(content)
    counted(tmp_path)
    assert read_meta(tmp_path / BEST)["step"] == 12


def test_a_return_without_a_regular_checkpoint_is_to_the_one_there_is(tmp_path: Path) -> None:
    with pytest.raises(StoppedBySignal):
        counted(tmp_path, signals={5: [signal.SIGTERM]})
    checkpoint_path(tmp_path, 4).unlink()
    checkpoint_path(tmp_path, 0).unlink()
    loop = counted(tmp_path, collapses={6})
    assert loop.step == 12
    assert "collapsed at step 6: rolled back to step 5" in loop.said.lines


def test_what_a_stop_or_a_kill_left_undone_is_shown_and_swept(tmp_path: Path) -> None:
    with pytest.raises(StoppedBySignal):
        counted(tmp_path, signals={5: [signal.SIGTERM]})
    torn, other = (tmp_path / "checkpoints" / name for name in (".step-00000008.safetensors.x1.tmp", "notes.tmp"))
    torn.write_bytes(b"half")
    other.write_bytes(b"mine")
    assert counted(tmp_path).steps_of("show") == [5, 10, 12]
    assert (torn.exists(), other.exists()) == (False, True)
