"""`forensics bench`: one module per command, imported when it is called."""

import click

from forensics.cli import LazyGroup

COMMANDS = {
    "run": ("eval.cli.run", "Score a labelled data set with detectors and measure them."),
    "robustness": ("eval.cli.robustness", "Measure detectors under compression, resizing, blur, noise and more."),
    "attack": ("eval.cli.attack", "Make adversarial pictures against a detector and measure all with them."),
    "explain": ("eval.cli.explain", "Score heatmaps with the known masks of fakes."),
    "testset": ("eval.cli.testset", "Build a balanced, labelled, hashed test set."),
    "audit": ("eval.cli.audit", "Look for leakage between splits and for shortcuts to the label."),
    "compare": ("eval.cli.compare", "Compare results: paired differences with p-values."),
    "import": ("eval.cli.import_scores", "Make results from the scores of any other tool."),
    "card": ("eval.cli.card", "Write a model card from the files that these commands made."),
    "schema": ("eval.cli.schema", "Print the JSON Schema of results.json."),
}


@click.group("bench", cls=LazyGroup, commands_by_name=COMMANDS)
def command() -> None:
    """Measure detectors so that the figures survive review.

    \b
    Start with:   forensics bench run faces/manifest.csv --detector default --output out
    Trust it?     forensics bench audit faces/manifest.csv
    Where it breaks:  forensics bench robustness faces/manifest.csv --output out

    Scores run from 0 (real) to 1 (fake); labels are 1 = fake, 0 = real.
    """
