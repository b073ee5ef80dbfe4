"""`forensics bench schema`."""

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of results.json."""
    import json

    from eval.results import Results

    click.echo(json.dumps(Results.model_json_schema(), indent=2))
