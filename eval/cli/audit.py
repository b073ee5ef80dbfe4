"""`forensics bench audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eval.audit.config import AuditConfig
from eval.config import resolve_options
from forensics.cli.options import options_of

if TYPE_CHECKING:
    from eval.audit.schema import AuditReport

EPILOG = """\b
Examples:
  forensics bench audit faces/manifest.csv
  forensics bench audit Celeb-DF-v2 --output audit      audit.json, audit.md
  forensics bench audit train.csv test.csv              is one in the other?
  forensics bench audit a/ b/ c/ --limit 5000           a sample of each
  forensics bench audit faces/ --fail-on leakage && forensics train --data ...

\b
Leakage: the same file (by SHA-256), nearly the same picture (perceptual hash,
confirmed by correlation), the same source or identity in two splits; a file
with both labels, or in two data sets. A DATA without splits is one side; rows
without a split, where others have one, are a side of their own.

\b
Shortcuts: what a gradient-boosted tree, which never sees a face, gets from the
file format, sizes, JPEG settings, metadata, colours, and clip properties. By
the lower end of the AUC's 95 % interval: none found below 0.60, weak to 0.75,
strong above. A shortcut is a reason to mend the data, or to say so beside
every figure; not one to throw them away.

\b
Exit status: 0 whatever was found; 1 if --fail-on names it; 2 usage error;
4 not one file could be read. Unreadable files are counted and listed.
"""
LEAKAGE_HEADER = ("leakage", "outcome", "found", "items", "between")
FILES = ("audit.json", "audit.md")


@click.command("audit", epilog=EPILOG)
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-o", "--output", metavar="DIR", help="Folder for audit.json and audit.md.")
@options_of(AuditConfig)
def command(data: tuple[str, ...], output: str | None, **values: Any) -> int:
    """Look for leakage between splits and for shortcuts to the label.

    DATA is a manifest CSV, a folder that holds manifest.csv, or a folder in a public layout. Several are audited each for
    itself and all together. Clips are judged by their middle frame and what their packets say.
    """
    config = resolve_options(AuditConfig, values, "audit")

    from eval.audit.markdown import render_markdown
    from eval.audit.report import has_leakage, has_shortcut
    from eval.audit.run import audit, load_data
    from forensics.common.progress import Progress
    from forensics.report.store import OutputFolder

    folder = OutputFolder(Path(output), config.overwrite) if output else None
    if folder:
        folder.check(FILES)
    progress = Progress(config.quiet)
    loaded = load_data(config, [Path(name) for name in data])
    for one in loaded:
        for note in one.notes:
            progress.say(f"{one.name}: {note}")
    report = audit(config, loaded, progress)
    if folder:
        for name, content in zip(FILES, (report.to_json(), render_markdown(report)), strict=True):
            folder.write(name, content)
    _print(report, Path(output) if output else None)
    if report.unreadable.n == sum(one.n for one in report.data):
        return 4
    is_leaking, has_shortcuts = has_leakage(report.leakage), has_shortcut(report.shortcuts)
    fails = {"never": False, "leakage": is_leaking, "shortcut": has_shortcuts, "any": is_leaking or has_shortcuts}
    return int(fails[config.fail_on])


def _print(report: "AuditReport", output: Path | None) -> None:
    from eval.audit.markdown import SHORTCUT_HEADER, between_text, outcome_text, shortcut_rows
    from eval.cli.tables import show_table
    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line

    leakage = [
        (one.title, outcome_text(one), str(one.n), str(one.n_items), between_text(one) or one.reason)
        for one in report.leakage
    ]
    show_table(LEAKAGE_HEADER, leakage, numeric_from=len(LEAKAGE_HEADER))
    print_lines([""])
    show_table(SHORTCUT_HEADER, shortcut_rows(report), numeric_from=len(SHORTCUT_HEADER))
    lines = [""]
    if report.unreadable.n:
        first = report.unreadable.files[0]
        lines.append(f"{report.unreadable.n} files could not be read, the first: {first.path}: {first.message}")
    lines.append(f"verdict: {report.verdict.sentence}")
    if output is not None:
        lines.append(f"report in {output / FILES[1]}")
    print_lines(terminal_line(line) for line in lines)
