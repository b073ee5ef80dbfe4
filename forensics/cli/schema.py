"""`forensics schema`."""

import click


@click.command("schema")
@click.option(
    "--of",
    "kind",
    type=click.Choice(["scan", "inspection"]),
    default="scan",
    show_default=True,
    help="Whose record.",
)
def command(kind: str) -> None:
    """Print the JSON Schema of a record."""
    if kind == "inspection":
        from forensics.report.evidence import evidence_schema_text

        click.echo(evidence_schema_text(), nl=False)
        return
    from forensics.report.record import schema_text

    click.echo(schema_text(), nl=False)
