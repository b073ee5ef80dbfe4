"""`forensics verify`."""

from pathlib import Path

import click

from forensics.common.errors import UsageError

EPILOG = """\b
Examples:
  forensics verify out/photo.jpg-1a2b3c4d-inspection.json
  forensics verify out/*.manifest.json
  forensics verify out/a.json --input moved/photo.jpg
  forensics verify out/a.json --manifest-sha256 0f3c...     as noted when it was written

\b
Whoever changes a file and the manifest alike is found out by --manifest-sha256
alone: keep elsewhere what `forensics inspect` or `scan --evidence` printed.

\b
Exit status: 0 all hashes fit; 1 some do not; 2 usage error.
"""


@click.command("verify", epilog=EPILOG)
@click.argument("reports", nargs=-1, required=True, metavar="REPORT...", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "original",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file that the report is of, where it was moved.",
)
@click.option(
    "--manifest-sha256", metavar="HEX", help="Of the manifest, as it was printed when the report was written."
)
def command(reports: tuple[Path, ...], original: Path | None, manifest_sha256: str | None) -> int:
    """Re-check every hash of a report of `inspect` or `scan --evidence`: record, page, maps, and the file itself.

    REPORT is a record (NAME.json) or a manifest (NAME.manifest.json).
    """
    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line
    from forensics.verification import verify

    if len(reports) > 1 and (original is not None or manifest_sha256 is not None):
        raise UsageError("--input and --manifest-sha256 are of one report", "verify the reports one by one")
    words = {True: "unchanged", False: "CHANGED", None: "not checked"}
    status = 0
    for report in reports:
        found = verify(report, original, manifest_sha256)
        print_lines([f"{found.manifest}  SHA-256 {found.manifest_sha256}"])
        for line in found.lines:
            detail = f": {terminal_line(line.detail)}" if line.detail else ""
            print_lines([f"  {words[line.is_unchanged]:<12} {terminal_line(line.name)}{detail}"])
        print_lines(["  all that could be checked is unchanged" if found.is_unchanged else "  NOT as it was written"])
        status = status if found.is_unchanged else 1
    return status
