"""`forensics generate`: one module per command, imported when it is called."""

import click

from forensics.cli import LazyGroup

COMMANDS = {
    "list": ("generators.cli.list", "Show systems, their presets and sizes, and shipped generators."),
    "train": ("generators.cli.train", "Train a generator on real pictures."),
    "resume": ("generators.cli.resume", "Go on with a run that stopped, or train a finished one for longer."),
    "sample": ("generators.cli.sample", "Draw labelled fakes, with reals beside them if asked."),
    "interpolate": ("generators.cli.interpolate", "Show what lies between samples: a strip, a clip."),
    "quality": ("generators.cli.quality", "Measure samples: KID, FID, precision, recall, memorisation."),
    "faceswap": ("generators.faceswap.cli", "Swap faces: extract, train, convert; or warp without training."),
    "train-translator": (
        "generators.cli.train_translator",
        "Train a network that draws pictures from pictures: restored, enlarged, drawn.",
    ),
    "translate": ("generators.cli.translate", "Send pictures through a trained translator."),
    "stills": (
        "generators.stills.cli",
        "Families of fakes made from a manifest's reals: swaps, samples, redrawn faces.",
    ),
    "export": ("generators.cli.export", "Keep a run's generator alone, in half precision, to hand on."),
}


@click.group("generate", cls=LazyGroup, commands_by_name=COMMANDS)
def command() -> None:
    """Make fakes: train generators, sample them, measure their quality.

    \b
    What is there:     forensics generate list
    Train one:         forensics generate train dcgan --data faces/ --output runs/dcgan
    Draw labelled fakes, and as many reals:
        forensics generate sample runs/dcgan --reals faces/manifest.csv --output set
    How good are they: forensics generate quality runs/dcgan --data faces/manifest.csv
    Can we tell them:  forensics bench run set/manifest.csv --detector default --output out

    A sample folder has a manifest that says label 1 (fake), which generator drew
    it, from which checkpoint and seed. Data stay on your machine; nothing is
    downloaded or sent.
    """
