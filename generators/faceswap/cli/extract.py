"""`forensics generate faceswap extract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensics.cli.options import given_values, options_of
from generators.faceswap.extraction.extract_config import ExtractConfig

if TYPE_CHECKING:
    from generators.faceswap.extraction.extract_outcome import Extraction

EPILOG = """\b
Examples:
  forensics generate faceswap extract A.mp4 --output faces/a
  forensics generate faceswap extract day1.mp4 day2.mp4 --output faces/a
  forensics generate faceswap extract party.mp4 --output faces/a --track 3 --track 7
  forensics generate faceswap extract long.mkv --output faces/a --fps 5
  forensics generate faceswap extract dark.mp4 --output faces/a --keep-blurred --min-face-px 32

\b
CLIP is a video or a picture. One set should show one person: without --track, each
clip gives the track that is largest for longest. Look at contact.png, and where a
clip shows several people at tracks-*.png, which has their numbers. A track ends
at a cut: --track may be repeated for one person in several scenes.

\b
In the folder: alignments.json (every face found: frame, time, box, landmarks,
kept or why not), faces/ (256 px, eyes and mouth at one place), contact.png.
A fifth of the time is held out of training, to measure the swap on.

\b
The same command again decodes nothing that is known; other clips add to the
set; the same clip with other options replaces its faces.
Exit status: 0 done; 2 usage error; 3 some clips gave no face; 4 none did.
Next:
  forensics generate faceswap train --source faces/a --target faces/b --output run
"""


@click.command("extract", epilog=EPILOG)
@click.argument("clips", nargs=-1, required=True, metavar="CLIP...")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder of the set of faces.")
@options_of(ExtractConfig)
@click.option("--overwrite", is_flag=True, help="Write into a folder that holds other files.")
@click.option("--format", "shown", type=click.Choice(["lines", "json"]), default="lines", show_default=True,
              help="What is printed.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(clips: tuple[str, ...], output: str, overwrite: bool, shown: str, quiet: bool, **values: Any) -> int:
    """Cut one person's faces out of clips: found, followed, aligned, sorted out, kept with their times."""
    from forensics.common.progress import Progress
    from generators.config import checked

    config = checked(ExtractConfig, given_values(values), "forensics generate faceswap extract --help")

    from generators.faceswap.extraction.extract import extract

    result = extract([Path(clip) for clip in clips], Path(output), config, Progress(quiet), overwrite)
    _print(result, shown)
    return result.exit_status


def _print(result: "Extraction", shown: str) -> None:
    import json

    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line
    from generators.faceswap.extraction.extract_outcome import as_json, as_lines

    if shown == "json":
        click.echo(json.dumps(as_json(result), indent=1))
        return
    print_lines(terminal_line(line) for line in as_lines(result))
