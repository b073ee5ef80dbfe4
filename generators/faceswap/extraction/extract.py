"""Clips -> a folder of aligned faces.

    clip -> faces and tracks -> aligned squares -> whose -> sharp enough -> no crowd of equals -> files and rows

Reads top to bottom. A clip is decoded once: faces of every track are cut out while its frames are there, into a hidden
folder; those of the chosen track that pass the filters are moved to their place when the clip has been seen to its end. So
memory does not grow with the clip, but for boxes and landmarks; and a run that is stopped leaves whole clips, never half a
picture.
"""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from forensics import __version__
from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.faces.types import Face, FaceDetector
from forensics.media.image import read_image
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sample
from generators.faceswap.alignment import ALIGNED_PX, aligning, rescaled, warped
from generators.faceswap.extraction.contact import CELL_PX, contact_sheet, evenly
from generators.faceswap.extraction.extract_config import ExtractConfig
from generators.faceswap.extraction.extract_outcome import (
    ClipOutcome,
    Extraction,
    NothingExtractedError,
    counts,
    in_words,
    nothing_extracted,
    outcome_of,
)
from generators.faceswap.extraction.faceset import (
    CONTACT,
    FACES,
    PENDING,
    ClipRow,
    FaceRow,
    FaceSet,
    FaceSetRecord,
    TrackRow,
    claim,
    file_name,
    read_record,
    splits,
    write_record,
)
from generators.faceswap.extraction.filters import (
    aligned_sharpness,
    are_nearly_equal,
    luma_thumbnail,
    reason_against,
    roll_deg,
    yaw_deg,
)
from generators.faceswap.extraction.tracks import ClipFaces, FrameFaces, chosen_tracks, follow_clip, load_face_detector
from generators.faceswap.locks import locked
from generators.faceswap.rendering.outputs import writing
from generators.pictures import Picture, write_png

LOCK = f"{PENDING}lock"
# A person chooses among this many at most; a crowd has hundreds of faces that pass by.
TRACKS_SHOWN = 60


def extract(
    clips: Sequence[Path],
    folder: Path,
    config: ExtractConfig | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    detector: FaceDetector | None = None,
) -> Extraction:
    """Cut the faces of clips into a folder, or add clips to the set that is there.

    A clip that was extracted with the same options is not decoded again. One that gives nothing costs only itself. Raises
    NothingExtractedError where none gives a face, UsageError for wishes that cannot be met, a folder that is not ours, is
    written by another run, or cannot be written.
    """
    config, progress = config or ExtractConfig(), progress or Progress(quiet=True)
    _tracks_asked(config.track, len(clips))
    with writing(folder):
        claim(folder, overwrite)
        try:
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(locked(folder / LOCK, wait=False))
                except BlockingIOError as error:
                    raise UsageError(
                        f"another extraction is running in {folder}", "wait for its end, or use another --output"
                    ) from error
                return _extract(clips, folder, config, progress, overwrite, detector)
        except NothingExtractedError:
            with contextlib.suppress(OSError):  # only what was made just now is empty
                folder.rmdir()
            raise


def _extract(
    clips: Sequence[Path], folder: Path, config: ExtractConfig, progress: Progress, overwrite: bool,
    detector: FaceDetector | None,
) -> Extraction:  # fmt: skip
    asked = _tracks_asked(config.track, len(clips))
    if config.threads:
        torch.set_num_threads(config.threads)
    record = claim(folder, overwrite)
    _clean(folder, record)
    outcomes: list[ClipOutcome] = []
    limits = MediaLimits(config.max_pixels, config.timeout, int(config.max_memory_gb * (1 << 30)))
    try:
        with MediaReader(limits, config.threads) as reader:
            for path in clips:
                name = printable(path.name)
                try:
                    sha256 = _hash(path)
                    if (known := _known(folder, record, sha256, config)) is not None:
                        progress.say(f"{name}: known, {known.kept} faces")
                        outcomes.append(replace(known, name=name))
                        continue
                    detector = detector or load_face_detector(config.face_detector, config.face_model, config.device)
                    record = _Clip(path, sha256, folder, config, detector).extracted(record, asked, reader, progress)
                    outcomes.append(outcome_of(record, sha256, name))
                except MediaError as error:
                    outcomes.append(ClipOutcome(name, problem=(error.message, error.hint)))
                    progress.say(f"{name}: {error.message}")
    finally:
        # By what is on the disk: a stop may come between the record's writing and our knowing of it.
        _clean(folder, read_record(folder) or FaceSetRecord())
    if all(outcome.problem for outcome in outcomes):
        raise nothing_extracted(outcomes)
    faces = FaceSet(folder, record)
    _write_contact_sheet(faces)
    return Extraction(faces, tuple(outcomes))


class _Clip:
    """One clip on its way into the set."""

    def __init__(self, path: Path, sha256: str, folder: Path, config: ExtractConfig, detector: FaceDetector) -> None:
        self._path, self._sha256, self._folder = path, sha256, folder
        self._config, self._detector = config, detector
        self._pending = folder / f"{PENDING}{sha256[:8]}"
        self._rows: list[FaceRow] = []
        self._portraits: dict[int, tuple[float, Picture]] = {}  # per track: how good, small picture

    def extracted(
        self,
        record: FaceSetRecord,
        asked: tuple[int, ...] | Literal["all"],
        reader: MediaReader,
        progress: Progress,
    ) -> FaceSetRecord:
        """The set with this clip's faces in it, files and record written. Raises MediaError where it gives none."""
        clip = follow_clip(
            self._path, self._detector, progress, fps=self._config.fps, max_frames=self._config.max_frames,
            reader=reader, on_frame=self._cut_out, sha256=self._sha256,
        )  # fmt: skip
        if not self._rows:
            hint = "the person must face the camera and be larger than about 60 pixels of 1080p"
            raise MediaError(f"no face in {len(clip.frames)} frames", hint)
        chosen = chosen_tracks(clip, asked)
        rows = self._without_blurred(self._of_tracks(chosen))
        rows = self._split(self._at_most(self._without_near_duplicates(rows)), clip.info.duration_s)
        if all(row.file is None for row in rows):
            raise MediaError(f"all faces were left out: {in_words(counts(rows))}", "see the options of extract --help")
        self._write_tracks_sheet(clip, chosen)
        return self._keep(record, self._clip_row(clip, chosen), rows)

    def _cut_out(self, sample: Sample, found: FrameFaces) -> None:
        """Rows of a frame's faces; pictures of those that nothing speaks against by themselves."""
        size = (sample.pixels.shape[1], sample.pixels.shape[0])
        for tracked in found.faces:
            row = _row(self._sha256, found, tracked.track, tracked.face)
            try:
                # By the rounded landmarks, so that the record alone tells where a picture is from.
                matrix = aligning(np.array(row.landmarks))
            except ValueError:
                self._rows.append(row.model_copy(update={"left_out": "low_confidence"}))
                continue
            goodness = tracked.face.size_px * float(np.cos(np.radians(row.yaw_deg)))
            if goodness > self._portraits.get(tracked.track, (0.0,))[0]:
                small = warped(sample.pixels, rescaled(matrix, CELL_PX / ALIGNED_PX), CELL_PX)
                self._portraits[tracked.track] = (goodness, small)
            reason = reason_against(
                tracked.face, matrix, size,
                self._config.min_face_px, self._config.min_confidence, self._config.max_yaw_deg,
            )  # fmt: skip
            if reason is None:
                picture = warped(sample.pixels, matrix, ALIGNED_PX)
                write_png(self._pending_path(row), picture)
                row = row.model_copy(update={"sharpness": round(aligned_sharpness(picture), 3)})
            self._rows.append(row.model_copy(update={"left_out": reason}))

    def _pending_path(self, row: FaceRow) -> Path:
        return self._pending / Path(file_name(row.clip, row.frame, row.track)).name

    def _of_tracks(self, chosen: tuple[int, ...]) -> list[FaceRow]:
        others = {"left_out": "other_track"}
        return [row if row.track in chosen else row.model_copy(update=others) for row in self._rows]

    def _without_blurred(self, rows: list[FaceRow]) -> list[FaceRow]:
        values = [row.sharpness for row in rows if row.left_out is None and row.sharpness is not None]
        if self._config.keep_blurred or not values:
            return rows
        least = self._config.min_sharpness * float(np.median(values))
        blurred = {"left_out": "blurred"}
        return [
            row.model_copy(update=blurred) if row.left_out is None and (row.sharpness or 0.0) < least else row
            for row in rows
        ]

    def _without_near_duplicates(self, rows: list[FaceRow]) -> list[FaceRow]:
        """Of a face that hardly moves, `spread_fps` in a second stay."""
        if self._config.keep_duplicates:
            return rows
        step_s, kept = 1 / self._config.spread_fps, dict[int, tuple[float, np.ndarray]]()
        out = []
        for row in rows:
            if row.left_out is None:
                thumbnail = luma_thumbnail(read_image(self._pending_path(row)))
                last = kept.get(row.track)
                is_soon = last is not None and row.timestamp_s - last[0] < step_s - 1e-3
                if last is not None and is_soon and are_nearly_equal(last[1], thumbnail):
                    row = row.model_copy(update={"left_out": "near_duplicate"})  # noqa: PLW2901
                else:
                    kept[row.track] = (row.timestamp_s, thumbnail)
            out.append(row)
        return out

    def _at_most(self, rows: list[FaceRow]) -> list[FaceRow]:
        left = [index for index, row in enumerate(rows) if row.left_out is None]
        stay = {left[i] for i in evenly(len(left), self._config.max_faces)}
        surplus = {"left_out": "surplus"}
        return [
            row.model_copy(update=surplus) if row.left_out is None and index not in stay else row
            for index, row in enumerate(rows)
        ]

    def _split(self, rows: list[FaceRow], duration_s: float) -> list[FaceRow]:
        of_kept = iter(splits([row.timestamp_s for row in rows if row.left_out is None], duration_s))
        return [
            row.model_copy(update={"file": file_name(row.clip, row.frame, row.track), "split": next(of_kept)})
            if row.left_out is None
            else row
            for row in rows
        ]

    def _keep(self, record: FaceSetRecord, clip: ClipRow, rows: list[FaceRow]) -> FaceSetRecord:
        """Move the kept pictures to their places; the record never names a picture that is not there."""
        try:
            extended = record.extended(clip, (FaceRow.model_validate(row.model_dump()) for row in rows))
        except ValueError as error:
            raise UsageError(
                f"two clips have the digits {clip.sha256[:8]} in common", "use another --output"
            ) from error
        if record.clip(clip.sha256) is not None:  # extracted with other options before
            write_record(self._folder, record.without(clip.sha256))
        (self._folder / FACES).mkdir(exist_ok=True)
        for row in extended.faces_of(clip.sha256):
            if row.file is not None:
                self._pending_path(row).replace(self._folder / row.file)
        write_record(self._folder, extended)
        shutil.rmtree(self._pending, ignore_errors=True)  # faces of the others; at a stop `_clean` does it
        return extended

    def _clip_row(self, clip: ClipFaces, chosen: tuple[int, ...]) -> ClipRow:
        info = clip.info
        return ClipRow(
            name=printable(clip.path.name),
            sha256=clip.sha256,
            width=info.width,
            height=info.height,
            frames=len(clip.frames),
            duration_s=round(info.duration_s, 6),
            mean_fps=None if info.mean_fps is None else round(info.mean_fps, 4),
            is_complete=clip.summary.is_complete,
            errors=clip.summary.errors,
            options=_options(self._config),
            detector=self._detector.name,
            version=__version__,
            tracks=tuple(
                TrackRow(
                    track=span.track,
                    frames=span.frames,
                    first_s=round(span.first_s, 6),
                    last_s=round(span.last_s, 6),
                    weight=round(span.weight, 3),
                    mean_size_px=round(span.mean_size_px, 1),
                    is_chosen=span.track in chosen,
                )
                for span in clip.spans()
            ),
        )

    def _write_tracks_sheet(self, clip: ClipFaces, chosen: tuple[int, ...]) -> None:
        target = self._folder / tracks_sheet(self._sha256)
        spans = [span for span in clip.spans() if span.track in self._portraits][:TRACKS_SHOWN]
        if len(spans) < 2:
            target.unlink(missing_ok=True)
            return
        captions = [f"{'*' if s.track in chosen else ''}{s.track}: {s.first_s:.1f}-{s.last_s:.1f} s" for s in spans]
        write_png(target, contact_sheet([self._portraits[span.track][1] for span in spans], captions))


def tracks_sheet(clip_sha256: str) -> str:
    """Name of the sheet with one face per track of a clip, chosen ones starred, the largest for longest first."""
    return f"tracks-{clip_sha256[:8]}.png"


def _row(sha256: str, frame: FrameFaces, track: int, face: Face) -> FaceRow:
    """A face's row without its fate yet: not valid before `_keep`, where all are checked."""
    points: list[tuple[float, float]] = [(x, y) for x, y in np.round(face.landmarks.astype(np.float64), 3).tolist()]
    landmarks = np.array(points)
    return FaceRow.model_construct(
        clip=sha256,
        frame=frame.index,
        timestamp_s=round(frame.timestamp_s, 6),
        track=track,
        box=tuple(np.round(face.box.astype(np.float64), 3).tolist()),
        landmarks=(points[0], points[1], points[2], points[3], points[4]),
        confidence=round(min(1.0, max(0.0, face.confidence)), 4),
        yaw_deg=round(yaw_deg(landmarks), 1),
        roll_deg=round(roll_deg(landmarks), 1),
        sharpness=None,
        file=None,
        left_out=None,
        split=None,
    )


def _tracks_asked(track: tuple[str, ...], n_clips: int) -> tuple[int, ...] | Literal["all"]:
    """Raises UsageError for what is no number, and for numbers where several clips are named: they are of one clip."""
    if "all" in track:
        return "all"
    if any(not text.isdecimal() or len(text) > 9 for text in track):
        raise UsageError(f"--track {track[0]} is no track", "a number as in tracks-*.png, or all")
    if track and n_clips > 1:
        raise UsageError("--track names a track of one clip", "extract clip by clip into the same --output")
    return tuple(int(text) for text in track)


def _hash(path: Path) -> str:
    try:
        if not path.is_file():
            raise MediaError(f"no file {printable(str(path))}", "check the path")
        return sha256_of_file(path)
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot read {printable(path.name)}", "check the path") from error


def _options(config: ExtractConfig) -> dict[str, Any]:
    """What decides the result, a file by its content."""
    options = config.of_the_result()
    return options if config.face_model is None else {**options, "face_model": _hash(config.face_model)}


def _known(folder: Path, record: FaceSetRecord, sha256: str, config: ExtractConfig) -> ClipOutcome | None:
    """The outcome of a clip that was extracted with the same options before; None where it is to be (another time)."""
    clip = record.clip(sha256)
    if clip is None or clip.options != _options(config) or clip.version != __version__:
        return None
    if any(row.file is not None and not (folder / row.file).is_file() for row in record.faces_of(sha256)):
        return None
    return outcome_of(record, sha256, clip.name, is_known=True)


def _clean(folder: Path, record: FaceSetRecord) -> None:
    """Remove what a stopped run left: hidden folders, and pictures of our naming that the record does not name."""
    for path in folder.glob(f"{PENDING}{'[0-9a-f]' * 8}"):
        shutil.rmtree(path, ignore_errors=True)
    if not (folder / FACES).is_dir():
        return
    named = {row.file for row in record.faces}
    pattern = f"{'[0-9a-f]' * 8}-{'[0-9]' * 6}*-*.png"
    for path in (folder / FACES).glob(pattern):
        if f"{FACES}/{path.name}" not in named:
            path.unlink(missing_ok=True)


def _write_contact_sheet(faces: FaceSet) -> None:
    """Kept faces in time order, clip after clip; at most about 120, evenly spread."""
    rows = [faces.rows[i] for i in evenly(len(faces.rows))]
    if not rows:
        return
    captions = [f"{row.frame} / {row.track}{' held' if row.split == 'held_out' else ''}" for row in rows]
    write_png(faces.folder / CONTACT, contact_sheet([faces.picture(row) for row in rows], captions))
