"""The loop of every training: checkpoints, rollback, signals, and when something is said, shown or measured.

A run that was killed and resumed takes the same steps as one that was not, bit for bit on one machine: every draw is a
function of (seed, rollbacks, step), and a checkpoint holds all else. Losses or weights that are not finite, and what a
subclass calls collapsed, roll the run back to its older checkpoint and let it draw other noise; three times at most.
"""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import torch

from forensics.common.errors import UsageError, WeightsError
from forensics.common.prefetch import prefetch
from forensics.common.progress import Bar, Progress
from generators.checkpoint import (
    BEST,
    CHECKPOINTS,
    Tensors,
    checkpoint_path,
    checkpoints_of,
    keep_as,
    latest_checkpoint,
    read_checkpoint,
    read_meta,
    step_of,
    write_checkpoint,
)  # fmt: skip
from generators.monitor.log import Measurement, append, forget_after, measured_steps
from generators.parallel import Processes
from generators.run_folder import LOG_FILE

KEPT_CHECKPOINTS = 2
MAX_ROLLBACKS = 3
PREFETCHED_BATCHES = 2

Batch = TypeVar("Batch")
M = TypeVar("M", bound=Measurement)


class StoppedBySignal(Exception):  # noqa: N818  (a stop, not an error)
    """A signal asked to stop, and the step it stopped after is saved."""


class Rhythm(Protocol):
    """How long a run is, and how many steps lie between what it says, shows, keeps and measures."""

    @property
    def steps(self) -> int: ...
    @property
    def report_every(self) -> int: ...
    @property
    def grid_every(self) -> int: ...
    @property
    def save_every(self) -> int: ...
    @property
    def quality_every(self) -> int: ...


@dataclass(frozen=True)
class News(Generic[M]):
    """A measurement: its line of the log, in words, and whether no checkpoint before was better."""

    row: M
    text: str
    is_best: bool


def same_options(stored: Mapping[str, Any], now: Mapping[str, Any], may_change: frozenset[str]) -> None:
    """Raises ValueError that names the first option of a checkpoint's run that is not this run's."""
    for name, value in now.items():
        if name not in may_change and stored.get(name, value) != value:
            raise ValueError(f"it is of a run with {name} {stored[name]!r}, not {value!r}")


class Loop(ABC, Generic[Batch, M]):
    """Steps from a run folder's newest checkpoint on. What a step is, and what is measured, says the subclass."""

    remedy: str  # the hint for a run that fails again and again

    def __init__(self, title: str, rhythm: Rhythm, folder: Path, processes: Processes, progress: Progress) -> None:
        self._title, self._rhythm, self._folder = title, rhythm, folder
        self._processes, self._progress = processes, progress
        self._log = folder / LOG_FILE
        self.step, self._rollbacks = 0, 0
        self._best: M | None = None
        self._is_stopping = False
        self._clock = (time.monotonic(), 0)

    # -- what a subclass says

    def _prepare(self) -> None:
        """What comes before the first step, and again where a run goes on."""

    @abstractmethod
    def _batches(self, step: int) -> Iterator[Batch]:
        """The batches of `step` and all steps after it."""

    @abstractmethod
    def _take(self, batches: Iterator[Batch], is_reported: bool) -> None:
        """One step, with as many batches as it needs. Random draws: functions of (seed, rollbacks, step) alone."""

    @abstractmethod
    def _is_finite(self) -> bool:
        """Whether losses and weights are numbers, in all processes."""

    @abstractmethod
    def _report(self, bar: Bar, steps_per_s: float) -> bool:
        """Log and say how it goes; whether it has collapsed."""

    @abstractmethod
    def _show(self) -> None:
        """Draw the grid and the curves, in the main process."""

    @abstractmethod
    def _measured(self) -> News[M] | None:
        """Measure, in the main process; None where nothing can be."""

    @abstractmethod
    def _state(self) -> tuple[Tensors, dict[str, Any]]:
        """All that the next step depends on, but for what the loop keeps itself."""

    @abstractmethod
    def _restore(self, tensors: Tensors, meta: dict[str, Any]) -> None:
        """Take up a state. Raises KeyError, ValueError, RuntimeError or TypeError for one that does not fit."""

    @abstractmethod
    def _measurement(self, plain: Any) -> M:
        """A measurement as it was kept in a checkpoint."""

    @abstractmethod
    def _look_back(self) -> None:
        """Take the rows of the log up to now as those of the run."""

    # -- the loop

    def train(self) -> None:
        """Take all steps that are left. Raises StoppedBySignal after saving, when a signal asked for it."""
        rhythm = self._rhythm
        newest = latest_checkpoint(self._folder)
        self._processes.wait()  # all look before one writes
        self._sweep()
        if newest is not None:
            self._load(newest)
            self._repair_best(newest)
            self._say(f"resumed at step {self.step} of {rhythm.steps}")
        if self._processes.is_main:
            forget_after(self._log, self.step)
            self._look_back()
        if self.step >= rhythm.steps:
            self._say(f"nothing left to train: step {self.step} of {rhythm.steps}")
        old_handlers = self._listen()
        try:
            with self._progress.task(f"training {self._title}", rhythm.steps) as bar:
                bar(self.step)
                if newest is None or self._is_unmeasured():
                    self._keep(is_due=bool(rhythm.quality_every))
                if newest is not None and (self.step == rhythm.steps or self.step % rhythm.grid_every == 0):
                    self._show()  # the run may have stopped between the step and its picture
                while self.step < rhythm.steps:
                    self._prepare()
                    self._clock = (time.monotonic(), self.step)
                    self._advance(bar)
        finally:
            for number, handler in old_handlers.items():
                signal.signal(number, handler)

    def _advance(self, bar: Bar) -> None:
        """Steps until the run ends, a signal comes, or it is rolled back."""
        rhythm = self._rhythm
        batches = prefetch(self._batches(self.step), PREFETCHED_BATCHES)
        while self.step < rhythm.steps:
            is_reported = (self.step + 1) % rhythm.report_every == 0
            try:
                self._take(batches, is_reported)
            except torch.OutOfMemoryError as error:
                raise UsageError(
                    f"the device has too little memory for a step ({str(error).splitlines()[0]})",
                    "a smaller --batch-size or --image-px; another --output, since it is another run",
                ) from error
            self.step += 1
            bar(1)
            is_end = self.step == rhythm.steps
            is_kept = is_end or self.step % rhythm.save_every == 0
            is_measured = bool(rhythm.quality_every) and (is_end or self.step % rhythm.quality_every == 0)
            is_shown = is_end or self.step % rhythm.grid_every == 0
            is_stopped = self._processes.any(self._is_stopping)
            if (is_reported or is_shown or is_kept or is_measured or is_stopped) and not self._is_finite():
                self._roll_back("the loss is not finite", bar)
                return
            if is_reported and self._report(bar, self._speed()) and self._rollbacks < MAX_ROLLBACKS:
                self._roll_back("collapsed", bar)
                return
            if is_stopped:
                self._save()
                raise StoppedBySignal
            if is_kept or is_measured:
                self._keep(is_measured)
            if is_shown:
                self._show()

    def _speed(self) -> float:
        """Steps a second since the last report."""
        then, since = self._clock
        now = time.monotonic()
        self._clock = (now, self.step)
        return (self.step - since) / max(now - then, 1e-9)

    # -- what is kept

    def _keep(self, is_due: bool) -> None:
        """Measure if it is due, save, keep the best and the newest two."""
        if self._processes.is_main:
            news = self._measured() if is_due else None
            if news is not None and news.is_best:
                self._best = news.row
            self._save()
            if news is not None and news.is_best:
                keep_as(checkpoint_path(self._folder, self.step), self._folder / BEST)
            if news is not None:
                append(self._log, news.row)
                self._say(f"step {self.step}: {news.text}" + (", the best so far" if news.is_best else ""))
            if self.step == 0:
                self._show()
        self._processes.wait()

    def _is_unmeasured(self) -> bool:
        """Whether the run stopped between a step that is to be measured and the measurement."""
        rhythm = self._rhythm
        is_due = bool(rhythm.quality_every) and (self.step % rhythm.quality_every == 0 or self.step == rhythm.steps)
        measured = measured_steps(self._log) if self._processes.is_main else set()
        return self._processes.any(self._processes.is_main and is_due and self.step not in measured)

    def _save(self) -> None:
        if not self._processes.is_main:
            return
        tensors, meta = self._state()
        own = {
            "step": self.step,
            "rollbacks": self._rollbacks,
            "best": self._best.model_dump(mode="json") if self._best else None,
        }
        write_checkpoint(checkpoint_path(self._folder, self.step), tensors, {**meta, **own})
        kept = {*self._regular()[-KEPT_CHECKPOINTS:], checkpoint_path(self._folder, self.step)}
        for old in set(checkpoints_of(self._folder)) - kept:
            old.unlink()

    def _regular(self) -> list[Path]:
        """Checkpoints that every run of this configuration has; not those of a stop, so that it changes no rollback."""
        every = (self._rhythm.save_every, self._rhythm.quality_every or self._rhythm.save_every)
        return [path for path in checkpoints_of(self._folder) if any(step_of(path) % n == 0 for n in every)]

    def _load(self, path: Path) -> None:
        tensors, meta = read_checkpoint(path)
        try:
            self._restore(tensors, meta)
            self.step, self._rollbacks = int(meta["step"]), int(meta["rollbacks"])
            self._best = self._measurement(meta["best"]) if meta["best"] else None
        except (KeyError, ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise WeightsError(
                f"{path} does not fit this run: {(str(error).splitlines() or [type(error).__name__])[0]}",
                "delete it to go on from the checkpoint before it, or use another --output",
            ) from error

    def _repair_best(self, newest: Path) -> None:
        """A kill between saving and keeping the best leaves an older one there. Where a run goes on, never after a return
        to an earlier checkpoint: the best may be of a step that was undone.
        """
        best = self._folder / BEST
        if not self._processes.is_main or self._best is None or self._best.step != self.step:
            return
        try:
            is_it = int(read_meta(best)["step"]) == self.step
        except (WeightsError, KeyError, ValueError, TypeError, OverflowError):  # missing, torn, or somebody else's
            is_it = False
        if not is_it:
            keep_as(newest, best)

    def _sweep(self) -> None:
        """Remove what a kill in the middle of writing a checkpoint left."""
        if self._processes.is_main:
            for torn in (self._folder / CHECKPOINTS).glob(".step-*.tmp"):
                torn.unlink(missing_ok=True)

    def _roll_back(self, why: str, bar: Bar) -> None:
        """To the older checkpoint, with other noise from there on."""
        at, rollbacks, best = self.step, self._rollbacks, self._best
        # A run that goes on with another save_every may have none but the one that it began from.
        regular = self._regular() or checkpoints_of(self._folder)
        if rollbacks >= MAX_ROLLBACKS:
            raise UsageError(f"{why} at step {at}, after {rollbacks} returns to earlier checkpoints", self.remedy)
        if not regular:
            raise UsageError(f"{why} at step {at}, and no checkpoint is left to return to", self.remedy)
        older = regular[-KEPT_CHECKPOINTS:][0]
        self._processes.wait()
        self._load(older)
        self._rollbacks, self._best = rollbacks + 1, best  # the best file stays what it is
        self._processes.wait()
        bar(self.step - at)
        if self._processes.is_main:
            for other in set(checkpoints_of(self._folder)) - {older}:
                other.unlink()
            forget_after(self._log, self.step)
            self._save()
            self._look_back()
        self._clock = (time.monotonic(), self.step)
        self._say(f"{why} at step {at}: rolled back to step {self.step}")

    # -- signals and words

    def _listen(self) -> dict[int, Any]:
        """Ctrl-C and a scheduler's SIGTERM let the step end and save. A second Ctrl-C stops at once."""

        def stop(number: int, _frame: FrameType | None) -> None:
            if self._is_stopping and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._is_stopping = True

        try:
            return {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: nobody presses Ctrl-C there
            return {}

    def _say(self, line: str) -> None:
        if self._processes.is_main:
            self._progress.say(line)
