"""A preview of any checkpoint, of a run or handed on, over faces of one's choice."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from forensics.common.errors import UsageError
from generators.checkpoint import CHECKPOINTS
from generators.faceswap.extraction.faceset import read_face_set
from generators.faceswap.training.networks import PEOPLE
from generators.faceswap.training.preview import seen, sheet, spread_over
from generators.faceswap.training.run_record import read_swap_run
from generators.faceswap.training.swapper import find_swap, load_swapper
from generators.pictures import Pictures, write_png


def write_preview(spec: str, output: Path, folders: Mapping[str, Path], rows: int, overwrite: bool = False) -> None:
    """Write the grid of `rows` faces of each person. folders: by "source" and "target", where not those of the run."""
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output {output} is no PNG", "FILE.png")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists", "choose another --output, or --overwrite")
    swapper = load_swapper(find_swap(spec), torch.device("cpu"))
    of_run = folders if all(who in folders for who in PEOPLE) else {**folders_of(spec), **folders}
    missing = [who for who in PEOPLE if who not in of_run]
    if missing:
        raise UsageError(
            f"{spec} does not say whose faces to show", f"--{missing[0]} DIR, a folder of `faceswap extract`"
        )
    source, target = (_faces(of_run[who], rows, swapper.image_px) for who in PEOPLE)
    try:
        write_png(output, sheet(swapper.draw, source, target))
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", "choose another --output") from error


def folders_of(spec: str) -> dict[str, Path]:
    """Where a run's faces are, by person; nothing for a model without its run."""
    path = Path(spec)
    # A checkpoint lies in RUN/checkpoints; what lies elsewhere is no run's, whatever is above it.
    folder = path.parent.parent if path.parent.name == CHECKPOINTS else path
    run = read_swap_run(folder) if folder.is_dir() else None
    return {"source": Path(run.source.folder), "target": Path(run.target.folder)} if run else {}


def _faces(folder: Path, rows: int, image_px: int) -> Pictures:
    """Held-out faces where there are some, as the network sees them."""
    found = read_face_set(folder)
    shown = found.of("held_out") or found.of("train")
    return seen(np.stack([found.picture(shown[k]) for k in spread_over(len(shown), rows)]), image_px)
