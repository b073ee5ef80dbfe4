"""Training without pairs: its game, step by step, with the sheet, the words and the figures that belong to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forensics.common.progress import Progress
from generators.faceswap.measures import psnr, ssim
from generators.loop import News
from generators.monitor.log import CycleRow, RoundTripRow, read_cycle_log
from generators.parallel import Processes
from generators.translation.curves import draw_cycle_curves
from generators.translation.cycle_game import CycleGame
from generators.translation.domains import Domains, Judged, endless, judged
from generators.translation.pairs import Pairs
from generators.translation.run_record import TranslationRun
from generators.translation.trainer import DRAWN, SHEET_ROWS, WORST_GUESSING, TranslatorTrainer, spread
from generators.translator import Translator


class CycleTrainer(TranslatorTrainer[RoundTripRow]):
    """Trains on two sets of pictures in a run folder, from its newest checkpoint on."""

    remedy = "begin again in another --output with lower rates, or --precision float32"
    game: CycleGame

    def __init__(
        self, translator: Translator, run: TranslationRun, source: Domains, held_out: Domains, folder: Path,
        processes: Processes, progress: Progress,
    ) -> None:  # fmt: skip
        """held_out: pictures that no step sees; none at all are allowed."""
        game = CycleGame(translator, run.config, run.precision, processes)
        super().__init__(translator, run, game, folder, processes, progress)
        self._source = source
        n = min(len(held_out), run.config.quality_pictures)
        self._held_out = judged(held_out, run.config, spread(len(held_out), n)) if n else None
        shown = held_out if len(held_out) else source
        self._shown = judged(shown, run.config, spread(len(shown), min(len(shown), SHEET_ROWS)))
        self._last: RoundTripRow | None = None

    # -- steps

    def _batches(self, step: int) -> Iterator[Pairs]:
        return endless(self._source, self._config, step, self._rollbacks, self._share, self._pool)

    # -- what is said and shown

    def _news(self, steps_per_s: float) -> tuple[CycleRow, str]:
        row = CycleRow(step=self.step, steps_per_s=steps_per_s, **self.game.take_totals())
        return row, in_words(row, self._last)

    def _look_back(self) -> None:
        trips = read_cycle_log(self._log)[1]
        self._last = trips[-1] if trips else None

    def _show(self) -> None:
        """Rows of a picture of the first set, what it becomes, and that on the way back; likewise of the second; curves."""
        if not self._processes.is_main:
            return
        self._write_sheet(_there_and_back(self.game, self._shown))
        draw_cycle_curves(*read_cycle_log(self._log), self._folder / "curves.png")

    # -- what is kept

    def _measured(self) -> News[RoundTripRow] | None:
        pictures = self._held_out
        if pictures is None:
            return None
        first, drawn_second, first_again, second, _, second_again = _there_and_back(self.game, pictures)
        has_truth = pictures.has_truth
        row = RoundTripRow(
            step=self.step,
            first_psnr_db=float(psnr(first_again, first).mean()),
            second_psnr_db=float(psnr(second_again, second).mean()),
            psnr_db=float(psnr(drawn_second, second).mean()) if has_truth else None,
            ssim=float(ssim(drawn_second, second).mean()) if has_truth else None,
            before_psnr_db=float(psnr(first, second).mean()) if has_truth else None,
            before_ssim=float(ssim(first, second).mean()) if has_truth else None,
        )
        self._last = row
        # The way there and back says nothing of whether what lies between is of the other set: the newest counts.
        return News(row, f"{len(first)} pictures it never saw: {trip_in_words(row)}", is_best=False)

    def _measurement(self, plain: Any) -> RoundTripRow:
        return RoundTripRow.model_validate(plain)


def _there_and_back(game: CycleGame, pictures: Judged) -> tuple[NDArray[np.uint8], ...]:
    """First set, drawn of it, back again; second set, drawn of it, there again."""

    def drawn(given: NDArray[np.uint8], is_back: bool) -> NDArray[np.uint8]:
        return np.concatenate([game.draw(given[i : i + DRAWN], is_back) for i in range(0, len(given), DRAWN)])

    there, back = drawn(pictures.first, False), drawn(pictures.second, True)
    return pictures.first, there, drawn(there, True), pictures.second, back, drawn(back, False)


def in_words(row: CycleRow, last: RoundTripRow | None) -> str:
    """How it goes, in a line."""
    sure = "guess" if row.accuracy < WORST_GUESSING else f"are right about {row.accuracy:.0%}"
    words = [f"there and back L1 {row.cycle:.3f}", f"the critics {sure}"]
    if last is not None and last.psnr_db is not None:
        words.append(f"{last.psnr_db:.1f} dB to what is wanted on unseen pictures")
    return ", ".join([*words, f"{row.steps_per_s:.1f} steps/s"])


def trip_in_words(row: RoundTripRow) -> str:
    """Figures of a measurement, in a line."""
    text = f"there and back {row.first_psnr_db:.2f} dB, back and there {row.second_psnr_db:.2f} dB"
    if row.psnr_db is None:
        return text
    return (
        f"{text}; to what is wanted PSNR {row.psnr_db:.2f} dB (the inputs {row.before_psnr_db:.2f}), SSIM {row.ssim:.3f} "
        f"({row.before_ssim:.3f})"
    )
