"""`forensics generate faceswap train`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.faceswap.config import SwapConfig

EPILOG = """\b
Examples:
  forensics generate faceswap train --source faces/a --target faces/b --output run
  forensics generate faceswap train --source faces/a --target faces/b --preset gpu-128 --output run
  forensics generate faceswap train --source faces/a --target faces/b --variant gan --output run

\b
SOURCE is whose face is worn, TARGET who wears it; the run can be turned round
(`convert --reverse`). Both are folders of `extract`, with a few hundred faces
each that show the same poses, expressions and light: what the source was never
seen doing, it cannot do in the swap.

\b
Presets, which come before the defaults above (options that are given come before both):
  cpu        64 px, 5 million weights, 10,000 steps: about 20 minutes on two cores
  cpu-small  1.8 million weights: half the time, softer faces, 3.6 MB to hand on
  gpu        64 px, 82 million weights, the published network, 100,000 steps
  gpu-96     96 px
  gpu-128    128 px, 200,000 steps

\b
The same command again goes on where it stopped (Ctrl-C and SIGTERM save first);
so does `forensics generate resume RUN`, with --steps for more of them. A run
killed at any step and resumed ends with the same weights.

\b
In the run's folder: run.json (what it was), log.jsonl, curves.png, preview.png and
previews/ (the same faces through time), checkpoints/ (the newest two).
"""


@click.command("train", epilog=EPILOG)
@click.option("--source", required=True, metavar="DIR", help="Faces of the person whose face is worn.")
@click.option("--target", required=True, metavar="DIR", help="Faces of the person who wears it.")
@click.option("--preset", default="cpu", show_default=True, help="Named set of options.")
@click.option("-o", "--output", required=True, metavar="RUN", help="Folder of the run.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@options_of(SwapConfig)
def command(source: str, target: str, preset: str, output: str, overwrite: bool, quiet: bool, **values: Any) -> None:
    """Train one encoder and two decoders on two people's faces.

    Each decoder learns to draw its person from a warped face; given the other person's, it draws its own in that
    pose. Says how it goes in plain words, and shows the same faces through time.
    """
    from generators.faceswap.config import configured

    config = configured(preset, given_values(values))

    from forensics.common.progress import Progress
    from generators.faceswap.cli.outcome import show_training
    from generators.faceswap.training.training import train
    from generators.launch import stopped_with

    folder = Path(output)
    with stopped_with(folder):
        show_training(train(Path(source), Path(target), preset, config, folder, Progress(quiet), overwrite), folder)
