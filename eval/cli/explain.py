"""`forensics bench explain`."""

from pathlib import Path
from typing import Any

import click

from eval.config import resolve_options
from eval.explanations.config import ExplainConfig
from forensics.cli.options import options_of

EPILOG = """\b
Examples:
  forensics generate faceswap warp --help                fakes with masks
  forensics bench explain swaps/manifest.csv --output out
  forensics bench explain swaps/ parts/ --split test --detector cnn --output out
  forensics bench explain --self-blends faces/manifest.csv --split test --output out
  forensics bench explain swaps/ --weights my-weights --limit 200 --output quick

\b
The manifest's column `mask` names a picture of the same size as the fake (any
value but 0 = altered), or for a clip a clip of the same size and times. Fakes
without one are counted and left out. --self-blends takes the real rows of a
manifest, blends each face with itself, and knows the mask.

\b
Four measures, each beside what chance and a blob in the middle of the crop get:
  pointing    the hottest place lies in the mask (Zhang et al. 2016)
  tolerant    the same within 15/224 of the crop's side
  energy      share of the heat inside the mask (Wang et al. 2020)
  iou         mask against as many of the hottest pixels

\b
Writes explanations.json (figures), explanations.csv (one row per fake and
detector), explanations.md, and explanations.png, a sheet of faces with mask and
heatmap. Each family stands with all fakes, the detected and the missed ones.

\b
Exit status: 0 done; 2 usage error; 3 a file or mask could not be read or did not
fit, or a detector failed; 4 nothing was measured. A fake without a face, or whose
altered part lies outside of the crop, is counted and no failure.
"""


@click.command("explain", epilog=EPILOG)
@click.argument("data", nargs=-1, metavar="[DATA]...")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for figures, report and sheet.")
@options_of(ExplainConfig, skip=("workers", "force", "whole_image", "randomised", "engine", "precision"))
def command(data: tuple[str, ...], output: str, **values: Any) -> int:
    """Score heatmaps with the known masks of fakes.

    DATA is a manifest CSV or a folder that holds manifest.csv. Each fake's face is found and cropped as in a scan, the mask
    is cropped alike, and the detector's heatmap is measured against it, with 95 % intervals by a bootstrap over sources and
    identities. A heatmap that is no better than a blob in the middle has not shown that it looks at the picture.
    """
    config = resolve_options(ExplainConfig, values, "explain")

    from eval.cli.tables import show_table, signed_with_interval, with_interval
    from eval.explanations.judging import MEASURED, OUTCOMES, could_not_be_measured
    from eval.explanations.measures import MEASURES
    from eval.explanations.report import family_text, measure_of
    from eval.explanations.run import MD_FILE, run_explanations
    from forensics.common.progress import Progress

    results = run_explanations(config, [Path(name) for name in data], Path(output), Progress(config.quiet))
    header = ("detector", "fakes", "calls", "n", "measure", "heatmap", "chance", "centred", "above centred")
    rows = []
    for cell in results.cells:
        for name in MEASURES:
            one = measure_of(cell, name)
            rows.append(
                (
                    cell.detector, family_text(cell), cell.calls, str(cell.n), name,
                    with_interval(one.heatmap.value, one.heatmap.low, one.heatmap.high),
                    f"{one.chance.value:.3f}", f"{one.centred.value:.3f}",
                    signed_with_interval(one.above_centred.value, one.above_centred.low, one.above_centred.high),
                )
            )  # fmt: skip
    show_table(header, rows, 5)
    counts = [part.outcomes for part in results.detectors]
    for part in results.detectors:
        for outcome, count in part.outcomes.items():
            if outcome != MEASURED and count:
                click.echo(f"{part.name}: {count} not measured: {OUTCOMES.get(outcome, outcome)}")
    if results.n_without_mask:
        click.echo(f"{results.n_without_mask} of {results.n_fakes} fakes have no mask: left out")
    click.echo(f"report in {Path(output) / MD_FILE}")
    if not any(outcomes[MEASURED] for outcomes in counts):
        return 4
    return 3 if any(n and could_not_be_measured(name) for outcomes in counts for name, n in outcomes.items()) else 0
