"""`forensics generate faceswap swap`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.faceswap.config import RenderConfig, SwapConfig

EPILOG = """\b
Examples:
  forensics generate faceswap swap A.mp4 B.mp4 --output out
  forensics generate faceswap swap A.mp4 B.mp4 --output out --preset gpu-128
  forensics generate faceswap swap A.mp4 B.mp4 --output out --steps 2000 --paste poisson

\b
A's face into B's clip: `extract` of both, `train`, `convert`, with the person who is
largest for longest in each clip (for others, take the steps one by one). The
preset cpu takes about half an hour on two cores for clips of ten seconds.

\b
In the folder: swapped.mp4, its mask and frames, manifest.csv (label 1), source/ and
target/ (faces), run/ (the training: preview.png, curves.png, checkpoints).
The same command again goes on where it stopped, and does nothing that is done.
"""


@click.command("swap", epilog=EPILOG)
@click.argument("source", metavar="A")
@click.argument("target", metavar="B")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for all of it.")
@click.option("--preset", default="cpu", show_default=True, help="Named set of options of the training.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@options_of(SwapConfig)
@options_of(RenderConfig)
def command(source: str, target: str, output: str, preset: str, overwrite: bool, quiet: bool, **values: Any) -> None:
    """Swap A's face into B's clip: extract, train and convert in one."""
    from generators.config import checked
    from generators.faceswap.config import configured
    from generators.faceswap.extraction.extract_config import ExtractConfig

    given = given_values(values)
    help_of = "forensics generate faceswap swap --help"
    config = configured(preset, {k: v for k, v in given.items() if k in SwapConfig.model_fields}, help_of)
    of_clip = {k: v for k, v in given.items() if k in RenderConfig.model_fields}
    render = checked(RenderConfig, of_clip, help_of)

    from forensics.common.progress import Progress
    from generators.faceswap.cli.outcome import show_training
    from generators.faceswap.cli.rendered import show_rendering
    from generators.faceswap.swapping import swap
    from generators.launch import stopped_with

    folder, extraction = Path(output), ExtractConfig(threads=config.threads)
    with stopped_with(folder / "run"):
        done = swap(Path(source), Path(target), folder, preset, config, extraction, render, Progress(quiet), overwrite)
    show_training(done.trainer, folder / "run")
    if done.clip is not None:
        show_rendering(done.clip)
    else:
        click.echo(f"clip: {done.output}, made before")
