"""`forensics bench import`."""

from pathlib import Path
from typing import Any

import click

from eval.config import ImportConfig, resolve_options
from forensics.cli.options import options_of

EPILOG = """\b
Examples:
  forensics bench import scores.csv --output out
  forensics bench import theirs.csv --detector xception --threshold 0.4 --output out

\b
Columns: path,label,score (label 1 = fake; score in [0, 1], 1 = fake), and as
far as known generator,dataset,source,identity,video,split,detector,outcome.
A failure has no score and an outcome: no_face, too_small, unreadable, no_video,
limit_exceeded, detector_error. Rows that share a video are frames of it.

\b
Exit status: 0 done; 2 usage error; 3 some items have no score because they
could not be analysed; 4 none has.
"""


@click.command("import", epilog=EPILOG)
@click.argument("scores", metavar="SCORES.csv")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for results, scores and reports.")
@options_of(ImportConfig)
def command(scores: str, output: str, **values: Any) -> int:
    """Make results.json and reports from the scores of any other tool.

    What comes out is what `forensics bench run` writes, so that `forensics bench compare` reads both.
    """
    config = resolve_options(ImportConfig, values, "import")

    from eval.cli.results_table import exit_status, print_results
    from eval.importing import import_scores
    from forensics.common.progress import Progress

    results = import_scores(config, Path(scores), Path(output), Progress(config.quiet))
    print_results(results, Path(output))
    return exit_status(part.coverage.outcomes for part in results.detectors.values())
