"""Training of a swap: its game, step by step, with the preview, the words and the figures that belong to it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from forensics.common.progress import Bar, Progress
from generators.checkpoint import Tensors
from generators.faceswap.config import MAY_CHANGE
from generators.faceswap.measures import psnr, ssim
from generators.faceswap.training.curves import draw_curves
from generators.faceswap.training.game import SwapGame
from generators.faceswap.training.health import assess
from generators.faceswap.training.networks import PEOPLE
from generators.faceswap.training.preview import ROWS, resized, seen, sheet, spread_over
from generators.faceswap.training.run_record import SwapRun
from generators.faceswap.training.swapper import SYSTEM
from generators.faceswap.training.warp_pairs import Faces, Pairs, endless
from generators.loop import Loop, News, same_options
from generators.monitor.log import ReconstructionRow, SwapRow, append, read_swap_log
from generators.parallel import Processes
from generators.pictures import Pictures, write_png

PREVIEW = "preview.png"
# Held-out faces of each person that are looked at: more take seconds and say the same.
MOST_MEASURED = 64
# Of those that make pairs: Python lets one run at a time, and OpenCV the others.
MOST_THREADS = 4


class SwapTrainer(Loop[tuple[Pairs, ...], ReconstructionRow]):
    """Trains on two people's faces in a run folder, from its newest checkpoint on."""

    remedy = "begin again in another --output with a lower --learning-rate, or --precision float32"

    def __init__(
        self, run: SwapRun, faces: tuple[Faces, Faces], held_out: tuple[Pictures, Pictures], folder: Path,
        processes: Processes, progress: Progress,
    ) -> None:  # fmt: skip
        """held_out: aligned faces of each person, which no step sees; none at all are allowed."""
        super().__init__("a face swap", run.config, folder, processes, progress)
        self._run, self._config, self._faces = run, run.config, faces
        self._share = processes.share(run.config.batch_size)
        # Pictures of 64 px are too small for OpenCV to divide among threads of its own.
        self._pool = ThreadPoolExecutor(max(1, min(MOST_THREADS, torch.get_num_threads())), "pairs")
        self.game = SwapGame(run.config, run.precision, processes)
        self._held_out = tuple(
            seen(pictures[spread_over(len(pictures), min(MOST_MEASURED, len(pictures)))], run.config.image_px)
            for pictures in held_out
        ) if all(map(len, held_out)) else None  # fmt: skip
        self._shown = self._preview_faces()
        self._rows: list[SwapRow] = []  # of the log
        self._figures: list[ReconstructionRow] = []

    def _preview_faces(self) -> tuple[Pictures, Pictures]:
        """What previews show: held-out faces where there are some."""
        if self._held_out is not None:
            source, target = (pictures[spread_over(len(pictures), ROWS)] for pictures in self._held_out)
            return source, target
        source, target = (
            resized(faces.pictures[spread_over(len(faces), ROWS)], self._config.image_px) for faces in self._faces
        )
        return source, target

    # -- steps

    def _batches(self, step: int) -> Iterator[tuple[Pairs, ...]]:
        return endless(self._faces, self._config, step, self._rollbacks, self._share, self._pool)

    def _take(self, batches: Iterator[tuple[Pairs, ...]], is_reported: bool) -> None:
        source, target = next(batches)
        self.game.step(source, target)

    def _is_finite(self) -> bool:
        return self.game.is_finite()

    # -- what is said and shown

    def _report(self, bar: Bar, steps_per_s: float) -> bool:
        row = SwapRow(step=self.step, steps_per_s=steps_per_s, **self.game.take_totals())
        self._rows.append(row)
        if self._processes.is_main:
            append(self._log, row)
        words = assess(self._rows, self._figures)
        bar.describe(f"face swap: {words}")
        if self.step % self._config.grid_every == 0:
            self._say(f"step {self.step}: {words}")
        return False

    def _look_back(self) -> None:
        self._rows, self._figures = read_swap_log(self._log)

    def _show(self) -> None:
        if not self._processes.is_main:
            return
        picture = sheet(self.game.draw, *self._shown)
        write_png(self._folder / "previews" / f"step-{self.step:08d}.png", picture)
        write_png(self._folder / PREVIEW, picture)
        draw_curves(*read_swap_log(self._log), self._folder / "curves.png")

    # -- what is kept

    def _measured(self) -> News[ReconstructionRow] | None:
        if self._held_out is None:
            return None
        figures: dict[str, float] = {}
        for who, faces in enumerate(self._held_out):
            drawn, _ = self.game.draw(faces, who)
            figures[f"{PEOPLE[who]}_ssim"] = float(ssim(drawn, faces).mean())
            figures[f"{PEOPLE[who]}_psnr_db"] = float(psnr(drawn, faces).mean())
        row = ReconstructionRow(step=self.step, **figures)
        self._figures.append(row)
        text = (
            f"faces it never saw: source SSIM {row.source_ssim:.3f}, PSNR {row.source_psnr_db:.1f} dB; "
            f"target SSIM {row.target_ssim:.3f}, PSNR {row.target_psnr_db:.1f} dB"
        )
        return News(row, text, is_best=False)  # a swap's quality is not its reconstructions': the newest counts

    def _measurement(self, plain: Any) -> ReconstructionRow:
        return ReconstructionRow.model_validate(plain)

    def _state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, plain = self.game.state()
        meta = {
            "system": SYSTEM,
            "preset": self._run.preset,
            "config": self._config.model_dump(mode="json"),
            "precision": self._run.precision,
            "people": {name: getattr(self._run, name).model_dump(mode="json", exclude={"folder"}) for name in PEOPLE},
            "game": plain,
        }
        return tensors, meta

    def _restore(self, tensors: Tensors, meta: dict[str, Any]) -> None:
        # What was asked of the precision may be "auto", which the run has found out.
        same_options(meta["config"], self._config.model_dump(mode="json"), MAY_CHANGE | {"precision"})
        for who in PEOPLE:
            if meta["people"][who]["sha256"] != getattr(self._run, who).sha256:
                raise ValueError(f"it is of a run on other faces of the {who}")
        self.game.load_state(tensors, meta["game"])
