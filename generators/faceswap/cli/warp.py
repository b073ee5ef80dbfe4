"""`forensics generate faceswap warp`."""

from pathlib import Path
from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.faceswap.cli.options import clip_options
from generators.faceswap.config import RenderConfig

EPILOG = """\b
Examples:
  forensics generate faceswap warp A.mp4 B.mp4 --output swapped.mp4
  forensics generate faceswap warp portrait.jpg B.mp4 --paste poisson --output swapped.mp4
  forensics generate faceswap warp A.mp4 B.mp4 --pose nearest --output swapped.mp4
  forensics generate faceswap warp A.mp4 group.jpg --track 2 --output swapped.png

\b
A shows the source: whose face it is. B shows the target, who wears it afterwards.
Both may be a clip or a picture; a picture becomes a .png. Nothing is trained: 68
points of the mean face are laid on the five that the detector sees, and the face
is warped triangle by triangle. With --landmarks model a predictor finds the 68
points (pip install 'deepfake-forensics[identity]'): mouths fit better, but tremble.

\b
--pose best takes the one face of A that is sharp and looks at the camera; nearest
takes for each frame one that looks the same way, and changes as the head turns.

\b
Beside the clip: swapped.mask.mp4 (white where pixels were replaced),
swapped.frames.json (boxes, frame by frame), manifest.csv (label 1); for a picture
swapped.mask.png and manifest.csv. Another suffix than .mp4 stays in the names:
swapped.mkv.mask.mp4. Metadata say that it is synthetic; --watermark writes it
into the picture (the mask leaves the mark out).
Exit status: 0 done; 2 usage error, also where no face was found.
"""


@click.command("warp", epilog=EPILOG)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("-o", "--output", required=True, metavar="FILE", help="What to write: .mp4, .mov, .mkv; .png if B is a "
              "picture.")  # fmt: skip
@click.option("--pose", type=click.Choice(["best", "nearest"]), default="best", show_default=True,
              help="Which face of A: the best one, or for each frame the nearest in pose.")  # fmt: skip
@click.option("--landmarks", type=click.Choice(["mean", "model"]), default="mean", show_default=True,
              help="Where the 68 points come from: the mean face, or a predictor.")  # fmt: skip
@click.option("--source-track", type=click.IntRange(min=1), default=None, help="Whose face of A, by the number that "
              "`extract` shows without --fps and with the default detector.  "
              "[default: the one that is largest for longest]")  # fmt: skip
@click.option("--track", type=click.IntRange(min=1), multiple=True, help="Whose face of B is replaced, by the "
              "number that `extract` shows likewise; may be repeated.  "
              "[default: the one that is largest for longest]")  # fmt: skip
@options_of(RenderConfig, skip=("mask",))
@clip_options
def command(
    a: str, b: str, output: str, pose: Any, landmarks: Any, source_track: int | None, track: tuple[int, ...],
    device: str, threads: int, timeout: float, split: str | None, overwrite: bool, quiet: bool, **values: Any,
) -> None:  # fmt: skip
    """Put A's face into B by landmarks alone, without training."""
    from generators.config import checked

    config = checked(RenderConfig, given_values(values), "forensics generate faceswap warp --help")

    from forensics.common.progress import Progress
    from forensics.media.types import MediaLimits
    from generators.faceswap.cli.rendered import show_rendering
    from generators.faceswap.extraction.tracks import load_face_detector
    from generators.faceswap.rendering.warping import warp
    from generators.parallel import set_threads

    n_threads = set_threads(threads)
    show_rendering(
        warp(
            Path(a), Path(b), load_face_detector(device=device), Path(output), config, Progress(quiet),
            pose=pose, landmarks=landmarks, source_track=source_track, tracks=track,
            limits=MediaLimits(max_wall_s=timeout), threads=n_threads, overwrite=overwrite, split=split or "",
        )
    )  # fmt: skip
