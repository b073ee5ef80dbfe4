"""`forensics generate train`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.config import GanConfig
from generators.data.request import DataRequest

EPILOG = """\b
Examples:
  forensics generate train dcgan --data faces/manifest.csv --output runs/dcgan
  forensics generate train dcgan --data photos/ --image-px 32 --steps 2000 --output runs/small
  forensics generate train dcgan --data faces/ --preset gpu --output runs/faithful
  forensics generate train cgan --data a/manifest.csv --data b/manifest.csv --class-by dataset --output runs/cgan
  accelerate launch --num_processes 4 $(which forensics) generate train dcgan --data faces/ --preset gpu --output runs/four

\b
SYSTEM is one of `forensics generate list`. Its --preset comes before the defaults
above, and options that are given come before both; run.json says what it was. --config FILE.toml gives
options as a file; the command line wins over it.

\b
The same command again goes on where it stopped (Ctrl-C and SIGTERM save first);
so does `forensics generate resume RUN`, with --steps for more of them. A run
killed at any step and resumed ends with the same weights.

\b
In the run's folder: run.json (what it was), log.jsonl, curves.png, grid.png and
grids/ (the same noise through time), checkpoints/ (the newest two),
best.safetensors (the lowest KID), samples/ with manifest.csv (label 1).
"""


@click.command("train", epilog=EPILOG)
@click.argument("system")
@click.option("--preset", default="cpu", show_default=True, help="Named set of options, made for this SYSTEM.")
@click.option("-o", "--output", required=True, metavar="RUN", help="Folder of the run.")
@click.option("--config", metavar="FILE.toml", help="Options from a file, under their names with underscores.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@options_of(DataRequest)
@options_of(GanConfig)
def command(system: str, preset: str, output: str, overwrite: bool, quiet: bool, **values: Any) -> None:
    """Train a generator on real pictures.

    Takes the rows of a manifest with label 0 and split `train`, or all pictures of a folder; decodes them once; trains,
    says how it goes in plain words, keeps the best checkpoint by KID, and draws labelled samples from it.
    """
    from generators.config import checked
    from generators.system import configured, system_named

    hint = "forensics generate train --help"
    known = system_named(system)
    given = {**_file_values(values.pop("config", None)), **given_values(values)}
    of_data = {name: given.pop(name) for name in list(given) if name in DataRequest.model_fields}
    request = checked(DataRequest, of_data, hint)
    config = configured(known, preset, given)

    from forensics.common.progress import Progress
    from generators.cli.outcome import train_and_sample
    from generators.launch import stopped_with
    from generators.training import train

    progress, folder = Progress(quiet), Path(output)
    with stopped_with(folder):
        train_and_sample(lambda: train(known, preset, config, request, folder, progress, overwrite), folder, progress)


def _file_values(file: str | None) -> dict[str, Any]:
    import tomllib

    from forensics.common.errors import UsageError

    if file is None:
        return {}
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the configuration {file}: {error}", "TOML, such as: batch_size = 64") from error
