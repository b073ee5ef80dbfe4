"""Options of every command that writes a clip."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

CLIP_OPTIONS = (
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
                 help="Where networks run, the face detector's too."),
    click.option("--threads", type=click.IntRange(0, 256), default=0, show_default=True,
                 help="CPU threads (0: as many as there are cores)."),
    click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=3600.0, show_default=True,
                 help="Seconds that decoding one clip may take."),
    click.option("--split", type=click.Choice(["train", "dev", "test"]),
                 help="What the manifest says that the clip is for."),
    click.option("--overwrite", is_flag=True, help="Replace a clip that is there."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors."),
)  # fmt: skip


def clip_options(command: F) -> F:
    """Add them to a command, in this order."""
    for option in reversed(CLIP_OPTIONS):
        command = option(command)
    return command
