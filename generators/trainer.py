"""Training of a GAN: its game, step by step, with the noise, the words and the KID that belong to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from forensics.common.prefetch import prefetch
from forensics.common.progress import Bar, Progress
from generators.checkpoint import Tensors
from generators.config import MAY_CHANGE, GanConfig
from generators.data.order import batch_indices
from generators.data.pictures import Pictures
from generators.drawing import draw_latents
from generators.game import Game, Reals
from generators.loop import PREFETCHED_BATCHES, Loop, News, StoppedBySignal, same_options
from generators.monitor.curves import draw_curves
from generators.monitor.grid import tile
from generators.monitor.health import State, assess
from generators.monitor.log import QualityRow, Row, append, read_log
from generators.parallel import Processes
from generators.pictures import to_uint8, write_png
from generators.quality.probe import KidProbe
from generators.run_folder import RunRecord
from generators.system import System

GRID_PICTURES, GRID_COLUMNS = 64, 8
DRAW_BATCH = 64
# Streams of the seed for pictures that are shown and measured: the same noise at every step of the run.
GRID_SEED_OFFSET, PROBE_SEED_OFFSET = 1, 2


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps taken in all, and its KIDs."""

    step: int
    first: QualityRow | None
    last: QualityRow | None
    best: QualityRow | None


class Trainer(Loop[Reals, QualityRow]):
    """Trains one system on pictures in a run folder, from its newest checkpoint on."""

    remedy = (
        "begin again in another --output with a lower --learning-rate-g and --learning-rate-d, --spectral-norm, "
        "or --precision float32"
    )

    def __init__(
        self, system: System, run: RunRecord, pictures: Pictures, folder: Path, processes: Processes,
        probe: KidProbe | None, progress: Progress,
    ) -> None:  # fmt: skip
        super().__init__(system.name, run.config, folder, processes, progress)
        self._system, self._run, self._pictures, self._probe = system, run, pictures, probe
        self._config: GanConfig = run.config
        self._share = processes.share(run.config.batch_size)
        self.game = Game(system, run.config, run.precision, len(pictures), processes)
        self._warm_ups, self._is_warm = 0, run.config.d_warmup_steps == 0
        self._rows: list[Row] = []  # of the log
        self._health = State.STARTING

    def run(self) -> Outcome:
        """Take all steps that are left. Raises StoppedBySignal after saving, when a signal asked for it."""
        self.train()
        _, qualities = read_log(self._log)
        return Outcome(self.step, *_ends(qualities), self._best)

    # -- steps

    def _prepare(self) -> None:
        """Warm the discriminator up."""
        config = self._config
        if self._is_warm or self.step:
            return
        reals = prefetch(self._reals(0, config.seed + 1), PREFETCHED_BATCHES)
        while not self._is_warm and self._warm_ups < config.d_warmup_steps:
            self._is_warm = self.game.warm_up(reals, self._warm_ups, self._rollbacks)
            self._warm_ups += 1
            if self._processes.any(self._is_stopping):  # step 0 is saved, and the warm-up is the same when done again
                raise StoppedBySignal
        self._say(f"discriminator warmed up for {self._warm_ups} steps")
        self._is_warm = True

    def _batches(self, step: int) -> Iterator[Reals]:
        return self._reals(step * self._config.d_steps, self._config.seed)

    def _reals(self, first: int, seed: int) -> Iterator[Reals]:
        """Batches of this process from one number on, without end; the order is a function of (seed, number)."""
        number = first
        while True:
            indices = batch_indices(len(self._pictures), self._config.batch_size, number, seed)[self._share]
            yield Reals(self._pictures.batch(indices), self._pictures.labels[indices])
            number += 1

    def _take(self, batches: Iterator[Reals], is_reported: bool) -> None:
        self.game.step(batches, self.step, self._rollbacks, is_reported)

    def _is_finite(self) -> bool:
        return self.game.is_finite()

    # -- what is said and shown

    def _report(self, bar: Bar, steps_per_s: float) -> bool:
        """Log, say, and tell whether the samples have collapsed: the main process, which has the whole log, decides."""
        totals = self.game.take_totals()
        spread = float(self._processes.mean(torch.tensor(self.game.last_diversity, device=self._processes.device)))
        row = Row(
            step=self.step, diversity=spread, steps_per_s=steps_per_s, **totals,
        )  # fmt: skip
        self._rows.append(row)
        if self._processes.is_main:
            append(self._log, row)
        health = assess(self._rows)
        bar.describe(f"{self._system.name}: {health.text}")
        if self.step % self._config.grid_every == 0 or health.state is not self._health:
            self._say(f"step {self.step}: {health.text}")
        self._health = health.state
        return self._processes.any(self._processes.is_main and health.state is State.COLLAPSED)

    def _look_back(self) -> None:
        self._rows = read_log(self._log)[0]

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

    def _measured(self) -> News[QualityRow] | None:
        if self._probe is None:
            return None
        config, probe = self._config, self._probe
        value, low, high = probe.kid(self._drawn(config.quality_samples, config.seed + PROBE_SEED_OFFSET))
        row = QualityRow(step=self.step, kid=value, low=low, high=high, extractor=probe.name)
        before = self._best if self._best and self._best.extractor == row.extractor else None
        # An untrained generator's grey may be nearer to the data than its first attempts: it is no candidate.
        is_best = self.step > 0 and (before is None or row.kid < before.kid)
        return News(row, f"kid[{row.extractor}] {row.kid:.4f} [{row.low:.4f}, {row.high:.4f}]", is_best)

    def _measurement(self, plain: Any) -> QualityRow:
        return QualityRow.model_validate(plain)

    def _state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, plain = self.game.state()
        meta = {
            "system": self._system.name,
            "preset": self._run.preset,
            "config": self._config.model_dump(mode="json"),
            "precision": self._run.precision,
            "data": self._run.data.model_dump(mode="json", include={"name", "sha256", "pictures"}),
            "class_names": list(self._run.data.class_names),
            "view": self._run.data.view,
            "warm_ups": self._warm_ups,
            "is_warm": self._is_warm,
            "game": plain,
        }
        return tensors, meta

    def _restore(self, tensors: Tensors, meta: dict[str, Any]) -> None:
        # What was asked of the precision may be "auto", which the run has found out.
        same_options(meta["config"], self._config.model_dump(mode="json"), MAY_CHANGE | {"precision"})
        if meta["data"]["sha256"] != self._run.data.sha256:
            raise ValueError("it is of a run on other pictures")
        self.game.load_state(tensors, meta["game"])
        self._warm_ups, self._is_warm = int(meta["warm_ups"]), bool(meta["is_warm"])


def _ends(qualities: list[QualityRow]) -> tuple[QualityRow | None, QualityRow | None]:
    return (qualities[0], qualities[-1]) if qualities else (None, None)
