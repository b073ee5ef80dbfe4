"""`forensics config`."""

from typing import Any

import click

from forensics.cli.options import given_values, load_config_file, options_of
from forensics.config import ScanConfig, resolve_config


@click.command("config")
@click.option("--config", metavar="FILE", help="TOML file to resolve; the command line wins.")
@options_of(ScanConfig)
def command(**values: Any) -> None:
    """Print the resolved configuration of a scan as TOML.

    Takes the options of `forensics scan`. Save what it prints, change it, and pass it with --config.
    """
    file = load_config_file(values)
    click.echo(resolve_config(file, given_values(values)).to_toml(), nl=False)
