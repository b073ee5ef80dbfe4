"""`forensics generate train-translator`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.data.request import DataRequest
from generators.translation.run_record import PairRequest
from generators.translation_config import TranslationConfig

EPILOG = """\b
Examples:
  forensics generate train-translator restore --task denoise --data photos/ --output runs/denoise
  forensics generate train-translator srgan --data faces/manifest.csv --output runs/x4
  forensics generate train-translator srgan --preset cpu-gan --data faces/manifest.csv --output runs/x4-gan
  forensics generate train-translator pix2pix --make edges --data photos/ --output runs/edges
  forensics generate train-translator pix2pix --data maps/ --inputs aerial/ --output runs/maps
  forensics generate train-translator pix2pix --data facades/ --halves right --output runs/facades
  forensics generate train-translator cyclegan --inputs horses/ --data zebras/ --output runs/zebras
  forensics generate train-translator cyclegan --make sketch --data photos/ --output runs/pencil

\b
SYSTEM is one of `forensics generate list`. Its --preset comes before the defaults
above, and options that are given come before both; run.json says what it was.
--data are the pictures to be drawn. What they are drawn from: restore and srgan
make it of them; for pix2pix say --make, --inputs or --halves. cyclegan learns both
ways between --inputs and --data, which need no pairs; with --make, between pictures
of --data and drawings of others of them.

\b
Figures (PSNR and SSIM, against those of the inputs) are measured on the split dev
of the manifest, else on every twentieth picture, which is then not trained on. Those
of cyclegan: how near pictures come back to themselves, there and back.

\b
The same command again goes on where it stopped (Ctrl-C and SIGTERM save first);
so does `forensics generate resume RUN`. A run killed at any step and resumed ends
with the same weights. In its folder: run.json, log.jsonl, curves.png, grid.png and
grids/ (input, output, target), checkpoints/, best.safetensors (the highest PSNR;
with an adversary the newest counts). Then:
  forensics generate translate photos/ --model RUN --output out
"""


@click.command("train-translator", epilog=EPILOG)
@click.argument("system")
@click.option("--preset", default="cpu", show_default=True, help="Named set of options, made for this SYSTEM.")
@click.option("-o", "--output", required=True, metavar="RUN", help="Folder of the run.")
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@options_of(DataRequest, skip=("class_by",))
@options_of(PairRequest)
@options_of(TranslationConfig)
def command(system: str, preset: str, output: str, overwrite: bool, quiet: bool, **values: Any) -> None:
    """Train a network that draws pictures from pictures: restored, enlarged, or from edges and drawings."""
    from generators.config import checked
    from generators.translator import HELP, configured, translator_named

    known = translator_named(system)
    given = given_values(values)
    of_data = {name: given.pop(name) for name in list(given) if name in DataRequest.model_fields}
    of_pairs = {name: given.pop(name) for name in list(given) if name in PairRequest.model_fields}
    if "scale" in given:
        given["scale"] = int(given["scale"])
    request = checked(DataRequest, of_data, HELP)
    pairs = checked(PairRequest, of_pairs, HELP)
    config = configured(known, preset, given)

    from forensics.common.progress import Progress
    from generators.cli.translated import show_training
    from generators.launch import stopped_with
    from generators.translation.training import train

    progress, folder = Progress(quiet), Path(output)
    with stopped_with(folder):
        show_training(train(known, preset, config, request, pairs, folder, progress, overwrite), folder)
