"""The one console script. Commands are imported when they are called, so that `--help` is fast and needs no torch."""

import io
import os
import sys
from importlib import import_module
from typing import Any

import click

from forensics import __version__
from forensics.common.errors import ForensicsError
from forensics.common.text import terminal_line

# Name -> (module with `command`, line in --help).
COMMANDS = {
    "scan": ("forensics.cli.scan", "Scan pictures and videos for deepfaked faces."),
    "inspect": ("forensics.cli.inspect", "Run classical forensic analyses: what else does the file say?"),
    "verify": ("forensics.cli.verify", "Check the hashes of an inspection's report."),
    "report": ("forensics.cli.report", "Compare two inspections' records."),
    "bench": ("eval.cli", "Measure detectors: benchmarks, robustness, attacks, test sets, audits."),
    "train": ("forensics.cli.train", "Train the detectors on manifests of labelled pictures."),
    "calibrate-clips": (
        "forensics.cli.calibrate_clips",
        "Choose on labelled clips how a clip's faces become one score.",
    ),
    "generate": ("generators.cli", "Make fakes: train generators, sample them, measure their quality."),
    "export": ("forensics.cli.export", "Write the detectors' networks as ONNX, for use without this package."),
    "doctor": ("forensics.cli.doctor", "Check this installation: versions, devices, weights, a self-test."),
    "config": ("forensics.cli.config", "Print the resolved configuration of a scan as TOML."),
    "schema": ("forensics.cli.schema", "Print the JSON Schema of a scan's or an inspection's record."),
}
INTERRUPTED = 130
BROKEN_PIPE = 141


class LazyGroup(click.Group):
    """Knows its commands by name, as in COMMANDS; imports one when it is used."""

    def __init__(self, *args: Any, commands_by_name: dict[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._known = commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._known:
            return None
        command: click.Command = import_module(self._known[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._known.items()])


@click.group(cls=LazyGroup, commands_by_name=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="forensics")
def cli() -> None:
    """Find deepfakes in videos and images, and know how far to trust the answer.

    \b
    Start with:   forensics scan clip.mp4
    A report:     forensics scan clip.mp4 --output report
    Trouble:      forensics doctor

    Scores and probabilities run from 0 (real) to 1 (fake).
    """


def main() -> None:
    """Entry point: typed errors become one line, a hint, and their exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is shown escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(standalone_mode=False)
    except ForensicsError as error:
        complain(error.message, error.hint)
        sys.exit(error.exit_status)
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except click.exceptions.Abort:
        complain("stopped", "what was finished is kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


def complain(message: str, hint: str) -> None:
    """An error on standard error: one line, and its hint."""
    click.echo(f"error: {terminal_line(message)}", err=True)
    if hint:
        click.echo(f"hint: {terminal_line(hint)}", err=True)
