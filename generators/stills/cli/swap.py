"""`forensics generate stills swap`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.stills.cli.shared import making_options, show_family
from generators.stills.config import SwapStillsConfig, paths_of

EPILOG = """\b
Examples:
  forensics generate stills swap --data faces/manifest.csv --output own/swaps
  forensics generate stills swap --data a/manifest.csv --data b/manifest.csv --split train --output own
  forensics generate stills swap --data faces/manifest.csv --limit 200 --per-picture 3 --output few

\b
Every real (label 0) of the manifests gets a face of another person of its data set
and split: of --donors drawn ones, the nearest in pose. Drawn by --seed for each:
what of the face is replaced, how its colours are matched, how far the mask is
shrunk and softened, how many pixels the pasted face has (64 to all), alpha or
Poisson blending; all of it is in the manifest.

\b
Writes real/, fake/, mask/, manifest.csv, stills.json (the recipe), README.txt and
landmarks.json. A real and its fakes are reduced and encoded alike. Rows of view
`face` are taken as tight crops, rows of view `scene` are searched for their
largest face; pictures without one are left out and counted.

\b
The same command again goes on where it stopped, and does nothing that is done.
For research on detection, with pictures whose terms allow it.
"""


@click.command("swap", epilog=EPILOG)
@click.option("--data", required=True, multiple=True, metavar="MANIFEST", help="Manifest of reals; may be repeated.")
@options_of(SwapStillsConfig)
@making_options
def command(
    data: tuple[str, ...], output: str, device: str, threads: int, overwrite: bool, quiet: bool, **values: Any
) -> None:
    """Put faces of a manifest's reals onto each other, and write both as labelled data."""
    from generators.config import checked

    config = checked(SwapStillsConfig, given_values(values), "forensics generate stills swap --help")

    from forensics.common.progress import Progress
    from generators.faceswap.extraction.tracks import load_face_detector
    from generators.parallel import set_threads
    from generators.stills.swap import swap_stills

    set_threads(threads)
    detector = load_face_detector(device=device)
    show_family(swap_stills(paths_of(data), Path(output), config, detector, Progress(quiet), overwrite))
