"""`forensics bench compare`."""

from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ConfigDict, Field

from eval.config import resolve_options
from forensics.cli.options import options_of

COMPARE_JSON, COMPARE_MD = "compare.json", "compare.md"
HEADER = ("set", "real/fake", "AUC a", "AUC b", "a - b [95 %]", "z", "DeLong p (Holm)", "clustered p (Holm)")
EPILOG = """\b
Examples:
  forensics bench compare ours/results.json theirs/results.json
  forensics bench compare before/ after/ --output difference
  forensics bench compare out/results.json       the detectors of one run

\b
Each file's scores.csv, which lies beside it, is what is compared; a folder or a
scores.csv may be named too (`forensics bench import` makes one of any tool's
predictions). Items are paired by SHA-256, or by path where that is not known.

\b
a - b     difference of the AUCs on the items that both scored, with a 95 %
          interval by a bootstrap over groups (same source or identity)
DeLong    paired test of DeLong et al. 1988: takes items as independent, so
          its p is too small where a recording appears more than once
clustered the same test for clustered items (Obuchowski 1997): believe this
(Holm)    p adjusted for the number of tests in the table (Holm 1979)

\b
Exit status: 0 done; 2 usage error; 3 some pairs have no item of a class that
both scored; 4 all of them.
"""


class CompareConfig(BaseModel):
    """Options of the command."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: int = Field(2000, ge=100, le=100_000, description="draws of the bootstrap")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the bootstrap")
    overwrite: bool = Field(False, description="replace files in --output that this tool did not write")
    quiet: bool = Field(False, description="say nothing on standard error but errors")


@click.command("compare", epilog=EPILOG)
@click.argument("results", nargs=-1, required=True, metavar="RESULTS...")
@click.option("-o", "--output", metavar="DIR", help="Folder for compare.json and compare.md.")
@options_of(CompareConfig)
def command(results: tuple[str, ...], output: str | None, **values: Any) -> int:
    """Test whether detectors, or runs, differ by more than chance.

    RESULTS are results.json files of `forensics bench run` or `import`. Every two detectors are compared on the items
    that both scored: per generator and data set first, then pooled.
    """
    config = resolve_options(CompareConfig, values, "compare")

    from eval.cli.tables import figure, show_table
    from eval.comparison import compare_files
    from eval.report.comparison import difference_text, p_text, render_comparison, shares_text, undefined_pairs
    from eval.report.tables import FEW_CLUSTERS
    from forensics.common.progress import Progress
    from forensics.common.text import terminal_line
    from forensics.report.store import OutputFolder

    folder = OutputFolder(Path(output), config.overwrite) if output else None
    if folder:
        folder.check([COMPARE_JSON, COMPARE_MD])
    found = compare_files([Path(name) for name in results], config.draws, config.seed, Progress(config.quiet))
    if folder:
        folder.write(COMPARE_JSON, found.to_json())
        folder.write(COMPARE_MD, render_comparison(found))
    for pair in found.pairs:
        click.echo(terminal_line(f"{pair.a} (a) and {pair.b} (b): {shares_text(pair)}"))
        rows = [
            (
                f"fakes of {family.name}" if family.kind == "generator" else family.name,
                f"{family.n_real}/{family.n_fake}",
                figure(family.auc_a),
                figure(family.auc_b),
                difference_text(family),
                figure(family.delong.z, 2),
                p_text(family.delong),
                p_text(family.clustered),
            )
            for family in pair.families
        ]
        show_table(HEADER, rows)
        for reason in dict.fromkeys(family.undefined for family in pair.families if family.undefined):
            click.echo(f"n/a: {reason}")
        click.echo()
    few = min(family.n_clusters for pair in found.pairs for family in pair.families)
    if 0 < few < FEW_CLUSTERS:
        click.echo(f"a set of only {few} independent groups: intervals and p are rough below {FEW_CLUSTERS}")
    if output:
        click.echo(f"tables in {terminal_line(str(Path(output) / COMPARE_MD))}")
    undefined = undefined_pairs(found)
    return 0 if undefined == 0 else 4 if undefined == len(found.pairs) else 3
