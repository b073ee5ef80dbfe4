"""What `train`, `swap` and `resume` say about a finished training."""

from pathlib import Path

import click

from generators.faceswap.training.health import assess
from generators.faceswap.training.run_record import read_swap_run
from generators.faceswap.training.trainer import PREVIEW, SwapTrainer
from generators.launch import is_first_process
from generators.monitor.log import read_swap_log
from generators.run_folder import LOG_FILE


def show_training(trainer: SwapTrainer, folder: Path) -> None:
    """Print what came of it."""
    run = read_swap_run(folder)
    if not is_first_process() or run is None:
        return
    click.echo(
        f"face swap: {trainer.step} steps on {run.source.faces} faces of the source and {run.target.faces} of the target, "
        f"{run.config.image_px} px"
    )
    click.echo(assess(*read_swap_log(folder / LOG_FILE)))
    click.echo(f"preview: {folder / PREVIEW}")
