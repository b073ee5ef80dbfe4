"""A set of aligned faces in a folder: what extraction writes, training reads, and a person can look through.

    alignments.json         every face that was found: where, when, how sure, kept or why not
    faces/CLIP-FRAME-TRACK.png   the kept ones, 256 px, aligned (alignment.py); CLIP: first 8 digits of its SHA-256
    contact.png             some of them to look at; tracks-CLIP.png: who else is in a clip

Splits. A kept face is "held_out" where the whole seconds of its time, modulo 5, are 2 (so the third second of every five),
and "train" otherwise: blocks, so that a frame and its neighbours are mostly on one side. Of clips shorter than 3 s, and
where that gives no held-out face, the last fifth (rounded down) is held out.
A folder may be a stranger's: its record is checked field by field, its pictures are opened only inside the folder.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from forensics.common.errors import ManifestError, MediaError, UsageError
from forensics.common.files import write_atomic
from forensics.media.image import read_image
from forensics.media.types import MediaLimits
from generators.faceswap.alignment import ALIGNED_PX, aligning, transform
from generators.faceswap.extraction.filters import LeftOut
from generators.pictures import Pictures

RECORD, FACES, CONTACT, PENDING = "alignments.json", "faces", "contact.png", ".pending-"
MAX_RECORD_BYTES = 1 << 28
# An aligned face without any compression is 192 KiB.
MAX_FACE_BYTES = 1 << 20
HELD_OUT_EVERY_S, HELD_OUT_SECOND, SHORT_CLIP_S, SHORT_CLIP_SHARE = 5, 2, 3.0, 5
EXTRACT_AGAIN = "`forensics generate faceswap extract` makes such a folder"

Split = Literal["train", "held_out"]
Point = tuple[float, float]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrackRow(_Strict):
    """A track of a clip. weight: sum of face size x time, in pixel seconds."""

    track: int = Field(ge=1)
    frames: int = Field(ge=1)
    first_s: float
    last_s: float
    weight: float
    mean_size_px: float
    is_chosen: bool


class ClipRow(_Strict):
    """A clip that faces were taken from, and the options that decided which."""

    name: str
    sha256: Sha256
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    frames: int = Field(ge=1)
    duration_s: float = Field(ge=0)
    mean_fps: float | None
    is_complete: bool
    errors: tuple[str, ...]
    options: dict[str, Any]
    detector: str
    version: str
    tracks: tuple[TrackRow, ...]


class FaceRow(_Strict):
    """A face of a frame, in pixels of the frame: box left, top, right, bottom; landmarks as in `forensics.faces.types`.

    Exactly one of `file` and `left_out` is set; sharpness is missing where the face was not cut out at all.
    """

    clip: Sha256
    frame: int = Field(ge=0)
    timestamp_s: float
    track: int = Field(ge=1)
    box: tuple[float, float, float, float]
    landmarks: tuple[Point, Point, Point, Point, Point]
    confidence: float = Field(ge=0, le=1)
    yaw_deg: float
    roll_deg: float
    sharpness: float | None
    file: str | None = Field(pattern=r"^faces/[0-9a-f]{8}-[0-9]{6,12}-[0-9]{1,9}\.png$")
    left_out: LeftOut | None
    split: Split | None

    @model_validator(mode="after")
    def _is_kept_or_not(self) -> "FaceRow":
        if (self.file is None) == (self.left_out is None) or (self.file is None) != (self.split is None):
            raise ValueError("a face has a file and a split, or a reason to be left out")
        return self


class FaceSetRecord(_Strict):
    """alignments.json."""

    format: Literal["forensics-faceset-1"] = "forensics-faceset-1"
    clips: tuple[ClipRow, ...] = ()
    faces: tuple[FaceRow, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> "FaceSetRecord":
        clips = [clip.sha256[:8] for clip in self.clips]
        files = [face.file for face in self.faces if face.file is not None]
        if len(set(clips)) < len(clips) or len(set(files)) < len(files):
            raise ValueError("a clip or a file is there twice")
        if {face.clip for face in self.faces} - {clip.sha256 for clip in self.clips}:
            raise ValueError("a face is of a clip that is not there")
        return self

    def clip(self, sha256: str) -> ClipRow | None:
        """The row of a clip, None where the set does not have it."""
        return next((clip for clip in self.clips if clip.sha256 == sha256), None)

    def faces_of(self, sha256: str) -> tuple[FaceRow, ...]:
        """Rows of a clip's faces, kept or not, in time order."""
        return tuple(face for face in self.faces if face.clip == sha256)

    def without(self, sha256: str) -> "FaceSetRecord":
        """The same set without one clip."""
        return FaceSetRecord(
            clips=tuple(clip for clip in self.clips if clip.sha256 != sha256),
            faces=tuple(face for face in self.faces if face.clip != sha256),
        )

    def extended(self, clip: ClipRow, faces: Iterable[FaceRow]) -> "FaceSetRecord":
        """The same set with a clip in the place of the one of the same content. Raises ValueError for a clash of names."""
        others = self.without(clip.sha256)
        return FaceSetRecord(clips=(*others.clips, clip), faces=(*others.faces, *faces))


@dataclass(frozen=True)
class FaceSet:
    """The kept faces of a folder, in the order of their clips and times."""

    folder: Path
    record: FaceSetRecord

    @cached_property
    def rows(self) -> tuple[FaceRow, ...]:
        """Those with a picture."""
        return tuple(face for face in self.record.faces if face.file is not None)

    def of(self, split: Split) -> tuple[FaceRow, ...]:
        """The rows of one split."""
        return tuple(row for row in self.rows if row.split == split)

    def pictures(self, split: Split) -> Pictures:
        """(N, 256, 256, 3) uint8 RGB, in the order of `of(split)`. Raises ManifestError for one that is missing or odd."""
        rows = self.of(split)
        pictures = np.empty((len(rows), ALIGNED_PX, ALIGNED_PX, 3), np.uint8)
        for index, row in enumerate(rows):
            pictures[index] = self.picture(row)
        return pictures

    def picture(self, row: FaceRow) -> NDArray[np.uint8]:
        """(256, 256, 3) uint8 RGB of one kept face. Raises ManifestError for one that is missing or odd."""
        path = self._inside(row)
        try:
            picture = read_image(path, MediaLimits(max_pixels=ALIGNED_PX**2))
        except MediaError as error:
            raise ManifestError(f"{path}: {error.message}", EXTRACT_AGAIN) from error
        if picture.shape != (ALIGNED_PX, ALIGNED_PX, 3):
            size = f"{picture.shape[1]} x {picture.shape[0]}"
            raise ManifestError(f"{path} has {size} pixels, an aligned face {ALIGNED_PX} x {ALIGNED_PX}", EXTRACT_AGAIN)
        return picture

    def landmarks(self, split: Split) -> NDArray[np.float64]:
        """(N, 5, 2) in pixels of the aligned pictures. Raises ManifestError for points that cannot be aligned."""
        points = np.empty((len(self.of(split)), 5, 2))
        for index, row in enumerate(self.of(split)):
            in_frame = np.array(row.landmarks)
            try:
                points[index] = transform(in_frame, aligning(in_frame))
            except ValueError as error:
                raise ManifestError(f"{self.folder / RECORD}: {row.file}: {error}", EXTRACT_AGAIN) from error
        return points

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of what training sees: every kept face's name, split, landmarks and file content.

        Raises ManifestError for a picture that cannot be read, is no regular file, or is larger than a face can be.
        """
        digest = hashlib.sha256()
        for row in self.rows:
            path = self._inside(row)
            try:
                size = path.stat().st_size
                if not path.is_file() or size > MAX_FACE_BYTES:  # a pipe would be waited for without end
                    wrong = "is larger than a face can be" if path.is_file() else "is no regular file"
                    raise ManifestError(f"{path} {wrong}", EXTRACT_AGAIN)
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise ManifestError(f"cannot read {path}: {error.strerror}", EXTRACT_AGAIN) from error
            digest.update(json.dumps([row.file, row.split, row.landmarks, content]).encode() + b"\n")
        return digest.hexdigest()

    def _inside(self, row: FaceRow) -> Path:
        """The picture's path. Raises ManifestError where a link leads out of the folder."""
        if row.file is None:
            raise ValueError("this face was left out")
        path = self.folder / row.file
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ManifestError(f"{path} lies outside of its folder", "a set of faces does not link elsewhere")
        return path


def read_face_set(folder: Path) -> FaceSet:
    """The set of a folder, pictures not read yet.

    Raises ManifestError where there is none, for one that cannot be read, and for one without a face.
    """
    record = read_record(folder)
    if record is None:
        raise ManifestError(f"{folder} holds no {RECORD}", EXTRACT_AGAIN)
    faces = FaceSet(folder, record)
    if not faces.rows:
        raise ManifestError(f"{folder} holds no faces", "extract from clips that show one")
    return faces


def read_record(folder: Path) -> FaceSetRecord | None:
    """alignments.json of a folder; None where there is none. Raises ManifestError for one that is not such a record."""
    path = folder / RECORD
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise ManifestError(f"{path} is larger than {MAX_RECORD_BYTES >> 20} MiB", EXTRACT_AGAIN)
        return FaceSetRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}", "check the folder") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ManifestError(f"{path} is not a set of faces: {where}: {first['msg']}", EXTRACT_AGAIN) from error


def write_record(folder: Path, record: FaceSetRecord) -> None:
    """Write alignments.json: one line per clip and per face, the same bytes for the same set."""
    lines = [f'{{"format": {json.dumps(record.format)}, "clips": [']
    lines.append(",\n".join(json.dumps(clip.model_dump(mode="json")) for clip in record.clips))
    lines.append('], "faces": [')
    lines.append(",\n".join(json.dumps(face.model_dump(mode="json")) for face in record.faces))
    lines.append("]}")
    write_atomic(folder / RECORD, "\n".join(lines) + "\n")


def claim(folder: Path, overwrite: bool) -> FaceSetRecord:
    """Make the folder, or find it to be ours; returns the set that is in it so far.

    Raises UsageError where it holds files that no extraction wrote, unless they may be written beside.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file", "name a folder")
    try:
        record = read_record(folder)
    except ManifestError as error:
        if not overwrite:
            raise UsageError(error.message, "use another --output, or --overwrite to begin it anew") from error
        record = FaceSetRecord()
    if record is None and folder.is_dir() and not overwrite:
        foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith(PENDING))
        if foreign:
            raise UsageError(
                f"{folder} holds files that no extraction wrote ({foreign[0]} ...)",
                "use another --output, or --overwrite to write beside them",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", "use another --output") from error
    return record or FaceSetRecord()


def file_name(clip_sha256: str, frame: int, track: int) -> str:
    """Of a kept face, relative to the folder."""
    return f"{FACES}/{clip_sha256[:8]}-{frame:06d}-{track}.png"


def splits(timestamps_s: Sequence[float], duration_s: float) -> list[Split]:
    """The split of each kept face of a clip, in time order; see the module's docstring."""
    by_time: list[Split] = [
        "held_out" if int(time_s) % HELD_OUT_EVERY_S == HELD_OUT_SECOND else "train" for time_s in timestamps_s
    ]
    if duration_s >= SHORT_CLIP_S and "held_out" in by_time:
        return by_time
    n_train = len(timestamps_s) - len(timestamps_s) // SHORT_CLIP_SHARE
    return ["train" if index < n_train else "held_out" for index in range(len(timestamps_s))]
