"""`forensics generate faceswap convert`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.faceswap.cli.options import clip_options
from generators.faceswap.config import RenderConfig

EPILOG = """\b
Examples:
  forensics generate faceswap convert B.mp4 --model run --output swapped.mp4
  forensics generate faceswap convert A.mp4 --model run --reverse --output swapped.mp4
  forensics generate faceswap convert B.mp4 --model run --paste poisson --colour histogram --output swapped.mp4
  forensics generate faceswap convert party.mp4 --model run --track 3 --output swapped.mp4

\b
CLIP shows the target: the person who wears the source's face afterwards. It may
be any clip of that person, or of someone alike: it need not be in the training.
MODEL is a run's folder (its newest checkpoint), a file, or a swap that ships.

\b
Frames, their times and the sound are the clip's own; it comes out upright. Beside
it: swapped.mask.mp4 (white where pixels were replaced), swapped.frames.json
(the box of what was replaced, frame by frame), manifest.csv (label 1), to which
further clips of the same folder are added. For another suffix than .mp4 it stays
in the names: swapped.mkv.mask.mp4. The clip's metadata say that it is synthetic;
--watermark writes it into the picture (the mask leaves the mark out).

\b
Exit status: 0 done, also where only some frames show the face, which is said;
2 usage error, also where not one face was swapped.
"""


@click.command("convert", epilog=EPILOG)
@click.argument("clip", metavar="CLIP")
@click.option("--model", required=True, metavar="MODEL", help="A run's folder, a checkpoint, or a swap that ships.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The clip to write: .mp4, .mov or .mkv.")
@click.option("--reverse", is_flag=True, help="Put the target's face into a clip of the source.")
@click.option("--track", type=click.IntRange(min=1), multiple=True, help="Whose face is replaced, by the number that "
              "`extract` shows without --fps and with the default detector; may be repeated.  "
              "[default: the one that is largest for longest]")  # fmt: skip
@options_of(RenderConfig)
@clip_options
def command(
    clip: str, model: str, output: str, reverse: bool, track: tuple[int, ...], device: str, threads: int,
    timeout: float, split: str | None, overwrite: bool, quiet: bool, **values: Any,
) -> None:  # fmt: skip
    """Put the source's face into a clip of the target."""
    from generators.config import checked

    config = checked(RenderConfig, given_values(values), "forensics generate faceswap convert --help")

    from forensics.common.progress import Progress
    from forensics.media.types import MediaLimits
    from generators.devices import device_named
    from generators.faceswap.cli.rendered import show_rendering
    from generators.faceswap.extraction.tracks import load_face_detector
    from generators.faceswap.rendering.convert import convert
    from generators.faceswap.training.swapper import find_swap, load_swapper
    from generators.parallel import set_threads

    n_threads = set_threads(threads)
    swapper = load_swapper(find_swap(model), device_named(device))
    detector = load_face_detector(device=device)
    show_rendering(
        convert(
            Path(clip), swapper, detector, Path(output), config, Progress(quiet),
            reverse=reverse, tracks=track, limits=MediaLimits(max_wall_s=timeout), threads=n_threads,
            overwrite=overwrite, split=split or "",
        )
    )  # fmt: skip
