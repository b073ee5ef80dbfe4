"""`forensics generate stills reconstruct`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.stills.cli.shared import making_options, show_family
from generators.stills.config import ReconstructConfig, paths_of

EPILOG = """\b
Examples:
  forensics generate stills reconstruct --data faces/manifest.csv --model runs/ae --output own/ae
  forensics generate stills reconstruct --data faces/manifest.csv --model runs/ae --region face --output own/ae

\b
MODEL is a run's folder of `train-autoencoder`, or one of its checkpoints. Each face
of the manifests' reals (label 0) is redrawn by one of three decoders and pasted
back inside its outline, or as the whole square around it; drawn by --seed for each,
and shown in the manifest. Reals are encoded as their fakes are.

\b
The same command again goes on where it stopped, and does nothing that is done.
"""


@click.command("reconstruct", epilog=EPILOG)
@click.option("--data", required=True, multiple=True, metavar="MANIFEST", help="Manifest of reals; may be repeated.")
@click.option("--model", required=True, help="Trained autoencoder.")
@options_of(ReconstructConfig)
@making_options
def command(
    data: tuple[str, ...], model: str, output: str, device: str, threads: int, overwrite: bool, quiet: bool,
    **values: Any,
) -> None:  # fmt: skip
    """Redraw the faces of a manifest's reals by an autoencoder, and write both as labelled data."""
    from generators.config import checked

    config = checked(ReconstructConfig, given_values(values), "forensics generate stills reconstruct --help")

    from forensics.common.progress import Progress
    from generators.devices import device_named
    from generators.faceswap.extraction.tracks import load_face_detector
    from generators.parallel import set_threads
    from generators.stills.autoencoder.redrawer import load_redrawer
    from generators.stills.reconstruct import reconstruct_stills

    set_threads(threads)
    redrawer = load_redrawer(model, device_named(device))
    detector = load_face_detector(device=device)
    show_family(
        reconstruct_stills(paths_of(data), redrawer, Path(output), config, detector, Progress(quiet), overwrite)
    )
