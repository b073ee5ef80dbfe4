"""`forensics export`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  forensics export --output exported                     every network of the shipped weights
  forensics export --detector cnn --output exported --weights runs/mine

\b
Writes NAME.onnx and NAME.json for each detector. The JSON says how a picture
becomes the input (which square, how it is resized or tiled), what the logit
means, how it becomes a probability, the thresholds, and the licence, which
goes with the file. The batch is free, and so is the side of tiles.

\b
Needs the package onnx; with onnxruntime, which comes with the same extra,
each network is run and compared with torch before its file is written:
  pip install 'deepfake-forensics[onnx]'
"""


@click.command("export", epilog=EPILOG)
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="Kind of file.")
@click.option(
    "--detector", multiple=True, metavar="NAME", help="A network; may be repeated. All of the weights if none."
)
@click.option("--weights", metavar="DIR", help="Folder with model.json, instead of the shipped weights.")
@click.option("-o", "--output", required=True, metavar="DIR", help="Folder for the files.")
@click.option("--overwrite", is_flag=True, help="Replace files in --output that this tool did not write.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
def command(
    form: str, detector: tuple[str, ...], weights: str | None, output: str, overwrite: bool, quiet: bool
) -> None:
    """Write the detectors' networks as ONNX, for use without this package.

    Prints one line per file: its path, and by how much its scores differ from torch's at most.
    """
    from forensics.common.errors import UsageError
    from forensics.common.files import write_atomic
    from forensics.common.progress import Progress
    from forensics.detectors.engines.export import export_detector, exportable, largest_difference
    from forensics.detectors.model_set import load_model_set
    from forensics.report.store import OutputFolder

    model_set, found = load_model_set(Path(weights) if weights else None)
    names = tuple(dict.fromkeys(detector)) or tuple(exportable(model_set))
    if not names:
        raise UsageError(f"the weights in {found} have no network to export", "name other --weights")
    folder = OutputFolder(Path(output), overwrite)
    folder.check([f"{name}.{suffix}" for name in names for suffix in (form, "json")])
    with Progress(quiet).task("exporting", len(names)) as bar:
        for name in names:
            exported = export_detector(name, model_set, found)
            gap = largest_difference(exported)
            path = folder.claim(f"{name}.{form}")
            try:
                write_atomic(path, exported.model)
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}", "name another --output") from error
            folder.write(f"{name}.json", exported.description.to_json())
            bar(1)
            checked = "not run: onnxruntime is not installed" if gap is None else f"scores within {gap:.1g} of torch's"
            click.echo(f"{path}: {checked}")
