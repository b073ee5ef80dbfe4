"""`forensics generate stills`: one module per command, imported when it is called."""

import click

from forensics.cli import LazyGroup

COMMANDS = {
    "swap": ("generators.stills.cli.swap", "Put faces of a manifest's reals onto each other."),
    "gan": ("generators.stills.cli.gan", "Enlarge samples of generators beside reals of one resolution."),
    "train-autoencoder": ("generators.stills.cli.train_autoencoder", "Train the autoencoder of `reconstruct`."),
    "reconstruct": ("generators.stills.cli.reconstruct", "Redraw faces by an autoencoder."),
}


@click.group("stills", cls=LazyGroup, commands_by_name=COMMANDS)
def command() -> None:
    """Families of fakes made from the reals of a manifest, as data for detectors.

    \b
    Swaps:            forensics generate stills swap --data faces/manifest.csv --output own/swaps
    GAN samples:      forensics generate stills gan --model dcgan --reals faces/manifest.csv --output own/gans
    Reconstructions:  forensics generate stills train-autoencoder --data faces/manifest.csv --output runs/ae
                      forensics generate stills reconstruct --data faces/manifest.csv --model runs/ae --output own/ae
    Then:             forensics train --data own/swaps/manifest.csv ...

    Each folder holds fakes (label 1), the reals that they were made of (label 0)
    through the same resizing and JPEG encoder, masks of what was changed, and a
    manifest. A fake has the split, source and identity of its real; swaps stay
    within a split. The same command again goes on where it stopped.
    """
