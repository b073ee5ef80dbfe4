"""`forensics generate faceswap preview`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  forensics generate faceswap preview run --output preview.png
  forensics generate faceswap preview run/checkpoints/step-00005000.safetensors --output early.png
  forensics generate faceswap preview model.safetensors --source faces/a --target faces/b --output preview.png

\b
Each row shows a face of the source: as it is, as its own decoder draws it, as the
target's draws it (the swap), and the swap's mask; then the same of a face of the
target. A run's folder knows its faces; held-out ones are shown where there are some.
"""


@click.command("preview", epilog=EPILOG)
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", required=True, metavar="FILE.png", help="The picture to write.")
@click.option("--source", metavar="DIR", help="Faces of the source.  [default: those of the run]")
@click.option("--target", metavar="DIR", help="Faces of the target.  [default: those of the run]")
@click.option("--rows", type=click.IntRange(1, 64), default=8, show_default=True, help="Faces of each person.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def command(model: str, output: str, source: str | None, target: str | None, rows: int, overwrite: bool) -> None:
    """Look at what a swap draws: faces, reconstructions, masks, swaps."""
    from generators.faceswap.training.previewing import write_preview

    folders = {"source": source, "target": target}
    write_preview(model, Path(output), {k: Path(v) for k, v in folders.items() if v}, rows, overwrite)
    click.echo(f"preview: {output}")
