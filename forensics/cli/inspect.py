"""`forensics inspect`."""

import sys
from typing import TYPE_CHECKING, Any

import click

from forensics.cli import complain
from forensics.cli.options import given_values, options_of
from forensics.common.errors import UsageError
from forensics.config import InspectConfig

if TYPE_CHECKING:
    from forensics.report.evidence import EvidenceRecord

EPILOG = """\b
Examples:
  forensics inspect photo.jpg                        the table of findings
  forensics inspect photo.jpg clip.mp4 --output out  records, pages, maps, manifests
  forensics inspect photo.jpg --only jpeg-grid,copy-move
  forensics inspect clip.mp4 --case 17/26 --operator 'A. Smith' --output case17
  forensics inspect photo.jpg --format json | jq '.findings[].state'
  forensics inspect list                             what there is, and what it looks at
  forensics verify out/*.json                        are all files as they were written?

\b
States: consistent, suspicious, inconsistent (with one recording that was saved
and not altered since), inconclusive, not applicable. None is a probability, and
none says "fake": see each finding's harmless causes. A file called `list` is
./list.

\b
With --output each input gets NAME.json (the record), NAME.html, PNG maps, and
NAME.manifest.json with the SHA-256 of each; the manifest's own hash is printed,
to be kept elsewhere.

\b
Exit status: 0 done; 1 --fail-on was met; 2 usage error; 3 some inputs could
not be inspected; 4 none could.
"""


@click.command("inspect", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@options_of(InspectConfig)
def command(paths: tuple[str, ...], **values: Any) -> int:
    """Run classical forensic analyses on pictures and videos: what else does the file say?

    Metadata, compression history, noise, resampling, cloned regions; of clips also frames, flicker, landmark jitter, pulse.
    Each finding says what was measured, how, and what harmless causes look the same.
    """
    from forensics.common.options_file import checked_options

    if paths == ("list",):
        _print_list()
        return 0
    config = checked_options(InspectConfig, given_values(values), "see `forensics inspect --help`")
    if config.output is None and {"html", "pdf"} & set(config.format):
        raise UsageError("pages need a folder to be written to", "add --output DIR")

    from forensics.cli.evidence_table import evidence_exit_status, print_evidence
    from forensics.common.progress import Progress
    from forensics.inputs import expand_inputs
    from forensics.inspection_batch import inspect_batch

    if "pdf" in config.format:
        from forensics.report.printing import find_browser

        find_browser()  # now, and not after the first file
    streams_json = config.output is None and "json" in config.format

    def on_record(record: "EvidenceRecord") -> None:
        if streams_json:
            sys.stdout.write(record.to_json(indent=None) + "\n")
            sys.stdout.flush()

    inputs = expand_inputs(paths)
    if not inputs:
        raise UsageError("the list of paths is empty", "give one path per line on standard input")
    done = inspect_batch(config, inputs, Progress(config.quiet), on_record)
    if "table" in config.format or not streams_json:
        print_evidence(done, config.output)
    for finished in done:
        if finished.record.outcome != "inspected":
            complain(f"{finished.record.input.path}: {finished.record.message}", finished.record.hint)
    return evidence_exit_status([finished.record for finished in done], config.fail_on)


def _print_list() -> None:
    from forensics.analysis.catalogue import analyses, strength_of
    from forensics.cli.lines import print_figures

    print_figures(
        ("name", "looks at", "traces of", "strength", "question"),
        [(a.name, a.needs, a.family, strength_of(a.name), a.question) for a in analyses()],
    )
