"""`forensics generate sample`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from generators.checkpoint import LoadedGenerator

EPILOG = """\b
Examples:
  forensics generate sample runs/dcgan --output set
  forensics generate sample runs/dcgan --n 1000 --seed 7 --split dev --output dev
  forensics generate sample runs/dcgan --reals faces/manifest.csv --output set
  forensics generate sample runs/biggan --truncation 0.5 --class 3 --output three
  forensics generate sample runs/dcgan/checkpoints/step-00002000.safetensors --output early

\b
MODEL is a run's folder (its best checkpoint by KID), a .safetensors file, or the
name of a generator that ships with the package (`forensics generate list`).
Sample i depends on the checkpoint, --seed and i alone.

\b
Writes fake/000000.png ..., manifest.csv (label 1, generator, split, seed,
checkpoint, SHA-256), samples.json (the recipe) and grid.png. --reals adds real/
with as many pictures, cropped, resized and encoded by the same code, so that a
detector cannot tell the classes by their files' history.

\b
The same command again goes on where it stopped; a larger --n adds to the folder.
Then:
  forensics train ... --data set/manifest.csv        (see its --help)
  forensics bench run set/manifest.csv --detector default --output out
"""


@click.command("sample", epilog=EPILOG)
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder of the samples.")
@click.option("--n", type=click.IntRange(1, 1_000_000), default=256, show_default=True, metavar="N", help="How many.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Of the latents.  [default: by --split: train 0, dev 1, test 2]",
)
@click.option("--split", type=click.Choice(["train", "dev", "test"]), default="train", show_default=True,
              help="What the manifest says of the samples. Splits of one seed hold the same pictures.")  # fmt: skip
@click.option("--truncation", type=click.FloatRange(0, min_open=True), metavar="T",
              help="Draw latents from [-T, T] only: more ordinary pictures, less variety (BigGAN).")  # fmt: skip
@click.option("--class", "class_name", metavar="NAME", help="One class, by name or number; without it all in turn.")
@click.option("--reals", multiple=True, metavar="DATA", help="Manifest or folder to take as many real pictures from.")
@click.option("--reals-split", type=click.Choice(["train", "dev", "test", "any"]),
              help="Which rows of --reals; without it those of --split.")  # fmt: skip
@click.option("--format", "picture_format", default="png", show_default=True, metavar="png|jpeg:Q",
              help="Encoding of all pictures; Q from 1 to 100.")  # fmt: skip
@click.option(
    "--dataset", default="", metavar="NAME", help="Data set's name in the manifest.  [default: generators-SYSTEM]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where the generator runs.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace samples of another recipe, and files in their place.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    model: str,
    output: str,
    n: int,
    seed: int | None,
    split: str,
    truncation: float | None,
    class_name: str | None,
    reals: tuple[str, ...],
    reals_split: str | None,
    picture_format: str,
    dataset: str,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Draw samples of a trained generator as labelled files, with a manifest.

    They are fakes: label 1. With --reals the folder is a set that a detector can be trained on and measured with.
    """
    from forensics.common.errors import UsageError
    from forensics.common.progress import Progress
    from generators.checkpoint import find_model, load_generator
    from generators.devices import device_named
    from generators.drawing import label_named
    from generators.sampling import Reals, write_samples

    if reals_split is not None and not reals:
        raise UsageError("--reals-split without --reals has no effect", "name the reals' manifest, or leave it out")
    loaded = load_generator(find_model(model), device_named(device))
    label = None if class_name is None else label_named(loaded, class_name)
    beside = Reals(tuple(map(Path, reals)), reals_split or split) if reals else None  # type: ignore[arg-type]
    manifest = write_samples(
        loaded, Path(output), n, seed, split, truncation=truncation, label=label, dataset=dataset,
        picture_format=picture_format, reals=beside, overwrite=overwrite, progress=Progress(quiet),
    )  # fmt: skip
    _print_written(loaded, manifest)


def _print_written(loaded: "LoadedGenerator", manifest: Path) -> None:
    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line
    from generators.sampling import GRID, read_record

    record = read_record(manifest.parent)
    if record is None:  # written just now: only somebody else can have removed it
        return
    reals = f", {record.n_reals} real" if record.reals else ""
    lines = [
        f"{record.n} fake{reals}, {record.image_px} px, split {record.split}: {manifest}",
        f"drawn by {record.system} at step {record.step}, checkpoint {loaded.sha256[:12]}, seed {record.seed}",
        f"to look at: {manifest.parent / GRID}",
        f"next: forensics bench run {manifest} --detector default --output out",
    ]
    print_lines(terminal_line(line) for line in lines)
