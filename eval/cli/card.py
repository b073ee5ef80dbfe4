"""`forensics bench card`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  forensics bench card --results out/results.json --output MODEL_CARD.md
  forensics bench card --weights runs/mine --results out --robustness rob
      --attack adv --clips clips --explanations expl --output MODEL_CARD.md
  forensics bench card --results out --results 'whole pictures=whole'
      --data faces/manifest.csv --recipe recipe.toml --figures docs
      --output MODEL_CARD.md

\b
Where the figures come from (FILE or its folder, or TITLE=FILE; may be repeated):
  --results       results.json     forensics bench run DATA --split test
  --robustness    robustness.json  forensics bench robustness
  --attack        attack.json      forensics bench attack
  --clips         results.json     forensics bench run on clips: every verdict
  --explanations  explanations.json  forensics bench explain
All must be about the weights of --weights: their hashes are compared. Of results
on whole pictures the fusion `whole-image` is shown in the place of `default`.

\b
--failures DIR is a folder of pictures that you made yourself, scored there
(forensics bench run DIR/manifest.csv --output DIR), with a NOTE.md that says
who made them and under which terms. The card shows those judged wrong.

\b
--prose FILE holds the words that no file of results can give, in blocks that
begin with a line <!-- block: NAME -->: about, use, not-for, data, limits, and if
wanted recipe, generators. Measured figures may not be typed into it. Without it,
the words for the shipped weights are taken, which a card on others says.

\b
The same files give the same card, byte for byte.
Exit status: 0 done; 2 a file is missing, of another kind, or of other weights.
"""


@click.command("card", epilog=EPILOG)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.md", help="The card.")
@click.option("--results", multiple=True, required=True, metavar="FILE", help="Figures of `bench run`; repeatable.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="DIR", help="Folder with model.json [the shipped].")
@click.option("--robustness", multiple=True, metavar="FILE", help="Figures of `bench robustness`; repeatable.")
@click.option("--attack", multiple=True, metavar="FILE", help="Figures of `bench attack`; repeatable.")
@click.option("--clips", multiple=True, metavar="FILE", help="Figures of `bench run` on clips; repeatable.")
@click.option("--explanations", multiple=True, metavar="FILE", help="Figures of `bench explain`; repeatable.")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Manifest whose rows are counted per split; repeatable.",
)
@click.option("--recipe", type=click.Path(path_type=Path), metavar="FILE", help="Shown as it is, e.g. recipe.toml.")
@click.option("--failures", type=click.Path(path_type=Path), metavar="DIR", help="Your own pictures, scored there.")
@click.option("--prose", type=click.Path(path_type=Path), metavar="FILE", help="The words of the card.")
@click.option("--figures", type=click.Path(path_type=Path), metavar="DIR", help="Folder for SVGs [beside the card].")
@click.option("--detector", default="default", show_default=True, help="Detector that the card is about.")
@click.option("--overwrite", is_flag=True, help="Replace files that this command did not write.")
def command(
    output: Path, results: tuple[str, ...], weights: Path | None, robustness: tuple[str, ...],
    attack: tuple[str, ...], clips: tuple[str, ...], explanations: tuple[str, ...], data: tuple[Path, ...],
    recipe: Path | None, failures: Path | None, prose: Path | None, figures: Path | None, detector: str,
    overwrite: bool,
) -> None:  # fmt: skip
    """Write a model card in which every figure comes from a file of results.

    What the weights are, the data, figures per data set and generator with intervals and coverage, verdicts, calibration,
    error against coverage, all detectors on the same items, changed and adversarial pictures, clips, explanations, failure
    cases, limits, and the hashes of all files that it was made from.
    """
    from eval.card.run import CardRequest, write_card

    request = CardRequest(
        output=output,
        results=results,
        weights=weights,
        robustness=robustness,
        attack=attack,
        clips=clips,
        explanations=explanations,
        data=data,
        recipe=recipe,
        failures=failures,
        prose=prose,
        figures=figures,
        detector=detector,
        overwrite=overwrite,
    )
    for path in write_card(request):
        click.echo(str(path))
