"""`forensics generate list`."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from generators.catalogue import ShippedCard, ShippedTranslator, SystemCard

EPILOG = """\b
Examples:
  forensics generate list
  forensics generate list --format json | jq '.systems[].presets[]'

\b
G and D are the weights of generator and discriminator. Conditional systems have
as many classes as the data; their sizes are shown for 10. A preset's other
numbers: forensics generate train SYSTEM --help, or run.json of a run.
"""


@click.command("list", epilog=EPILOG)
@click.option("--format", "shown_as", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="For people, or for programs.")  # fmt: skip
def command(shown_as: str) -> None:
    """Show the systems with their references, presets and sizes, and the generators that ship with the package."""
    import json
    from dataclasses import asdict

    from forensics.cli.lines import print_lines
    from generators.catalogue import (
        describe_shipped,
        describe_shipped_translators,
        describe_systems,
        describe_translators,
    )
    from generators.faceswap.training.presets import describe_swaps

    shipped_translators = describe_shipped_translators()
    systems, translators, shipped = describe_systems(), describe_translators(), describe_shipped()
    if shown_as == "json":
        known = {
            "systems": [asdict(card) for card in systems],
            "translators": [asdict(card) for card in translators],
            "shipped": [asdict(card) for card in shipped],
            "shipped_translators": [asdict(card) for card in shipped_translators],
        }
        print_lines([json.dumps(known, indent=2)])
        return
    _print_systems(systems)
    print_lines([""])
    _print_presets(systems)
    print_lines([""])
    _print_shipped(shipped)
    print_lines(["", "pictures from pictures (forensics generate train-translator --help)", ""])
    _print_systems(translators)
    print_lines([""])
    _print_presets(translators)
    if shipped_translators:
        print_lines([""])
        _print_shipped_translators(shipped_translators)
    print_lines(["", "face swaps (forensics generate faceswap --help)", *(f"  {line}" for line in describe_swaps())])


def _print_systems(systems: "list[SystemCard]") -> None:
    from rich.text import Text

    from forensics.cli.lines import plain_table, print_plain_table, table_console

    table = plain_table()
    table.add_column("system", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for card in systems:
        # The registry's line, after the title where it does not begin with it.
        is_title = card.line.lower().startswith(card.title.lower())
        table.add_row(
            card.name, Text(card.title + card.line[len(card.title) :] if is_title else f"{card.title}: {card.line}")
        )
        table.add_row("", Text(card.reference))
    print_plain_table(table_console(), table)


def _print_presets(systems: "list[SystemCard]") -> None:
    from forensics.cli.lines import plain_table, print_plain_table, table_console

    table = plain_table()
    for name in ("system", "preset"):
        table.add_column(name, no_wrap=True)
    for name in ("pictures", "batch", "steps", "weights of G", "of D"):
        table.add_column(name, justify="right", no_wrap=True)
    for card in systems:
        for k, size in enumerate(card.presets):
            table.add_row(
                card.name if k == 0 else "", size.preset, f"{size.image_px} px", str(size.batch_size), f"{size.steps:,}",
                f"{size.generator:,}", f"{size.discriminator:,}",
            )  # fmt: skip
    print_plain_table(table_console(), table)


# A line of the table fits a terminal of 100 columns.
DATA_COLUMNS = 36


def _print_shipped(shipped: "list[ShippedCard]") -> None:
    import textwrap

    from rich.text import Text

    from forensics.cli.lines import plain_table, print_lines, print_plain_table, table_console
    from forensics.common.text import terminal_line

    if not shipped:
        print_lines(["no generators ship with this installation"])
        return
    table = plain_table()
    table.add_column("shipped", no_wrap=True)
    table.add_column("system", no_wrap=True)
    for name in ("pictures", "file", "KID to these"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trained on", overflow="fold")
    for card in shipped:
        kid = "-" if card.kid is None else f"{card.kid:.4f} [{card.extractor}]"
        table.add_row(
            Text(card.name), Text(terminal_line(card.system)), f"{card.image_px} px", f"{card.bytes / 1e6:.1f} MB",
            Text(terminal_line(kid)), Text(textwrap.fill(terminal_line(card.data or "-"), DATA_COLUMNS)),
        )  # fmt: skip
    print_plain_table(table_console(), table)


def _print_shipped_translators(shipped: "list[ShippedTranslator]") -> None:
    import textwrap

    from rich.text import Text

    from forensics.cli.lines import plain_table, print_plain_table, table_console
    from forensics.common.text import terminal_line

    table = plain_table()
    for name in ("shipped", "what it does"):
        table.add_column(name, no_wrap=True)
    for name in ("file", "PSNR, before"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trained on", overflow="fold")
    for card in shipped:
        both = [f"{db:.1f}" for db in (card.psnr_db, card.before_psnr_db) if db is not None]
        table.add_row(
            Text(card.name), Text(terminal_line(card.what)), f"{card.bytes / 1e6:.1f} MB",
            f"{', '.join(both)} dB" if both else "-",
            Text(textwrap.fill(terminal_line(card.data or "-"), DATA_COLUMNS)),
        )  # fmt: skip
    print_plain_table(table_console(), table)
