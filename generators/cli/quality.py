"""`forensics generate quality`."""

from typing import Any

import click

from forensics.cli.options import given_values, options_of
from generators.quality_config import QualityConfig

EPILOG = """\b
Examples:
  forensics generate quality runs/dcgan --data faces/manifest.csv
  forensics generate quality set/manifest.csv --data faces/manifest.csv --output q
  forensics generate quality runs/dcgan --data faces/manifest.csv --split test \\
      --samples 5000 --inception-weights weights-inception-2015-12-05-6726825d.pth
  forensics generate quality best.safetensors --data faces/ --train-data other/
  forensics generate quality runs/dcgan --data d.csv --format json | jq .kid

\b
WHAT is a folder or manifest of samples (rows with label 1), a run's folder (its
best checkpoint), a .safetensors file, or a generator that ships. Reals are the
rows of --data with label 0 and split dev; read --split test only for figures
that you report. Samples and reals are compared at the samples' size.

\b
kid        kernel distance of features; about 0 for the same kind of pictures,
           unbiased at any number: the figure to compare with
fid        Frechet distance; biased at small numbers: compare at one number only
precision  share of samples that lie among reals (looks real)
recall     share of reals that lie among samples (variety)
floor      the same between training pictures and the reals: what 0 looks like
near copies  share of samples nearer to a training picture than the nearest 1 %
           of the reals are, with the range it has where nothing is copied;
           mirrored copies are looked for in pixels, not in features

\b
Intervals are 95 %, for independent pictures: many pictures of few people make
them too narrow. That of fid is wide (conservative). Figures of different
extractors, input sizes or weights are never comparable: results.json names all
three.
--output keeps results.json and neighbours.png (rows: a sample, then its nearest
training pictures; look at it before you say that a generator copies).
"""


@click.command("quality", epilog=EPILOG)
@click.argument("what", metavar="WHAT")
@options_of(QualityConfig)
@click.option("--format", "shown", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="What is printed.")  # fmt: skip
def command(what: str, shown: str, **values: Any) -> None:
    """Measure samples against real pictures: KID, FID, precision, recall, and copies of training pictures."""
    from forensics.common.progress import Progress
    from generators.config import checked

    config = checked(QualityConfig, given_values(values), "forensics generate quality --help")

    from generators.measure import measure

    results = measure(what, config, Progress(config.quiet))
    if shown == "json":
        click.echo(results.model_dump_json(indent=1))
        return
    from forensics.cli.lines import print_figures, print_lines
    from forensics.common.text import terminal_line
    from generators.quality.results import summary_lines, table_rows

    print_figures(("figure", "value [95 %]", "of", "says"), table_rows(results))
    print_lines(terminal_line(line) for line in summary_lines(results, config.output))
