"""`forensics generate stills train-autoencoder`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.stills.autoencoder.config import AutoencoderConfig
from generators.stills.config import paths_of

EPILOG = """\b
Examples:
  forensics generate stills train-autoencoder --data faces/manifest.csv --output runs/ae
  forensics generate stills train-autoencoder --data faces/manifest.csv --preset cpu-128 --output runs/ae128

\b
Trains on the reals (label 0) of split train alone, one encoder and three decoders:
transposed convolution, nearest neighbour, pixel shuffle. Blurred reconstructions
are what is wanted: so look the faces that swaps' autoencoders draw.

\b
Presets, which come before the defaults above (options that are given come before both):
  cpu      64 px, 8,000 steps: about ten minutes on two cores
  cpu-128  128 px, narrower
  gpu      128 px, 30,000 steps

\b
The same command again goes on where it stopped (Ctrl-C and SIGTERM save first).
In the run's folder: run.json, log.jsonl, preview.png (a face, then each decoder's
drawing), checkpoints/ (the newest two), cache/ (may be deleted).
"""


@click.command("train-autoencoder", epilog=EPILOG)
@click.option("--data", required=True, multiple=True, metavar="MANIFEST", help="Manifest of reals; may be repeated.")
@click.option("--preset", default="cpu", show_default=True, help="Named set of options.")
@click.option("-o", "--output", required=True, metavar="RUN", help="Folder of the run.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@options_of(AutoencoderConfig)
def command(data: tuple[str, ...], preset: str, output: str, overwrite: bool, quiet: bool, **values: Any) -> None:
    """Train a small autoencoder on faces, for `reconstruct` to redraw them by."""
    from generators.stills.autoencoder.config import configured

    config = configured(preset, given_values(values))

    from forensics.common.progress import Progress
    from generators.faceswap.extraction.tracks import load_face_detector
    from generators.launch import stopped_with
    from generators.stills.autoencoder.trainer import PREVIEW
    from generators.stills.autoencoder.training import train

    folder = Path(output)
    with stopped_with(folder, "the same command"):
        detector = load_face_detector(device="cpu" if config.device == "mps" else config.device)
        trainer = train(paths_of(data), preset, config, folder, detector, Progress(quiet), overwrite)
    click.echo(f"autoencoder: {trainer.step} steps at {config.image_px} px")
    click.echo(f"preview: {folder / PREVIEW}")
    click.echo(f"next: forensics generate stills reconstruct --model {folder} --data ... --output ...")
