"""What a rendering leaves in its folder: the names of its files, the list of its frames, its row in the manifest.

    swapped.mp4           the clip
    swapped.mask.mp4      white where pixels were replaced
    swapped.frames.json   frame by frame: time, boxes, whether the face was filled in; and what decided the pixels
    manifest.csv          a row for each clip of the folder

The boxes have a file of their own: those of a long clip are more than a CSV reader takes in one field (131072 characters).
Another suffix than .mp4 stays in the names (swapped.mkv: swapped.mkv.mask.mp4), so that no two clips share them.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forensics.common.errors import ManifestError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.text import csv_cell
from forensics.media.sound import FORMATS
from generators.faceswap.config import RenderConfig
from generators.faceswap.locks import locked
from generators.provenance import SourceType

MANIFEST, FRAMES_COLUMN = "manifest.csv", "frames"
LOCK = ".manifest.lock"
PICTURE = ".png"
MASK, FRAMES, PICTURE_MASK = ".mask.mp4", ".frames.json", ".mask.png"
FRAMES_FORMAT = "forensics-swap-frames-1"
# 200 000 frames, the most that are looked at, of three boxes each have 30 MB.
MAX_FRAMES_BYTES = 64 << 20
LONGEST_NAME_BYTES = 255  # of most file systems

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Making:
    """What is said of a clip that is made. source, target: whose face, and whose clip; ids of recordings."""

    generator: str
    source: str
    target: str
    detail: str
    extra: Mapping[str, str]
    source_type: SourceType = SourceType.COMPOSITE_TRAINED
    split: str = ""  # train, dev or test: what the manifest says
    unused: frozenset[str] = frozenset()  # options that decide nothing


class FrameRow(BaseModel):
    """One frame: seconds from the first, left, top, right and bottom in pixels of what was replaced, one box for a face."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    t: float
    boxes: tuple[Box, ...]
    filled: bool = False


class FramesFile(BaseModel):
    """What is read back of frames.json; it also holds what `identity_of` says."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal["forensics-swap-frames-1"]
    swapped: int = Field(ge=0)
    total: int = Field(ge=0)
    frames: tuple[FrameRow, ...]


def beside(output: Path, ending: str) -> Path:
    """A file that belongs to `output`: swapped.mp4 -> swapped.mask.mp4, swapped.mkv -> swapped.mkv.mask.mp4."""
    is_usual = output.suffix in (".mp4", PICTURE)
    return output.with_name((output.stem if is_usual else output.name) + ending)


def files_of(output: Path) -> tuple[Path, ...]:
    """The output and all that is written for it alone."""
    endings = (PICTURE_MASK,) if output.suffix.lower() == PICTURE else (MASK, FRAMES)
    return (output, *(beside(output, ending) for ending in endings))


def check_output(output: Path, overwrite: bool, reads: Sequence[Path] = (), may_be_picture: bool = False) -> None:
    """Raise UsageError for an output that cannot be, that is one of the files that are read, or that is there already."""
    suffixes = (*FORMATS, *([PICTURE] if may_be_picture else []))
    if not output.suffix:
        raise UsageError(
            f"--output {output} has no suffix, which says what is written",
            f"{output}.mp4, or one of {', '.join(suffixes)}",
        )
    if output.suffix.lower() not in suffixes:
        raise UsageError(f"'{output.suffix}' clips are not written", f"one of {', '.join(suffixes)}")
    files, manifest = files_of(output), output.parent / MANIFEST
    with writing(output):
        for path in (*files, manifest):
            if path.exists() and any(read.exists() and path.samefile(read) for read in reads):
                raise UsageError(f"{path} would replace a file that is read", "choose another --output")
            if path.is_dir():
                raise UsageError(f"{path} is a folder", "choose another --output")
        there = [path for path in files if path.exists()]
        if there and not overwrite:
            raise UsageError(f"{there[0]} exists", "choose another --output, or --overwrite")
        folder = next(path for path in (output.absolute().parent, *output.absolute().parents) if path.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            reason = "may not be written into" if folder.is_dir() else "is no folder"
            raise UsageError(f"{output} cannot be written: {folder} {reason}", "choose another --output")
        if max(len(os.fsencode(path.name)) for path in files) > LONGEST_NAME_BYTES:
            raise UsageError(f"{output.name[:40]}... is too long a name", "choose another --output")
    if manifest.exists():
        read_manifest(manifest)  # rows are added to it: it must be one


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn what the file system says into a UsageError that names the output."""
    try:
        yield
    except BrokenPipeError:  # of whoever reads what is printed
        raise
    except OSError as error:
        raise UsageError(
            f"{output} cannot be written: {error.strerror or error}",
            "is there room on the disk, and may you write there?",
        ) from error


def identity_of(making: Making, clip_sha256: str, config: RenderConfig) -> dict[str, Any]:
    """What decides a clip's pixels: the same of these is the same clip."""
    options = config.model_dump(mode="json", exclude=set(making.unused))
    return {"clip_sha256": clip_sha256, "options": options, **making.extra}


def is_made(output: Path, making: Making, clip_sha256: str, config: RenderConfig) -> bool:
    """Whether the clip is there, made from the same clip in the same way, and whole."""
    identity = identity_of(making, clip_sha256, config)
    try:
        stored = json.loads(_bytes_of(beside(output, FRAMES)))
        row = next(item for item in read_manifest(output.parent / MANIFEST) if item.path == output.absolute())
        # The list of frames is written before the clip: only one that names this very clip belongs to it.
        is_whole = beside(output, MASK).is_file() and (
            sha256_of_file(output) == stored.get("sha256") == row.extra.get("sha256")
        )
        return is_whole and {key: stored.get(key) for key in identity} == identity
    except (OSError, ValueError, AttributeError, RecursionError, StopIteration, ManifestError):
        return False


def note(output: Path, mask: Path, frames: Path | None, sha256: str, of_sha256: str, making: Making) -> Path:
    """Add the row of a clip or picture to the manifest beside it, in the place of one that is there; gives its path.

    Several processes may do so at a time.
    """
    path = output.absolute().parent / MANIFEST
    made = Item(
        path=output.absolute(), label=1, generator=making.generator, dataset="forensics-generate",
        source=csv_cell(making.target), identity=csv_cell(making.source), split=making.split, view="scene",
        mask=mask.name,
        extra={
            "target": csv_cell(making.target), **({FRAMES_COLUMN: frames.name} if frames else {}),
            "sha256": sha256, "of_sha256": of_sha256, **making.extra,
        },
    )  # fmt: skip
    with locked(path.with_name(LOCK)):
        others = [item for item in read_manifest(path) if item.path != made.path] if path.exists() else []
        write_manifest(path, [*others, made])
    return output.parent / MANIFEST


def swapped_share(clip: Path, frames: int) -> float | None:
    """Share of a clip's `frames` in which a face was swapped, by the files beside it; None where they do not say.

    Raises ManifestError for a list of frames that is missing, no such list, or of another number of frames.
    """
    manifest = clip.parent / MANIFEST
    if not manifest.is_file():
        return None
    rows = [item for item in read_manifest(manifest) if item.path.resolve() == clip.resolve()]
    name = rows[0].extra.get(FRAMES_COLUMN, "") if rows else ""
    if not name:
        return None
    found = _read_frames(manifest, name)
    swapped = sum(bool(row.boxes) for row in found.frames)
    if len(found.frames) != frames or (found.total, found.swapped) != (frames, swapped):
        raise ManifestError(f"{manifest.parent / name} is not of {frames} frames", "is it of another clip?")
    return swapped / max(1, frames)


def _read_frames(manifest: Path, name: str) -> FramesFile:
    """The list that a manifest names: a file in its own folder, and nowhere else."""
    path = manifest.parent / name
    try:
        if name != Path(name).name or path.resolve().parent != manifest.parent.resolve():
            raise ManifestError(
                f"{manifest}: column '{FRAMES_COLUMN}' names a file elsewhere", "the file must lie beside the manifest"
            )
        return FramesFile.model_validate_json(_bytes_of(path))
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of links
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif isinstance(error, ValidationError):
            reason = f"not a list of frames ({error.errors()[0]['msg']})"
        else:
            reason = str(error)
        raise ManifestError(f"cannot read frames of {path}: {reason}", "was it moved, or edited by hand?") from error


def _bytes_of(path: Path) -> bytes:
    """A file of at most MAX_FRAMES_BYTES. Raises OSError, and ValueError for a larger one and for what is no file."""
    if not path.is_file() and path.exists():
        raise ValueError("no regular file")
    with path.open("rb") as file:
        data = file.read(MAX_FRAMES_BYTES + 1)
    if len(data) > MAX_FRAMES_BYTES:
        raise ValueError(f"larger than {MAX_FRAMES_BYTES >> 20} MiB")
    return data
