"""`forensics generate resume`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  forensics generate resume runs/dcgan
  forensics generate resume runs/dcgan --steps 12000
  forensics generate resume runs/swap

\b
Takes data and options from the run's run.json, of a GAN, a face swap or a
translator. Exit status: 0 done, also when nothing was left to train, which is said; 130 stopped by
Ctrl-C, with the step saved.
"""


@click.command("resume", epilog=EPILOG)
@click.argument("run", metavar="RUN")
@click.option("--steps", type=click.IntRange(min=1), help="Steps in all, where the run shall be longer than it was.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
def command(run: str, steps: int | None, quiet: bool) -> None:
    """Go on with a training run as it was begun."""
    from forensics.common.progress import Progress
    from generators.faceswap.training.run_record import is_swap_run
    from generators.launch import stopped_with
    from generators.translation.run_record import is_translation_run

    progress, folder = Progress(quiet), Path(run)
    with stopped_with(folder):
        if is_swap_run(folder):
            from generators.faceswap.cli.outcome import show_training
            from generators.faceswap.training.training import resume as resume_swap

            show_training(resume_swap(folder, steps, progress), folder)
        elif is_translation_run(folder):
            from generators.cli.translated import show_training as show_translator
            from generators.translation.training import resume as resume_translator

            show_translator(resume_translator(folder, steps, progress), folder)
        else:
            from generators.cli.outcome import train_and_sample
            from generators.training import resume

            train_and_sample(lambda: resume(folder, steps, progress), folder, progress)
