"""`forensics train`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from forensics.training.config import TrainConfig

EPILOG = """\b
Examples:
  forensics train --data faces/manifest.csv --output runs/first
  forensics train --data a/manifest.csv --data b/manifest.csv --output runs/two --epochs 8
  forensics train --data faces/manifest.csv --output runs/peers --detectors meso4,durall
  forensics train --data faces/manifest.csv --output runs/again --recipe runs/first/recipe.toml
  forensics train --data a/manifest.csv --data b/manifest.csv --output runs/without-b --left-out b
  forensics scan clip.mp4 --weights runs/first

\b
A manifest is a CSV with the columns path,label,dataset,source,split,view:
label 1 = fake; split train (to fit), dev (calibration, thresholds), test
(figures only); view face (already a face crop) or scene. The same command
with the same options resumes a run that was stopped; with more --detectors
or --cnn-networks than before it trains the new networks only.

\b
Pseudo-fakes are made of the real faces while training: self-blended images,
faces at a lower resolution, parts or the whole face of another person. Their
number is a share of the pairs of real and fake (--self-blends 0.4). A manifest
of real faces alone is enough to train `cnn` with them; fusion and thresholds
need fakes in the dev split.

\b
Detectors: cnn, texture and spectrum are this tool's own and are fused into
`default`. durall, frank (linear models on spectra) and meso4, mesoinception4
(small networks) are published methods, trained alike to be compared with; a
set of these alone has no `default`: scan with --detector NAME.
"""


@click.command("train", epilog=EPILOG)
@click.option("--data", multiple=True, required=True, metavar="MANIFEST", help="Manifest CSV; may be repeated.")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder of the run; it becomes a set of weights.")
@click.option(
    "--recipe",
    metavar="FILE",
    help="Options from a recipe.toml; what is typed here comes before it ('' empties a list).",
)
@click.option("--crops", metavar="DIR", help="Keep face crops here, for several runs on the same manifests.")
@click.option("--licence", default="unstated", show_default=True, help="Terms of the weights, written into model.json.")
@click.option("--overwrite", is_flag=True, help="Replace files in --output that no run of this command wrote.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@options_of(TrainConfig)
def command(
    data: tuple[str, ...],
    output: str,
    recipe: str | None,
    crops: str | None,
    licence: str,
    overwrite: bool,
    quiet: bool,
    **values: Any,
) -> None:
    """Train the detectors on manifests of labelled pictures.

    Cuts face crops as scanning does, trains the --detectors on the train split, beside its fakes on pseudo-fakes made of
    its real faces, fits fusion, calibration and thresholds on the dev split, and measures on the test split. Prints the
    figures. The options are kept in OUTPUT/recipe.toml.
    """
    from forensics.common.options_file import resolve_options

    file = Path(recipe) if recipe else None
    config = resolve_options(TrainConfig, file, given_values(values), "recipe", "forensics train --help")

    from forensics.common.manifest import read_manifest
    from forensics.common.progress import Progress
    from forensics.training.recipe import run_recipe

    items = [item for name in data for item in read_manifest(Path(name))]
    kept = Path(crops) if crops else None
    run_recipe(config, items, Path(output), licence, Progress(quiet), overwrite, kept)
    click.echo((Path(output) / "card.md").read_text(encoding="utf-8"), nl=False)
