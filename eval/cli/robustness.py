"""`forensics bench robustness`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eval.config import RobustnessConfig, resolve_options
from forensics.cli.options import options_of

if TYPE_CHECKING:
    from eval.robustness import ConditionPart

EPILOG = """\b
Examples:
  forensics bench robustness faces/manifest.csv --split test --output out
  forensics bench robustness a/ b/ --limit 400 --perturb jpeg --perturb h264 --output out
  forensics bench robustness clips/ --perturb h264:35 --detector cnn --output out
  forensics bench robustness faces/ --perturb restore --perturb srgan:x2 --output out

\b
Perturbations, five strengths each from mild to strong: jpeg, webp, h264, resize,
blur, noise, gamma, colour, crop; and platform (three delivery profiles). They
are applied to reals and fakes alike, before faces are looked for.

\b
Laundering by trained networks, only when asked for: restore:denoise,
restore:deblock, srgan:x2 (halved by area, enlarged again by the network; the
size stays, odd sides are filled up by reflection and cut off again); restore:
all restorations that ship. A checkpoint of your own: restore:denoise=RUN, a
run of `forensics generate train-translator` or a file. They run on the CPU;
robustness.json names the SHA-256 of each checkpoint.

\b
Writes robustness.json, robustness.md and robustness.html. The same command
again takes known scores from the folder's cache: a stopped run goes on.

\b
Exit status: 0 done; 2 usage error; 3 some items could not be analysed, clean or
perturbed; 4 none.
"""


@click.command("robustness", epilog=EPILOG)
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for results and the page.")
@options_of(RobustnessConfig)
def command(data: tuple[str, ...], output: str, **values: Any) -> int:
    """Measure detectors under compression, resizing, blur, noise and more.

    Prints the AUC that is lost under each condition, per data set before all together; the page draws the curves.
    """
    config = resolve_options(RobustnessConfig, values, "robustness")

    from eval.cli.results_table import exit_status
    from eval.cli.tables import percent, show_table, signed_with_interval, with_interval
    from eval.robustness import HTML_FILE, run_robustness
    from forensics.common.progress import Progress

    results = run_robustness(config, [Path(name) for name in data], Path(output), Progress(config.quiet))
    rows = [
        (
            part.family,
            part.detector,
            _condition(part),
            with_interval(part.auc, part.auc_low, part.auc_high),
            signed_with_interval(part.drop, part.drop_low, part.drop_high),
            percent(part.fpr),
            percent(part.fnr),
            percent(part.share_scored),
        )
        for part in sorted(results.conditions, key=lambda part: (part.family == "all", part.family, part.detector))
    ]
    show_table(("set", "detector", "condition", "AUC [95 %]", "drop [95 %]", "FPR", "FNR", "scored"), rows, 3)
    click.echo(f"labels and scores 1 = fake; curves in {Path(output) / HTML_FILE}")
    return exit_status(results.outcomes.values())


def _condition(part: "ConditionPart") -> str:
    from eval.laundering import NETWORKS

    if part.strength is None:
        return "clean"
    return part.perturbation if part.perturbation in NETWORKS else f"{part.perturbation}:{part.strength:g}"
