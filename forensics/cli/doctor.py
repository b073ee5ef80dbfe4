"""`forensics doctor`."""

from pathlib import Path

import click

FAULT_STATUS = 4


@click.command("doctor")
@click.option("--weights", metavar="DIR", help="Folder with model.json, instead of the shipped weights.")
def command(weights: str | None) -> int:
    """Check this installation: versions, devices, weights and their hash, FFmpeg, and a self-test on a built-in picture.

    Exit status 0 if everything is well, 4 if something is not; each fault comes with a hint.
    """
    from forensics.doctor import run_checks

    faults = 0
    for check in run_checks(Path(weights) if weights else None):
        faults += not check.is_ok
        mark = "ok   " if check.is_ok else "FAULT"
        click.echo(f"{mark}  {check.name:<30}{check.value}")
        if not check.is_ok:
            click.echo(f"       hint: {check.hint}")
    click.echo("everything is well" if not faults else f"{faults} fault{'s' if faults > 1 else ''}")
    return FAULT_STATUS if faults else 0
