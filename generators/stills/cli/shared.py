"""Options that the commands share, and what they say at the end."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def making_options(function: F) -> F:
    """Where pictures are written, on what, and how much is said."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors."),
        click.option("--overwrite", is_flag=True, help="Replace pictures of another recipe."),
        click.option(
            "--threads", type=click.IntRange(0, 256), default=0, show_default=True, metavar="N",
            help="CPU threads (0: as many as there are cores).",
        ),
        click.option(
            "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
            help="Where networks run.",
        ),
        click.option("-o", "--output", required=True, metavar="DIR", help="Folder of the family."),
    ):  # fmt: skip
        function = option(function)
    return function


def show_family(manifest: Path) -> None:
    """Print what a finished folder holds."""
    from forensics.common.manifest import SPLITS, read_manifest

    rows = read_manifest(manifest)
    counts = Counter((row.split, row.label) for row in rows)
    named = [*SPLITS, ""]
    for split in named:
        if counts[split, 0] + counts[split, 1]:
            click.echo(f"{split or 'no split'}: {counts[split, 0]} real, {counts[split, 1]} fake")
    click.echo(f"manifest: {manifest}")
    click.echo(f"next: forensics train --data {manifest} ... (see its --help), or forensics bench run {manifest}")
