"""`forensics generate translate`."""

from pathlib import Path

import click

# As a scan says that some inputs could not be analysed.
SOME_FAILED = 3

EPILOG = """\b
Examples:
  forensics generate translate photo.jpg --model runs/denoise --output out
  forensics generate translate fakes/manifest.csv --split test --model runs/denoise --output laundered
  forensics generate translate photos/ --model runs/x4 --format jpeg:90 --output large
  forensics generate translate clip.mp4 --model runs/denoise --output out --smooth 0.5

\b
MODEL is a run of `train-translator` (its best checkpoint by PSNR, its newest where
it has an adversary), a .safetensors file, or the name of one that ships (`forensics
generate list`). Pictures have any size: they go
through the network in tiles; those of restore and srgan give what the whole
picture would, those of pix2pix are blended. Give it what it learned to draw
from: a model of --make edges wants drawings.

\b
Clips go through frame by frame and keep their times, their sound, and how they are
turned; H.264 has even sides, so that an odd one grows by a pixel. A network that flickers
is steadied: what it does to the mean and the spread of the colours is averaged over
--smooth seconds, not across cuts. Changes of light in the clip itself stay.

\b
Writes pictures/, clips/, manifest.csv (label 1: what a network has redrawn is no longer
a recording; made_of_label keeps what a manifest said) and translate.json. The same
command again goes on where it stopped; a clip that was not finished begins anew.
Exit status: 0 done, 3 some could not be read.
"""


@click.command("translate", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PICTURE|CLIP|FOLDER|MANIFEST...")
@click.option("--model", required=True, metavar="MODEL", help="What translates: a run, or a file of its checkpoints.")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder of what is made.")
@click.option("--split", type=click.Choice(["train", "dev", "test", "any"]), default="any", show_default=True,
              help="Rows of manifests.")  # fmt: skip
@click.option("--direction", type=click.Choice(["there", "back"]), default="there", show_default=True,
              help="Of cyclegan: to the second set, or back to the first.")  # fmt: skip
@click.option("--tile", "tile_px", type=click.IntRange(32, 8192), default=256, show_default=True, metavar="PX",
              help="Side of the tiles: larger ones are faster and take more memory.")  # fmt: skip
@click.option("--format", "picture_format", default="png", show_default=True, metavar="png|jpeg:Q",
              help="Encoding of the pictures; Q from 1 to 100.")  # fmt: skip
@click.option("--smooth", "smooth_s", type=click.FloatRange(0, 60), default=0.25, show_default=True, metavar="S",
              help="Seconds over which colours of a clip are steadied; 0 is off.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=3600.0, show_default=True, metavar="S",
              help="Seconds that decoding one clip may take.")  # fmt: skip
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto",
              show_default=True, help="Of the network's arithmetic; auto: bfloat16 where it is native.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where the network runs.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what another recipe made.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
def command(
    paths: tuple[str, ...], model: str, output: str, split: str, direction: str, tile_px: int, picture_format: str,
    smooth_s: float, timeout: float, precision: str, device: str, overwrite: bool, quiet: bool,
) -> int:  # fmt: skip
    """Send pictures and clips through a trained translator: restored, enlarged, redrawn."""
    from forensics.common.errors import UsageError
    from forensics.common.progress import Progress
    from forensics.media.types import MediaLimits
    from generators.devices import device_named
    from generators.translation.applying import apply, items_of_paths
    from generators.translation.clips import HowClips
    from generators.translation.loaded import load_translator

    missing = [path for path in paths if not Path(path).exists()]
    if missing:
        raise UsageError(f"{missing[0]} does not exist", "pictures, clips, folders of them, or manifests")
    items = items_of_paths([Path(path) for path in paths], split)
    loaded = load_translator(model, device_named(device), precision, direction == "back")
    done = apply(
        loaded, items, Path(output), how_clips=HowClips(tile_px, smooth_s, MediaLimits(max_wall_s=timeout)),
        picture_format=picture_format, overwrite=overwrite, progress=Progress(quiet),
    )  # fmt: skip
    there = f", {done.found} of them there already" if done.found else ""
    counts = ((done.pictures, "picture"), (done.clips, "clip"))
    made = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for count, kind in counts if count)
    click.echo(f"{made} by {loaded.what}{there}: {done.manifest}")
    if done.failed:
        click.echo(f"{len(done.failed)} could not be read")
    return SOME_FAILED if done.failed else 0
