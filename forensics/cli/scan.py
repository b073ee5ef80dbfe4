"""`forensics scan`."""

import sys
from typing import Any

import click

from forensics.cli import complain
from forensics.cli.options import given_values, load_config_file, options_of
from forensics.common.errors import UsageError
from forensics.config import ScanConfig, resolve_config

EPILOG = """\b
Examples:
  forensics scan clip.mp4
  forensics scan photos/ --output report            records, pages, index, CSV
  forensics scan '*.mp4' --format json | jq .verdict.label
  find . -name '*.mov' | forensics scan -
  forensics scan clip.mp4 --detector mydetector.py   predict(path) -> float
  forensics scan clip.mp4 --fail-on suspect && publish
  forensics scan landscape.jpg --whole-image         synthetic? no face needed
  forensics scan clip.mp4 --evidence --output report with what else the file says

\b
Exit status: 0 done; 1 --fail-on was met; 2 usage error; 3 some inputs could
not be analysed; 4 none could. Results go to standard output, progress to
standard error. Without --output, `--format json` prints one record per line.

\b
Shell completion: add to your ~/.bashrc
  eval "$(_FORENSICS_COMPLETE=bash_source forensics)"
(zsh_source and fish_source for zsh and fish).
"""


@click.command("scan", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--config", metavar="FILE", help="TOML file with these options' own names; the command line wins.")
@click.option(
    "--whole-image",
    is_flag=True,
    help="Look for no face: judge each picture, or the frames of each clip, as a whole for traces of synthesis. Short for "
    "--view whole.",
)
@options_of(ScanConfig)
def command(paths: tuple[str, ...], whole_image: bool, **values: Any) -> int:
    """Scan pictures and videos for deepfaked faces, or with --whole-image for synthesis.

    PATH is a picture, a video, a folder, a pattern, or - (a list of paths on standard input). Each gets a verdict:
    likely fake, likely real, or inconclusive with its reason; with a calibrated probability at even prior odds.
    """
    file = load_config_file(values)
    given = given_values(values)
    if whole_image and given.setdefault("view", "whole") != "whole":
        raise UsageError(f"--whole-image and --view {given['view']} contradict each other", "leave one of them out")
    config = resolve_config(file, given)
    if config.output is None and "html" in config.format:
        raise UsageError("--format html needs a folder to write to", "add --output DIR")

    from forensics.batch import run_batch
    from forensics.cli.table import exit_status, print_table
    from forensics.common.progress import Progress
    from forensics.inputs import expand_inputs
    from forensics.report.record import Record
    from forensics.report.summary import csv_text

    streams_json = config.output is None and "json" in config.format

    def on_record(record: Record) -> None:
        if streams_json:
            sys.stdout.write(record.to_json(indent=None) + "\n")
            sys.stdout.flush()

    inputs = expand_inputs(paths)
    if not inputs:
        raise UsageError("the list of paths is empty", "give one path per line on standard input")
    done = run_batch(config, inputs, Progress(config.quiet), on_record)
    records = [finished.record for finished in done]
    if config.output is None and "csv" in config.format:
        sys.stdout.write(csv_text(records))
    prints_data = config.output is None and ("csv" in config.format or streams_json)
    if "table" in config.format or not prints_data:
        print_table(done, config.output)
    for record in records:
        if not record.outcome.analysed:
            complain(f"{record.input.path}: {record.message}", record.hint)
    return exit_status(records, config.fail_on)
