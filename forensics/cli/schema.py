"""`forensics schema`."""

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of a scan's record."""
    from forensics.report.record import schema_text

    click.echo(schema_text(), nl=False)
