"""`forensics generate faceswap quality`."""

from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.faceswap.quality.quality_record import SwapQualityConfig

EPILOG = """\b
Examples:
  forensics generate faceswap quality run
  forensics generate faceswap quality run --clip swapped.mp4 --driving b.mp4
  forensics generate faceswap quality swap.safetensors --source faces/a --target faces/b --output q
  forensics generate faceswap quality run --format json | jq '.identity[0].share_source'

\b
RUN is the folder of `forensics generate faceswap train`, or a checkpoint with the
sets of both people. Its figures are of held-out faces, which no step was trained
on, each with its control beside it. Of --clip, landmarks and flicker are of all
frames, trained on or not; identity is of the held-out frames where --driving is a
clip of the target's set, and of any frames, which the table says, where it is not:
SSIM, PSNR  each person's faces through the person's own decoder; floor: the mean
            training face; ceiling: the faces themselves at the network's size
identity    share of swapped faces that are nearer to the source's mean vector
            than to the target's; controls: the unchanged target (what no swap
            gives), the target through its own decoder, the unchanged source
            (what a perfect swap gives). Needs the extra 'identity'; without it
            the table says that identity was not measured
landmarks   distance between the driving face's and the swapped face's, as a
            share of the eyes' distance; control: the driving face with noise
flicker     of --clip: change from frame to frame inside the aligned face, over
            that of --driving; 1 = as still as the original. It has no control: a
            clip that was only encoded again would be one

\b
Intervals are 95 %, by a moving-block bootstrap with blocks of one second: of this
clip's seconds, not of other clips or people. Of less than five seconds only
shares have one (Wilson's). quality.json and quality.md are written into RUN, or
--output.
"""


@click.command("quality", epilog=EPILOG)
@click.argument("run", metavar="RUN")
@options_of(SwapQualityConfig)
@click.option("--format", "shown", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="What is printed.")  # fmt: skip
def command(run: str, shown: str, **values: Any) -> None:
    """Measure a swap: reconstruction, identity, landmarks, flicker, with controls and intervals."""
    from forensics.common.progress import Progress
    from generators.config import checked

    config = checked(SwapQualityConfig, given_values(values), "forensics generate faceswap quality --help")

    from generators.faceswap.quality.quality import measure_run

    found = measure_run(run, config, Progress(config.quiet))
    if shown == "json":
        click.echo(found.model_dump_json(indent=1))
        return
    from forensics.cli.lines import print_figures, print_lines
    from forensics.common.text import terminal_line
    from generators.faceswap.quality.quality_record import HEADINGS, summary_lines, table_rows

    print_figures(HEADINGS, table_rows(found))
    print_lines(terminal_line(line) for line in summary_lines(found))
