"""`forensics generate export`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  forensics generate export runs/dcgan --output dcgan.safetensors
  forensics generate sample dcgan.safetensors --n 1000 --output fakes
  forensics generate export runs/denoise --output denoise.safetensors
  forensics generate export runs/swap --output swap.safetensors
"""


@click.command("export", epilog=EPILOG)
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", required=True, metavar="FILE.safetensors", help="The file to write.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
def command(model: str, output: str, overwrite: bool) -> None:
    """Keep a generator alone, in half precision.

    MODEL is a run's folder (its best checkpoint) or a checkpoint file. The discriminator and the optimizers stay behind:
    the file is about a twelfth of a checkpoint, and training cannot go on from it. `generate sample` takes it as MODEL.
    Of a run of `train-translator` its network is kept; `generate translate` takes it as --model.
    Of a face swap, encoder and both decoders are kept; `generate faceswap convert` takes it as --model.
    """
    from forensics.common.errors import UsageError
    from generators.checkpoint import export_generator, find_model, read_meta
    from generators.faceswap.training.swapper import SYSTEM, exported

    target = Path(output)
    if target.suffix != ".safetensors":
        raise UsageError(f"--output {output} does not end in .safetensors", "the format of the file")
    if target.is_dir():
        raise UsageError(f"{output} is a folder", "name a file with --output")
    if target.exists() and not overwrite:
        raise UsageError(f"{output} is there already", "--overwrite replaces it")
    source = find_model(model)
    try:
        if read_meta(source).get("system") == SYSTEM:
            exported(source, target)
        else:
            export_generator(source, target)
        size_mb = target.stat().st_size / 1e6
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", "choose another --output") from error
    click.echo(f"{output}: {size_mb:.1f} MB")
