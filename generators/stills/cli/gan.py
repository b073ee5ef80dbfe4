"""`forensics generate stills gan`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.stills.cli.shared import making_options, show_family
from generators.stills.config import EnlargedConfig, paths_of

EPILOG = """\b
Examples:
  forensics generate stills gan --model runs/dcgan --reals faces/manifest.csv --output own/gans
  forensics generate stills gan --model dcgan --model madgan --reals faces/manifest.csv --count 4000 --output own

\b
MODEL is a run's folder, a .safetensors file, or the name of a generator that ships
(`forensics generate list`); of several, each draws in turn. Sample and real are
both at the generator's size first (32 or 64 px, say), then enlarged by the same
interpolation, drawn per pair, and encoded by one JPEG quality.

\b
A sample has the split of the real beside it. With fewer reals than --count, there
are as many pairs as reals. `forensics generate sample` writes samples at their own
size instead. The same command again goes on where it stopped.
"""


@click.command("gan", epilog=EPILOG)
@click.option("--model", required=True, multiple=True, help="Trained generator; may be repeated.")
@click.option("--reals", required=True, multiple=True, metavar="MANIFEST", help="Manifest of reals; may be repeated.")
@options_of(EnlargedConfig)
@making_options
def command(
    model: tuple[str, ...], reals: tuple[str, ...], output: str, device: str, threads: int, overwrite: bool,
    quiet: bool, **values: Any,
) -> None:  # fmt: skip
    """Draw samples of generators and enlarge them, beside reals reduced and enlarged alike."""
    from generators.config import checked

    config = checked(EnlargedConfig, given_values(values), "forensics generate stills gan --help")

    from forensics.common.progress import Progress
    from generators.checkpoint import find_model, load_generator
    from generators.devices import device_named
    from generators.parallel import set_threads
    from generators.stills.enlarged import write_enlarged

    set_threads(threads)
    models = [load_generator(find_model(name), device_named(device)) for name in model]
    show_family(write_enlarged(models, paths_of(reals), Path(output), config, Progress(quiet), overwrite))
