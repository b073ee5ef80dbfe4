"""`forensics generate faceswap`: one module per command, imported when it is called."""

import click

from forensics.cli import LazyGroup

COMMANDS = {
    "extract": ("generators.faceswap.cli.extract", "Cut aligned faces out of clips."),
    "train": ("generators.faceswap.cli.train", "Train an encoder and two decoders on two people's faces."),
    "preview": ("generators.faceswap.cli.preview", "Look at what a checkpoint draws: source, mask, swap."),
    "convert": ("generators.faceswap.cli.convert", "Put the source's face into a clip."),
    "swap": ("generators.faceswap.cli.swap", "Extract, train and convert: A's face into B."),
    "warp": ("generators.faceswap.cli.warp", "Put a face into a clip by landmarks alone, without training."),
    "quality": ("generators.faceswap.cli.quality", "Measure a swap: reconstruction, identity, landmarks, flicker."),
}


@click.group("faceswap", cls=LazyGroup, commands_by_name=COMMANDS)
def command() -> None:
    """Swap faces: the classic deepfake, labelled as what it is.

    \b
    Everything at once:  forensics generate faceswap swap A.mp4 B.mp4 --output out
    Without training:    forensics generate faceswap warp A.mp4 B.mp4 --output warped.mp4
    Step by step:
        forensics generate faceswap extract A.mp4 --output faces/a
        forensics generate faceswap extract B.mp4 --output faces/b
        forensics generate faceswap train --source faces/a --target faces/b --output run
        forensics generate faceswap convert B.mp4 --model run --output swapped.mp4

    \b
    B shows the target: the person whose clip it is. A shows the source: whose face
    it wears afterwards. Every clip made says in its metadata that it is synthetic,
    and comes with the mask of what was changed and a manifest (label 1), so that
    `forensics train` and `forensics bench` read it as any other data.

    \b
    For people who agreed to it, for research on detection, and for testing
    detectors: not for passing one person off as another.
    """
