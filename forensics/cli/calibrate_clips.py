"""`forensics calibrate-clips`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from forensics.common.metrics import Estimate
    from forensics.training.clips import ClipCalibration

HEADER = ("samples", "set", "real/fake", "missed", "AUC [95 %]", "false alarms", "uncorrected", "spread")

EPILOG = """\b
Examples:
  forensics calibrate-clips --data clips/manifest.csv --output calibrated
  forensics calibrate-clips --data clips/manifest.csv --weights runs/mine --output runs/mine
  forensics scan clip.mp4 --weights calibrated

\b
A manifest is a CSV with the columns path,label,dataset,source,identity,split,
view: label 1 = fake, split dev, view scene. Clips that share a source or an
identity are not taken for independent: a swap has the identity of the person
whose clip it is, and as source the recording that the face comes from.
`examples/video_dev.sh` makes such a set.

\b
What the columns say:
  samples       how the samples of a face become one score; (chosen): what is written
  AUC           of clips, by their most suspicious face
  false alarms  real clips at or above the threshold of likely fake
  uncorrected   the same without what several faces take off the score
  spread        of real faces' scores, as standard deviation in log odds

\b
With fewer than 20 independent groups of persons on either side nothing is chosen: a
clip's score stays the mean logit of its most suspicious face. The spread of
real faces is measured all the same (from 8 faces).
"""


@click.command("calibrate-clips", epilog=EPILOG)
@click.option("--data", multiple=True, required=True, metavar="MANIFEST", help="Manifest CSV; may be repeated.")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder of the set of weights that is written.")
@click.option("--weights", metavar="DIR", help="Folder with model.json, instead of the shipped weights.")
@click.option("--detector", default="default", show_default=True, metavar="NAME", help="Whose scores decide.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0: as many as there are cores.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the intervals' draws.")
@click.option("--overwrite", is_flag=True, help="Replace files in --output that this tool did not write.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
def command(
    data: tuple[str, ...],
    output: str,
    weights: str | None,
    detector: str,
    threads: int,
    seed: int,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Choose how the faces of a clip become one score, on labelled clips of split dev.

    Scans each clip once, compares ways to aggregate the samples of a face, measures how real faces' scores spread, so that
    a clip with many faces is no false alarm for their number, and writes the set of weights with the choice into OUTPUT.
    Prints the figures, which are also in OUTPUT/clips.json. The same command again goes on where it stopped.
    """
    from forensics.common.manifest import read_manifest
    from forensics.common.progress import Progress
    from forensics.training.clips import calibrate_clips

    items = [item for name in data for item in read_manifest(Path(name))]
    source = Path(weights) if weights else None
    found = calibrate_clips(items, source, Path(output), Progress(quiet), detector, threads, seed, overwrite)
    _print(found)


def _print(found: "ClipCalibration") -> None:
    from forensics.cli.lines import print_figures

    chosen = found.chosen.aggregation
    rows = [
        (
            candidate.aggregation.method.replace("_", " ")
            + (" (chosen)" if candidate.aggregation.method == chosen.method else ""),
            part.dataset,
            f"{part.n_real}/{part.n_fake}",
            str(part.n_missed),
            _shown(part.auc),
            _shown(part.false_alarms),
            _shown(part.uncorrected),
            "-" if candidate.aggregation.real_track_sd is None else f"{candidate.aggregation.real_track_sd:.2f}",
        )
        for candidate in found.found
        for part in candidate.figures
    ]
    print_figures(HEADER, rows)
    click.echo(f"chosen: {chosen.method.replace('_', ' ')} ({found.why})")
    if chosen.real_track_sd is None:
        click.echo(
            f"{chosen.n_real_tracks} real faces: too few to measure their spread; several faces take nothing off"
        )
    else:
        at_five = chosen.lowered_by(5)
        click.echo(
            f"real faces spread by {chosen.real_track_sd:.2f} ({chosen.n_real_tracks} tracks): five take {at_five:.2f} off"
        )


def _shown(estimate: "Estimate") -> str:
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f}" if math.isnan(estimate.low) else str(estimate)
