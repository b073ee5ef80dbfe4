"""A's face into B, from two clips alone: extract, train, convert, each of which goes on where it stopped."""

from dataclasses import dataclass
from pathlib import Path

from forensics.common.errors import ManifestError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.media.types import MediaLimits
from generators.devices import device_named
from generators.faceswap.config import RenderConfig, SwapConfig
from generators.faceswap.extraction.extract import extract
from generators.faceswap.extraction.extract_config import ExtractConfig
from generators.faceswap.extraction.faceset import read_record
from generators.faceswap.extraction.tracks import load_face_detector
from generators.faceswap.rendering.convert import convert, making_of
from generators.faceswap.rendering.outputs import FRAMES, beside, check_output, is_made
from generators.faceswap.rendering.rendering import Rendering
from generators.faceswap.training.run_record import read_swap_run
from generators.faceswap.training.swapper import find_swap, load_swapper
from generators.faceswap.training.trainer import SwapTrainer
from generators.faceswap.training.training import train
from generators.parallel import set_threads

FACES, RUN = ("source", "target"), "run"
# Folders of a swap, in which a person may look for each step's own files.
CONTENT = frozenset({*FACES, RUN, "manifest.csv"})


@dataclass(frozen=True)
class Swapped:
    """The training, and the clip; None for a clip that was there already."""

    trainer: SwapTrainer
    clip: Rendering | None
    output: Path


def swap(
    source: Path, target: Path, folder: Path, preset: str, config: SwapConfig, extraction: ExtractConfig,
    render: RenderConfig, progress: Progress, overwrite: bool = False,
) -> Swapped:  # fmt: skip
    """Make `folder`/swapped.mp4: `target` with the face of `source`. Run again, it goes on where it stopped.

    Raises UsageError where a step cannot be done; what the steps before it made stays.
    """
    for clip in (source, target):
        if not clip.is_file():
            raise UsageError(f"no file {printable(str(clip))}", "check the path")
    _claim(folder, overwrite)
    output = folder / "swapped.mp4"
    # Said now, not after the training; a clip with its list of frames is one of ours.
    check_output(output, overwrite or beside(output, FRAMES).exists(), [source, target])
    for clip, name in zip((source, target), FACES, strict=True):
        _check_set(folder / name, clip, overwrite)
    for clip, name in zip((source, target), FACES, strict=True):
        extract([clip], folder / name, extraction, progress, overwrite)
    trainer = train(folder / "source", folder / "target", preset, config, folder / RUN, progress)
    swapper = load_swapper(find_swap(str(folder / RUN)), device_named(config.device))
    limits = MediaLimits(
        max_pixels=extraction.max_pixels, max_wall_s=extraction.timeout,
        max_memory_bytes=int(extraction.max_memory_gb * (1 << 30)),
    )  # fmt: skip
    if is_made(output, making_of(target, swapper, 0), sha256_of_file(target), render):
        progress.say(f"known: {output}")
        return Swapped(trainer, None, output)
    detector = load_face_detector(extraction.face_detector, extraction.face_model, extraction.device)
    done = convert(
        target, swapper, detector, output, render, progress,
        limits=limits, threads=set_threads(config.threads), overwrite=True,
    )  # fmt: skip
    return Swapped(trainer, done, output)


def _check_set(folder: Path, clip: Path, overwrite: bool) -> None:
    """Raise UsageError where the set of faces in `folder` is of another clip: both people would be trained as one."""
    try:
        record = read_record(folder)
    except ManifestError as error:
        if overwrite:  # it is begun anew
            return
        raise UsageError(error.message, "use another --output, or --overwrite to begin it anew") from error
    if record is None:
        return
    try:
        sha256 = sha256_of_file(clip)
    except OSError as error:
        raise UsageError(f"cannot read {printable(clip.name)}: {error.strerror}", "check the path") from error
    others = [row.name for row in record.clips if row.sha256 != sha256]
    if others:
        raise UsageError(
            f"{folder} holds the faces of {others[0]}, not only of {printable(clip.name)}",
            "use another --output: a folder is for one swap",
        )


def _claim(folder: Path, overwrite: bool) -> None:
    """Raise UsageError where the folder holds files that no swap wrote."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file", "name a folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    is_ours = read_swap_run(folder / RUN) is not None or (folder / "source" / "alignments.json").exists()
    if names - CONTENT and not is_ours and not overwrite:
        raise UsageError(
            f"{folder} holds files that no face swap wrote ({min(names - CONTENT)} ...)",
            "use another --output, or --overwrite to write beside them",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", "use another --output") from error
