"""One trainer for every system: the loop, its checkpoints, and what is said and shown while it runs.

A run that was killed and resumed takes the same steps as one that was not, bit for bit on one machine: every draw is a
function of (seed, rollbacks, step), and a checkpoint holds all else. Losses or weights that are not finite, and samples
that have collapsed, roll the run back to its older checkpoint and let it draw other noise; three times at most.
"""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from forensics.common.errors import UsageError, WeightsError
from forensics.common.prefetch import prefetch
from forensics.common.progress import Bar, Progress
from generators.checkpoint import (
    BEST,
    checkpoint_path,
    checkpoints_of,
    keep_as,
    latest_checkpoint,
    read_checkpoint,
    read_meta,
    step_of,
    write_checkpoint,
)  # fmt: skip
from generators.config import GanConfig
from generators.data.order import batch_indices
from generators.data.pictures import Pictures
from generators.drawing import draw_latents
from generators.game import Game, Reals
from generators.monitor.curves import draw_curves
from generators.monitor.grid import tile
from generators.monitor.health import State, assess
from generators.monitor.log import QualityRow, Row, append, forget_after, read_log
from generators.parallel import Processes
from generators.pictures import to_uint8, write_png
from generators.quality.probe import KidProbe
from generators.run_folder import LOG_FILE, RunRecord
from generators.system import System

KEPT_CHECKPOINTS = 2
GRID_PICTURES, GRID_COLUMNS = 64, 8
MAX_ROLLBACKS = 3
PREFETCHED_BATCHES = 2
DRAW_BATCH = 64
# Streams of the seed for pictures that are shown and measured: the same noise at every step of the run.
GRID_SEED_OFFSET, PROBE_SEED_OFFSET = 1, 2


class StoppedBySignal(Exception):  # noqa: N818  (a stop, not an error)
    """A signal asked to stop, and the step it stopped after is saved."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps taken in all, and its KIDs."""

    step: int
    first: QualityRow | None
    last: QualityRow | None
    best: QualityRow | None


class Trainer:
    """Trains one system on pictures in a run folder, from its newest checkpoint on."""

    def __init__(
        self, system: System, run: RunRecord, pictures: Pictures, folder: Path, processes: Processes,
        probe: KidProbe | None, progress: Progress,
    ) -> None:  # fmt: skip
        self._system, self._run, self._pictures, self._folder = system, run, pictures, folder
        self._processes, self._probe, self._progress = processes, probe, progress
        self._config: GanConfig = run.config
        self._share = processes.share(run.config.batch_size)
        self.game = Game(system, run.config, run.precision, len(pictures), processes)
        self.step, self._warm_ups, self._is_warm, self._rollbacks = 0, 0, run.config.d_warmup_steps == 0, 0
        self._best: QualityRow | None = None
        self._log = folder / LOG_FILE
        self._rows: list[Row] = []  # of the log
        self._is_stopping = False
        self._state = State.STARTING
        self._clock = (time.monotonic(), 0)

    def run(self) -> Outcome:
        """Take all steps that are left. Raises StoppedBySignal after saving, when a signal asked for it."""
        config = self._config
        newest = latest_checkpoint(self._folder)
        self._processes.wait()  # all look before one writes
        if newest is not None:
            self._load(newest)
            self._say(f"resumed at step {self.step} of {config.steps}")
        if self._processes.is_main:
            forget_after(self._log, self.step)
            self._rows = read_log(self._log)[0]
        if self.step >= config.steps:
            self._say(f"nothing left to train: step {self.step} of {config.steps}")
        old_handlers = self._listen()
        try:
            with self._progress.task(f"training {self._system.name}", config.steps) as bar:
                bar(self.step)
                if newest is None or self._is_unmeasured():
                    self._keep(is_due=True)
                while self.step < config.steps:
                    self._warm_up()
                    self._clock = (time.monotonic(), self.step)
                    self._advance(bar)
        finally:
            for number, handler in old_handlers.items():
                signal.signal(number, handler)
        _, qualities = read_log(self._log)
        return Outcome(self.step, *_ends(qualities), self._best)

    # -- steps

    def _advance(self, bar: Bar) -> None:
        """Steps until the run ends, a signal comes, or it is rolled back."""
        config = self._config
        reals = prefetch(self._batches(self.step * config.d_steps), PREFETCHED_BATCHES)
        while self.step < config.steps:
            is_reported = (self.step + 1) % config.report_every == 0
            self.game.step(reals, self.step, self._rollbacks, is_reported)
            self.step += 1
            bar(1)
            is_end = self.step == config.steps
            is_kept = is_end or self.step % config.save_every == 0
            is_measured = bool(config.quality_every) and (is_end or self.step % config.quality_every == 0)
            is_shown = is_end or self.step % config.grid_every == 0
            is_stopped = self._processes.any(self._is_stopping)
            if (is_reported or is_shown or is_kept or is_measured or is_stopped) and not self.game.is_finite():
                self._roll_back("the loss is not finite", bar)
                return
            if is_reported and self._report(bar) and self._rollbacks < MAX_ROLLBACKS:
                self._roll_back("collapsed", bar)
                return
            if is_stopped:
                self._save()
                raise StoppedBySignal
            if is_kept or is_measured:
                self._keep(is_measured)
            if is_shown:
                self._show()

    def _warm_up(self) -> None:
        config = self._config
        if self._is_warm or self.step:
            return
        reals = prefetch(self._batches(0, config.seed + 1), PREFETCHED_BATCHES)
        while not self._is_warm and self._warm_ups < config.d_warmup_steps:
            self._is_warm = self.game.warm_up(reals, self._warm_ups, self._rollbacks)
            self._warm_ups += 1
            if self._processes.any(self._is_stopping):  # step 0 is saved, and the warm-up is the same when done again
                raise StoppedBySignal
        self._say(f"discriminator warmed up for {self._warm_ups} steps")
        self._is_warm = True

    def _batches(self, first: int, seed: int | None = None) -> Iterator[Reals]:
        """Batches of this process from one number on, without end; the order is a function of (seed, number)."""
        number, seed = first, self._config.seed if seed is None else seed
        while True:
            indices = batch_indices(len(self._pictures), self._config.batch_size, number, seed)[self._share]
            yield Reals(self._pictures.batch(indices), self._pictures.labels[indices])
            number += 1

    # -- what is said and shown

    def _report(self, bar: Bar) -> bool:
        """Log, say, and tell whether the samples have collapsed: the main process, which has the whole log, decides."""
        loss_d, loss_g, right_real, right_fake = self.game.take_totals()
        then, since = self._clock
        now = time.monotonic()
        self._clock = (now, self.step)
        spread = float(self._processes.mean(torch.tensor(self.game.last_diversity, device=self._processes.device)))
        row = Row(
            step=self.step, loss_d=loss_d, loss_g=loss_g, accuracy_real=right_real, accuracy_fake=right_fake,
            diversity=spread, steps_per_s=(self.step - since) / max(now - then, 1e-9),
        )  # fmt: skip
        self._rows.append(row)
        if self._processes.is_main:
            append(self._log, row)
        health = assess(self._rows)
        bar.describe(f"{self._system.name}: {health.text}")
        if self.step % self._config.grid_every == 0 or health.state is not self._state:
            self._say(f"step {self.step}: {health.text}")
        self._state = health.state
        return self._processes.any(self._processes.is_main and health.state is State.COLLAPSED)

    def _show(self) -> None:
        """The grid from fixed latents, and the curves."""
        if not self._processes.is_main:
            return
        pictures = np.concatenate(list(self._drawn(GRID_PICTURES, self._config.seed + GRID_SEED_OFFSET)))
        sheet = tile(pictures, GRID_COLUMNS)
        write_png(self._folder / "grids" / f"step-{self.step:08d}.png", sheet)
        write_png(self._folder / "grid.png", sheet)
        draw_curves(*read_log(self._log), self._folder / "curves.png")

    @torch.no_grad()
    def _drawn(self, n: int, seed: int) -> Iterator[np.ndarray]:
        """(B, S, S, 3) uint8 by the averaged generator; classes, or generators, take turns."""
        config, network = self._config, self.game.average
        kinds = {"none": 0, "class": config.classes, "generator": config.generators}[self._system.condition]
        for start in range(0, n, DRAW_BATCH):
            size = min(DRAW_BATCH, n - start)
            z = torch.from_numpy(draw_latents(size, config.latent, seed, start=start)).to(self._processes.device)
            y = (torch.arange(start, start + size) % kinds).to(z.device) if kinds else None
            yield to_uint8(network(z, y))

    # -- what is kept

    def _keep(self, is_due: bool) -> None:
        """Measure if it is due, save, keep the best and the newest two."""
        if self._processes.is_main:
            row = self._measured(self._probe) if is_due and self._probe is not None else None
            best = self._best if row is not None and self._best and self._best.extractor == row.extractor else None
            # An untrained generator's grey may be nearer to the data than its first attempts: it is no candidate.
            is_best = row is not None and self.step > 0 and (best is None or row.kid < best.kid)
            if is_best:
                self._best = row
            self._save()
            if is_best:
                keep_as(checkpoint_path(self._folder, self.step), self._folder / BEST)
            if row is not None:
                append(self._log, row)
                self._say(
                    f"step {self.step}: kid[{row.extractor}] {row.kid:.4f} [{row.low:.4f}, {row.high:.4f}]"
                    + (", the best so far" if is_best else "")
                )
            if self.step == 0:
                self._show()
        self._processes.wait()

    def _is_unmeasured(self) -> bool:
        """Whether the run stopped between a step whose KID is due and the KID."""
        config = self._config
        is_due = bool(config.quality_every) and (self.step % config.quality_every == 0 or self.step == config.steps)
        measured = {row.step for row in read_log(self._log)[1]} if self._processes.is_main else set()
        return self._processes.any(self._processes.is_main and is_due and self.step not in measured)

    def _measured(self, probe: KidProbe) -> QualityRow:
        n = self._config.quality_samples
        value, low, high = probe.kid(self._drawn(n, self._config.seed + PROBE_SEED_OFFSET))
        return QualityRow(step=self.step, kid=value, low=low, high=high, extractor=probe.name)

    def _save(self) -> None:
        if not self._processes.is_main:
            return
        tensors, plain = self.game.state()
        meta = {
            "system": self._system.name,
            "preset": self._run.preset,
            "config": self._config.model_dump(mode="json"),
            "precision": self._run.precision,
            "step": self.step,
            "data": self._run.data.model_dump(mode="json", include={"name", "sha256", "pictures"}),
            "class_names": list(self._run.data.class_names),
            "view": self._run.data.view,
            "warm_ups": self._warm_ups,
            "is_warm": self._is_warm,
            "rollbacks": self._rollbacks,
            "best": self._best.model_dump(mode="json") if self._best else None,
            "game": plain,
        }
        write_checkpoint(checkpoint_path(self._folder, self.step), tensors, meta)
        kept = {*self._regular()[-KEPT_CHECKPOINTS:], checkpoint_path(self._folder, self.step)}
        for old in set(checkpoints_of(self._folder)) - kept:
            old.unlink()

    def _regular(self) -> list[Path]:
        """Checkpoints that every run of this configuration has; not those of a stop, so that it changes no rollback."""
        every = (self._config.save_every, self._config.quality_every or self._config.save_every)
        return [path for path in checkpoints_of(self._folder) if any(step_of(path) % n == 0 for n in every)]

    def _load(self, path: Path) -> None:
        tensors, meta = read_checkpoint(path)
        try:
            self.game.load_state(tensors, meta["game"])
            self.step, self._rollbacks = int(meta["step"]), int(meta["rollbacks"])
            self._warm_ups, self._is_warm = int(meta["warm_ups"]), bool(meta["is_warm"])
            self._best = QualityRow.model_validate(meta["best"]) if meta["best"] else None
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise WeightsError(
                f"{path} does not fit this run: {str(error).splitlines()[0]}",
                "delete it to go on from the checkpoint before it",
            ) from error
        self._repair_best(path)

    def _repair_best(self, newest: Path) -> None:
        """A kill between saving and keeping the best leaves an older one there."""
        best = self._folder / BEST
        if not self._processes.is_main or self._best is None or self._best.step != self.step:
            return
        if not best.exists() or int(read_meta(best)["step"]) != self.step:
            keep_as(newest, best)

    def _roll_back(self, why: str, bar: Bar) -> None:
        """To the older checkpoint, with other noise from there on."""
        at, rollbacks, best = self.step, self._rollbacks, self._best
        older = self._regular()[-KEPT_CHECKPOINTS:][0]
        if rollbacks >= MAX_ROLLBACKS:
            raise UsageError(
                f"{why} at step {at}, after {rollbacks} returns to earlier checkpoints",
                "begin again in another --output with a lower --learning-rate-g and --learning-rate-d, --spectral-norm, "
                "or --precision float32",
            )
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
        self._rows = [row for row in self._rows if row.step <= self.step]
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


def _ends(qualities: list[QualityRow]) -> tuple[QualityRow | None, QualityRow | None]:
    return (qualities[0], qualities[-1]) if qualities else (None, None)
