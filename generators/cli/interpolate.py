"""`forensics generate interpolate`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from generators.drawing import Latents
    from generators.pictures import Picture

EPILOG = """\b
Examples:
  forensics generate interpolate runs/dcgan --output between
  forensics generate interpolate runs/dcgan --keyframes 8 --loop --output loop.mp4
  forensics generate interpolate runs/dcgan --from 0/17 --to 3/4 --output pair.png
  forensics generate interpolate runs/biggan --class 2 --truncation 0.7 --output two.gif

\b
Keyframes are the first samples of --seed; --from and --to put others at the
ends: SEED/INDEX, as the `source` column of a sample manifest ends (...-SEED-INDEX).
Between them latents follow the arc (slerp), which keeps their length.

\b
--output FILE.png is a strip, one row from keyframe to keyframe; FILE.mp4 (H.264)
and FILE.gif are clips; a folder gets all three, named interpolation.*. A
conditional system keeps one class along the way (--class, else its first); of
MAD-GAN one generator draws all.
"""
SUFFIXES = (".png", ".mp4", ".gif")
# A clip of 64 px is too small to look at.
SMALLEST_CLIP_PX = 256
# Points of a strip, and of all frames of a GIF: both are held in memory before they are written.
MOST_STRIP_POINTS, MOST_GIF_POINTS = 10**8, 10**9


@click.command("interpolate", epilog=EPILOG)
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="DIR|FILE", help="A folder, or FILE.mp4, FILE.gif, FILE.png.")
@click.option("--from", "first", metavar="SEED/INDEX", help="The sample to begin with.")
@click.option("--to", "last", metavar="SEED/INDEX", help="The sample to end with.")
@click.option("--keyframes", type=click.IntRange(2, 1000), metavar="K",
              help="Samples to pass through, ends included.  [default: 2 with --to, else 5]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the keyframes.")
@click.option("--frames-per-step", type=click.IntRange(1, 10_000), default=24, show_default=True,
              help="Frames from one keyframe to the next.")  # fmt: skip
@click.option("--fps", type=click.FloatRange(0.1, 120), default=25.0, show_default=True,
              help="Frames a second; a GIF has the nearest rate it can, 50 at most.")  # fmt: skip
@click.option("--size", type=click.IntRange(8, 4096), metavar="PX",
              help="Side of the frames.  [default: the generator's in a strip, at least 256 in clips]")  # fmt: skip
@click.option("--loop", is_flag=True, help="Return to the first keyframe.")
@click.option("--truncation", type=click.FloatRange(0, min_open=True), metavar="T", help="As in `sample`.")
@click.option("--class", "class_name", metavar="NAME", help="The class of all frames, by name or number.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where the generator runs.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files of these names.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    model: str,
    output: str,
    first: str | None,
    last: str | None,
    keyframes: int | None,
    seed: int,
    frames_per_step: int,
    fps: float,
    size: int | None,
    loop: bool,
    truncation: float | None,
    class_name: str | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Show what lies between samples: a strip of pictures, an MP4, a GIF.

    Smooth change means that the generator has learned more than single pictures; jumps and flicker show where it has not.
    """
    import numpy as np

    from forensics.cli.lines import print_lines
    from forensics.common.errors import UsageError
    from forensics.common.progress import Progress
    from forensics.common.text import terminal_line
    from generators import interpolation
    from generators.checkpoint import find_model, load_generator
    from generators.devices import device_named
    from generators.drawing import label_named
    from generators.monitor.grid import tile
    from generators.pictures import write_png
    from generators.video import enlarged, write_gif, write_mp4

    if not math.isfinite(fps) or (truncation is not None and not math.isfinite(truncation)):
        raise UsageError("--fps and --truncation take finite numbers", "such as --fps 25 --truncation 0.5")
    targets = _targets(Path(output), overwrite)
    ends = [None if text is None else interpolation.Place.parse(text) for text in (first, last)]
    loaded = load_generator(find_model(model), device_named(device))
    label = None if class_name is None else label_named(loaded, class_name)
    n_keys = keyframes or (2 if last is not None else 5)
    keys = interpolation.keyframes(loaded, n_keys, seed, ends[0], ends[1], truncation)
    path = interpolation.path_between(keys, frames_per_step, loop)
    progress = Progress(quiet)
    shown = interpolation.shown_in_strip(n_keys - (0 if loop else 1), frames_per_step, loop)
    n_points = {".png": shown.size, ".gif": len(path)}
    sides = {target: _side(target, size, loaded.config.image_px) for target in targets}
    for target, side in sides.items():
        _check_memory(target, n_points.get(target.suffix.lower(), 0) * side**2)

    def draw(latents: "Latents", side: int, what: str) -> "Iterator[Picture]":
        with progress.task(f"drawing {what}", len(latents)) as bar:
            for frame in interpolation.frames_along(loaded, latents, label):
                yield enlarged(frame, side)
                bar(1)

    # Drawn for each file anew: no list of frames is ever held.
    for target, side in sides.items():
        try:
            if target.suffix.lower() == ".png":
                write_png(target, tile(np.stack(list(draw(path[shown.ravel()], side, target.name))), shown.shape[1]))
            else:
                writer = write_mp4 if target.suffix.lower() == ".mp4" else write_gif
                writer(target, draw(path, side, target.name), fps)
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}", "choose another --output") from error
    found = f"{n_keys} keyframes, {len(path)} frames"
    print_lines(terminal_line(f"{found}: {target}") for target in targets)


def _targets(output: Path, overwrite: bool) -> list[Path]:
    """Files to write. Raises UsageError for one that is there, and for a kind that is not written."""
    from forensics.common.errors import UsageError

    suffix = output.suffix.lower()
    if suffix in SUFFIXES and not output.is_dir():
        targets = [output]
    elif suffix and not output.is_dir():
        raise UsageError(f"'{suffix}' files are not written", f"one of {', '.join(SUFFIXES)}, or a folder's name")
    else:
        targets = [output / f"interpolation{suffix}" for suffix in SUFFIXES]
    there = [target for target in targets if target.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists", "choose another --output, or --overwrite")
    return targets


def _side(target: Path, size: int | None, image_px: int) -> int:
    return size or (image_px if target.suffix.lower() == ".png" else max(image_px, SMALLEST_CLIP_PX))


def _check_memory(target: Path, n_points: int) -> None:
    from forensics.common.errors import UsageError

    most = MOST_STRIP_POINTS if target.suffix.lower() == ".png" else MOST_GIF_POINTS
    if n_points > most:
        hint = "smaller --size, fewer --keyframes or --frames-per-step, or FILE.mp4"
        raise UsageError(f"{target} would have {n_points / 1e6:.0f} million points, more than {most / 1e6:.0f}", hint)
