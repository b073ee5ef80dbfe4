"""`forensics bench run`."""

from pathlib import Path
from typing import Any

import click

from eval.config import BenchConfig, resolve_options
from forensics.cli.options import options_of

EPILOG = """\b
Examples:
  forensics bench run faces/manifest.csv --output out
  forensics bench run FaceForensics++ --compression c23 --split test --output out
  forensics bench run Celeb-DF-v2 --detector default --detector mine.py --output out
  forensics bench run a/ b/ --detector meso4 --weights Meso4_DF.h5 --output out
  forensics bench run photos/ --layout folder --limit 200 --output quick

\b
DATA is a manifest CSV (path,label,generator,dataset,source,identity,split,view),
a folder that holds manifest.csv, or a folder in a public layout; several are
judged together. Labels and scores: 1 = fake, 0 = real.

\b
Writes results.json (figures; `forensics bench schema` describes it), scores.csv
(one row per item and detector), report.md, report.html, and for clips
tracks.csv and frames.csv. The same command again takes known scores from the
folder's cache: a stopped run goes on, another --detector costs only itself. A
FILE.py is known by its own bytes: after changing a model that it loads, --force.

\b
Exit status: 0 done; 2 usage error; 3 some items could not be analysed; 4 none.
"""


@click.command("run", epilog=EPILOG)
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for results, scores and reports.")
@options_of(BenchConfig)
def command(data: tuple[str, ...], output: str, **values: Any) -> int:
    """Score a labelled data set with detectors and measure them.

    Items go through the very path that `forensics scan` takes. Figures come per data set and generator before they are
    pooled, with 95 % intervals by a bootstrap over sources and identities; what could not be scored is counted, never
    scored 0.5.
    """
    config = resolve_options(BenchConfig, values, "run")

    from eval.benchmark import run_bench
    from eval.cli.results_table import exit_status, print_results
    from forensics.common.progress import Progress

    results = run_bench(config, [Path(name) for name in data], Path(output), Progress(config.quiet))
    print_results(results, Path(output))
    return exit_status(part.coverage.outcomes for part in results.detectors.values())
