"""What `train-translator` and `resume` say of a run at its end."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.common.errors import UsageError
from generators.launch import is_first_process

if TYPE_CHECKING:
    from generators.translation.training import Trainer


def show_training(trainer: "Trainer", folder: Path) -> None:
    """Steps, figures of the last measurement, and of the best where it is another; what to do next."""
    if not is_first_process():
        return
    from generators.monitor.log import read_cycle_log, read_translation_log
    from generators.run_folder import LOG_FILE
    from generators.translation.cycle_trainer import trip_in_words
    from generators.translation.run_record import read_translation_run
    from generators.translation.trainer import likeness_in_words
    from generators.translator import is_two_way

    run = read_translation_run(folder)
    if run is None:
        raise UsageError(f"{folder} lost its run.json", "was it deleted?")
    click.echo(f"{run.system}: {trainer.step} steps on {run.data.pictures} pictures, {run.config.image_px} px of each")
    measured = min(run.held_out, run.config.quality_pictures)
    likenesses, trips = read_translation_log(folder / LOG_FILE)[1], read_cycle_log(folder / LOG_FILE)[1]
    for trip in trips[-1:]:
        click.echo(f"{measured} pictures it never saw, step {trip.step}: {trip_in_words(trip)}")
    for row in likenesses[-1:]:
        click.echo(f"{measured} pictures it never saw, step {row.step}: {likeness_in_words(row)}")
    best = max(likenesses, key=lambda row: row.psnr_db, default=None)
    if best is not None and best.step != likenesses[-1].step and not run.config.adversarial_weight:
        click.echo(f"the best, which is applied: step {best.step}, PSNR {best.psnr_db:.2f} dB, SSIM {best.ssim:.3f}")
    click.echo(f"apply it: forensics generate translate PICTURES --model {folder} --output DIR")
    if is_two_way(run.system):
        click.echo("the way back: the same with --direction back")
