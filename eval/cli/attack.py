"""`forensics bench attack`."""

from pathlib import Path
from typing import Any

import click

from eval.attack_sets.config import AttackConfig
from eval.config import resolve_options
from forensics.cli.options import options_of

EPILOG = """\b
Examples:
  forensics bench attack faces/manifest.csv --detector cnn --output adv
  forensics bench attack a/ --detector cnn --attack fgsm --attack pgd-8bit
      --epsilon 1 --epsilon 4 --split test --limit 400 --output adv
  forensics bench attack a/ --attack pgd-robust --classes fake --output adv
  forensics bench attack a/ --detector cnn --attack patch --output adv
  forensics bench attack a/ --detector cnn --target mine.py --output adv

\b
Attacks:
  fgsm        one step along the sign of the gradient (Goodfellow 2015)
  pgd         repeated steps in the L-inf ball, random start (Madry 2018)
  pgd-l2      the same in the L2 ball
  pgd-8bit    every iterate is an 8-bit picture: saving changes nothing
  pgd-robust  expectation over JPEG and resize (Athalye 2018)
  patch       one universal square on 1 % of the face (Carlini, Farid 2020)
  noise       control: random signs of the same size, without a gradient

\b
Black box: craft on one detector (--detector) and see the others' columns; any
detector, also FILE.py, can be a --target. The victim needs a gradient.

\b
Writes, below --output, one folder per victim, attack and epsilon: PNGs with a
manifest (columns attack, epsilon, victim, success_before, success_after), that
every other command reads as a data set; and attack.json, attack.md, scores.csv.
The same command again makes and scores only what is missing.

\b
Exit status: 0 done; 2 usage error; 3 some items could not be analysed; 4 no
picture could be attacked.
"""


@click.command("attack", epilog=EPILOG)
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for the sets and the report.")
@options_of(AttackConfig, skip=("sample_fps", "max_frames", "whole_image"))
def command(data: tuple[str, ...], output: str, **values: Any) -> int:
    """Make adversarial pictures against a detector and measure all with them.

    DATA is a manifest or a data set of pictures. The face that a scan would look at is changed by at most epsilon grey
    levels (or covered by a patch), so that fakes look real to the victim and reals fake; the pictures are saved as PNG,
    and every detector scores what was saved. The table says how far each attack carries from its victim to the others.
    """
    config = resolve_options(AttackConfig, values, "attack")

    from eval.attack_sets.run import MD_FILE, run_attacks
    from eval.cli.tables import percent, show_table, with_interval
    from forensics.common.outcomes import Outcome
    from forensics.common.progress import Progress

    results = run_attacks(config, [Path(name) for name in data], Path(output), Progress(config.quiet))
    show_table(
        ("set", "budget", "reals/fakes", "wrong clean", "wrong in memory", "wrong as saved", "largest change"),
        [
            (
                one.folder, f"{one.epsilon:g} {one.unit}", f"{one.n_real}/{one.n_fake}", percent(one.success_clean),
                percent(one.success_before), percent(one.success_after), f"{one.largest_change}/255",
            )
            for one in results.sets
        ],
        2,
    )  # fmt: skip
    click.echo("")
    header = (
        "family",
        "set",
        "target",
        "threat model",
        "AUC clean",
        "fakes attacked",
        "both",
        "flipped",
        "inconclusive",
    )
    show_table(
        header,
        [
            (
                cell.family, cell.set, cell.target, cell.threat_model,
                *(
                    with_interval(one.value, one.low, one.high)
                    for one in (cell.auc_clean, cell.auc_fakes_attacked, cell.auc_both_attacked)
                ),
                percent(cell.flipped.value), percent(cell.inconclusive_attacked.value),
            )
            for cell in sorted(results.cells, key=lambda cell: (cell.family == "all", cell.family))
        ],
        4,
    )  # fmt: skip
    if results.left_out:
        click.echo(
            f"{len({one.path for one in results.left_out})} items could not be attacked (no face, unreadable, or too small "
            "for a patch); the report lists them"
        )
    click.echo(f"labels and scores 1 = fake; report in {Path(output) / MD_FILE}")
    if not results.sets:
        return 4
    return 3 if any(not Outcome(one.outcome).analysed for one in results.left_out) else 0
