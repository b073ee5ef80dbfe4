"""Training of a translator: its game, step by step, with the sheet, the words and the figures that belong to it."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.progress import Bar, Progress
from generators.checkpoint import Tensors
from generators.faceswap.measures import psnr, ssim
from generators.loop import Loop, News, same_options
from generators.monitor.grid import tile
from generators.monitor.log import Entry, LikenessRow, Measurement, TranslationRow, append, read_translation_log
from generators.parallel import Processes
from generators.pictures import write_png
from generators.translation.curves import draw_curves
from generators.translation.game import FeatureExtractor, PairedGame
from generators.translation.non_local_means import best_strength
from generators.translation.pairs import Pairs, Source, endless, judged
from generators.translation.run_record import TranslationRun
from generators.translation_config import MAY_CHANGE
from generators.translator import Translator

SHEET, SHEET_ROWS, SHEET_PAIRS, SHEET_COLUMNS = "grid.png", 6, 2, 6
# Of those that make pairs: Python lets one run at a time, and OpenCV the others.
MOST_THREADS = 4
# Pictures that are drawn together where figures are measured.
DRAWN = 8
WORST_GUESSING = 0.55
M = TypeVar("M", bound=Measurement)


class TranslatorGame(Protocol):
    """What a trainer asks of a game."""

    def step(self, pictures: Pairs, step: int, rollbacks: int) -> None: ...
    def is_finite(self) -> bool: ...
    def state(self) -> tuple[Tensors, dict[str, Any]]: ...
    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None: ...


class TranslatorTrainer(Loop[Pairs, M]):
    """What all trainers of translators have in common: steps, and what a checkpoint holds."""

    game: TranslatorGame

    def __init__(
        self, translator: Translator, run: TranslationRun, game: TranslatorGame, folder: Path, processes: Processes,
        progress: Progress,
    ) -> None:  # fmt: skip
        super().__init__(translator.name, run.config, folder, processes, progress)
        self._translator, self._run, self._config, self.game = translator, run, run.config, game
        self._share = processes.share(run.config.batch_size)
        self._pool = ThreadPoolExecutor(max(1, min(MOST_THREADS, torch.get_num_threads())), "pairs")

    def _take(self, batches: Iterator[Pairs], is_reported: bool) -> None:
        self.game.step(next(batches), self.step, self._rollbacks)

    def _is_finite(self) -> bool:
        return self.game.is_finite()

    @abstractmethod
    def _news(self, steps_per_s: float) -> tuple[Entry, str]:
        """How it went since the last call: a line of the log, and in words."""

    def _report(self, bar: Bar, steps_per_s: float) -> bool:
        row, words = self._news(steps_per_s)
        if self._processes.is_main:
            append(self._log, row)
        bar.describe(f"{self._title}: {words}")
        if self.step % self._config.grid_every == 0:
            self._say(f"step {self.step}: {words}")
        return False

    def _write_sheet(self, columns: Sequence[NDArray[np.uint8]]) -> None:
        """Pictures of several columns side by side, row by row: as the sheet of this step, and as the newest."""
        rows = [np.stack(row) for row in zip(*columns, strict=True)]
        sheet = tile(np.concatenate(rows), SHEET_COLUMNS)
        write_png(self._folder / "grids" / f"step-{self.step:08d}.png", sheet)
        write_png(self._folder / SHEET, sheet)

    def _state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, plain = self.game.state()
        meta = {
            "system": self._translator.name,
            "preset": self._run.preset,
            "config": self._config.model_dump(mode="json"),
            "precision": self._run.precision,
            "data": self._run.data.model_dump(mode="json", include={"name", "sha256", "pictures"}),
            "perceptual": self._run.perceptual,
            "game": plain,
        }
        return tensors, meta

    def _restore(self, tensors: Tensors, meta: dict[str, Any]) -> None:
        # What was asked of the precision may be "auto", which the run has found out.
        same_options(meta["config"], self._config.model_dump(mode="json"), MAY_CHANGE | {"precision"})
        if meta["data"]["sha256"] != self._run.data.sha256:
            raise ValueError("it is of a run on other pictures")
        self.game.load_state(tensors, meta["game"])


class PairedTrainer(TranslatorTrainer[LikenessRow]):
    """Trains on pairs in a run folder, from its newest checkpoint on."""

    remedy = (
        "begin again in another --output with a lower --learning-rate-g or --adversarial-weight, or --precision float32"
    )
    game: PairedGame

    def __init__(
        self, translator: Translator, run: TranslationRun, source: Source, held_out: Source, folder: Path,
        processes: Processes, progress: Progress, extractor: FeatureExtractor | None = None,
    ) -> None:  # fmt: skip
        """held_out: pictures that no step sees; none at all are allowed."""
        game = PairedGame(translator, run.config, run.precision, processes, extractor)
        super().__init__(translator, run, game, folder, processes, progress)
        self._source = source
        n = min(len(held_out), run.config.quality_pictures)
        self._held_out = judged(held_out, run.config, spread(len(held_out), n)) if n else None
        shown = held_out if len(held_out) else source
        self._shown = judged(shown, run.config, spread(len(shown), min(len(shown), SHEET_ROWS * SHEET_PAIRS)))
        self._last: LikenessRow | None = None

    # -- steps

    def _batches(self, step: int) -> Iterator[Pairs]:
        return endless(self._source, self._config, step, self._rollbacks, self._share, self._pool)

    # -- what is said and shown

    def _news(self, steps_per_s: float) -> tuple[TranslationRow, str]:
        row = TranslationRow(step=self.step, steps_per_s=steps_per_s, **self.game.take_totals())
        return row, in_words(row, self._last)

    def _look_back(self) -> None:
        likenesses = read_translation_log(self._log)[1]
        self._last = likenesses[-1] if likenesses else None

    def _show(self) -> None:
        """Rows of input, output and target; and the curves."""
        if not self._processes.is_main:
            return
        pairs = self._shown
        self._write_sheet((enlarged(pairs.given, pairs.target), self._drawn(pairs), pairs.target))
        draw_curves(*read_translation_log(self._log), self._folder / "curves.png")

    def _drawn(self, pairs: Pairs) -> NDArray[np.uint8]:
        parts = [self.game.draw(pairs.given[i : i + DRAWN]) for i in range(0, len(pairs.given), DRAWN)]
        return np.concatenate(parts)

    # -- what is kept

    def _measured(self) -> News[LikenessRow] | None:
        pairs = self._held_out
        if pairs is None:
            return None
        drawn, before = self._drawn(pairs), enlarged(pairs.given, pairs.target)
        row = LikenessRow(
            step=self.step,
            psnr_db=float(psnr(drawn, pairs.target).mean()),
            ssim=float(ssim(drawn, pairs.target).mean()),
            before_psnr_db=float(psnr(before, pairs.target).mean()),
            before_ssim=float(ssim(before, pairs.target).mean()),
            nlm_psnr_db=self._nlm_psnr_db,
        )
        self._last = row
        # With an adversary the least error is not what is wanted: the newest counts.
        is_best = self.step > 0 and not self._config.adversarial_weight
        is_best = is_best and (self._best is None or row.psnr_db > self._best.psnr_db)
        return News(row, f"{len(pairs.given)} pictures it never saw: {likeness_in_words(row)}", is_best)

    @cached_property
    def _nlm_psnr_db(self) -> float | None:
        """Of non-local means at the strength that is best for these pictures: what denoising is to surpass."""
        if self._held_out is None or self._config.task != "denoise":
            return None
        return best_strength(self._held_out.given, self._held_out.target)[1]

    def _measurement(self, plain: Any) -> LikenessRow:
        return LikenessRow.model_validate(plain)


def likeness_in_words(row: LikenessRow) -> str:
    """Figures of a measurement, in a line."""
    rival = f", non-local means {row.nlm_psnr_db:.2f}" if row.nlm_psnr_db is not None else ""
    like = f"SSIM {row.ssim:.3f} ({row.before_ssim:.3f})"
    return f"PSNR {row.psnr_db:.2f} dB (the inputs {row.before_psnr_db:.2f}{rival}), {like}"


def in_words(row: TranslationRow, last: LikenessRow | None) -> str:
    """How it goes, in a line."""
    words = [f"L1 {row.l1:.4f}"]
    if row.accuracy == row.accuracy:  # there is a discriminator, and it plays
        sure = "guesses" if row.accuracy < WORST_GUESSING else f"is right about {row.accuracy:.0%}"
        words.append(f"the discriminator {sure}")
    if last is not None:
        words.append(f"{last.psnr_db - last.before_psnr_db:+.2f} dB to the inputs on unseen pictures")
    return ", ".join([*words, f"{row.steps_per_s:.1f} steps/s"])


def enlarged(given: NDArray[np.uint8], target: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inputs at the side of their targets, (N, S, S, 3) uint8, by cubic interpolation."""
    height, width = target.shape[1:3]
    if given.shape == target.shape:
        return given
    return np.stack([cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC) for picture in given])


def spread(n: int, chosen: int) -> list[int]:
    """`chosen` of n indices, evenly spread."""
    return [int(i) for i in np.linspace(0, n - 1, chosen).round()] if chosen else []
