"""What surrounds a training on the command line: stops by signal, and which of several processes speaks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from generators.loop import StoppedBySignal


@contextmanager
def stopped_with(folder: Path, again: str = "") -> Iterator[None]:
    """Turn a stop by signal into the command line's own, once the step is saved.

    again: what goes on from there, where it is not `resume`.
    """
    try:
        yield
    except StoppedBySignal as error:
        if is_first_process():
            command = again or f"`forensics generate resume {folder}`"
            click.echo(f"saved; {command} goes on from there", err=True)
        raise click.exceptions.Abort from error


def is_first_process() -> bool:
    """Whether this is the process of several that speaks and writes, as launchers say it."""
    return os.environ.get("RANK", "0") == "0"
