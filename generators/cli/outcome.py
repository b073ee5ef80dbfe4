"""What `train` and `resume` share: samples of the finished run, and words about it."""

from collections.abc import Callable
from pathlib import Path

import click

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from generators.launch import is_first_process
from generators.trainer import Outcome


def train_and_sample(train: Callable[[], Outcome], folder: Path, progress: Progress) -> None:
    """Train, draw the run's samples from its best checkpoint, and print what came of it."""
    outcome = train()
    if not is_first_process():
        return
    import torch

    from generators.checkpoint import find_model, load_generator
    from generators.run_folder import read_run
    from generators.sampling import read_record, write_samples

    run = read_run(folder)
    if run is None:
        raise UsageError(f"{folder} lost its run.json", "was it deleted?")
    click.echo(f"{run.system}: {outcome.step} steps on {run.data.pictures} pictures of {run.config.image_px} px")
    for name, row in (("start", outcome.first), ("end", outcome.last), ("best", outcome.best)):
        if row is not None:
            click.echo(
                f"kid[{row.extractor}] at the {name}: {row.kid:.4f} [{row.low:.4f}, {row.high:.4f}], step {row.step}"
            )
    if run.config.samples:
        loaded = load_generator(find_model(str(folder)), torch.device("cpu"))
        target = folder / "samples"
        before = read_record(target)  # of an earlier best, or of more samples: the run's own, to be made anew
        is_stale = before is not None and (before.checkpoint != loaded.sha256 or before.n > run.config.samples)
        manifest = write_samples(
            loaded, target, run.config.samples, run.config.seed, overwrite=is_stale, progress=progress
        )
        click.echo(f"samples: {manifest}")
