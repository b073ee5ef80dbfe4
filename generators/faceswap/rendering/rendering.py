"""A clip with its faces replaced: every frame, its own time, its sound, the mask of what was changed, and a manifest.

    decode in the child process -> paint the faces -> encode the clip, and the mask -> join the sound -> say what it is

Who paints, and what, is the caller's (`convert`, `warping`). Faces are known beforehand, from a first look at the clip, so
that landmarks are smoothed in both directions of time and a frame costs only its painting. A frame without the chosen
face goes through as it is. Nothing of the clip outlives a few frames.
"""

import json
import queue
import tempfile
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.prefetch import prefetch
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sample, Sampling, SoundReport
from forensics.perturb.clip import recompress_clip
from generators.clip_source import ticks_of, with_sound
from generators.faceswap.config import RenderConfig
from generators.faceswap.extraction.tracks import ClipFaces
from generators.faceswap.rendering.motion_blur import motion_px
from generators.faceswap.rendering.outputs import FRAMES_FORMAT, Box, Making, files_of, identity_of, note, writing
from generators.faceswap.rendering.smoothing import fill_missing, smooth_landmarks
from generators.faceswap.rendering.watermark import watermarked
from generators.pictures import Picture
from generators.provenance import synthetic_tags

# Frames that are painted together: a network takes several faces in not much more time than one.
BATCH_FRAMES = 8
# Decoded frames, and frames for an encoder, that wait at a time; a 1080p frame has 6 MB.
WAITING = 8
MASK_CRF = 0.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A face to paint: its track, its landmarks (5, 2) in the frame, how far it moves while the shutter is open (2,)."""

    track: int
    landmarks: NDArray[np.float64]
    motion: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Painted:
    """A frame with its faces replaced, the mask that was used (H, W) uint8, a box for each face, why others have none."""

    frame: Picture
    mask: NDArray[np.uint8]
    boxes: tuple[Box, ...] = ()
    problems: tuple[str, ...] = ()


class Painter(Protocol):
    """Replaces faces. Frames are not changed in place."""

    def paint(self, frames: Sequence[Picture], faces: Sequence[Sequence[Placed]]) -> list[Painted]:
        """Each frame with its faces replaced; every frame has at least one."""


@dataclass(frozen=True)
class Rendering:
    """What became of a clip. problems: why frames were not swapped, and how many; errors: of decoding."""

    output: Path
    mask: Path
    manifest: Path
    frames: int
    swapped: int
    filled: int
    problems: Mapping[str, int]
    sound: SoundReport
    errors: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the frames that were swapped."""
        return self.swapped / max(1, self.frames)


def render(
    clip: ClipFaces, tracks: Sequence[int], painter: Painter, config: RenderConfig, making: Making, output: Path,
    limits: MediaLimits, progress: Progress,
) -> Rendering:  # fmt: skip
    """Write the clip with the faces of `tracks` replaced.

    Raises UsageError where not one face was, for a picture, and for an output that cannot be written; MediaError for a clip
    that was cut short by a limit, and for one of which not all frames that were looked at can be decoded any more. Then no
    file is left. The clip comes last, when all that says what it is lies there.
    """
    if clip.cut_short is not None:
        raise clip.cut_short
    if clip.info.kind == "image":
        raise UsageError(
            f"{printable(clip.path.name)} is a picture, not a clip",
            "`forensics generate faceswap warp` swaps in pictures",
        )
    placed, filled = placed_faces(clip, tracks, config)
    if not any(placed.values()):
        has_faces = any(frame.faces for frame in clip.frames)
        why = "" if has_faces else f": none was found in its {len(clip.frames)} frames"
        raise UsageError(
            f"no face to swap in {printable(clip.path.name)}{why}",
            "a face should be 30 pixels or larger, and not in profile; --track chooses another",
        )
    log = _Log(clip, filled)
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name[:40]}.") as name:
            folder = Path(name)
            silent, masks = folder / "pictures.mp4", folder / "mask.mp4"
            tags = synthetic_tags(making.detail, making.source_type)
            _encode(clip, placed, painter, config, log, (silent, masks), (tags, mask_tags(making)), limits, progress)
            if not log.swapped:
                why = "; ".join(f"{n} times {reason}" for reason, n in log.problems.most_common())
                raise UsageError(
                    f"not one face was swapped in {printable(clip.path.name)}: {why}", "--track chooses another face"
                )
            progress.say("joining the sound")
            joined = folder / f"joined{output.suffix.lower()}"
            sound = with_sound(silent, clip.path, joined, tags, limits)
            sha256 = sha256_of_file(joined)
            _, mask_path, frames_path = files_of(output)
            known = {**identity_of(making, clip.sha256, config), "tracks": list(tracks), "sha256": sha256}
            # The list first: by it, what a stopped run left is known as ours. The clip last: no fake lies unlabelled.
            write_atomic(frames_path, json.dumps(log.plain(making, known), separators=(",", ":")) + "\n")
            masks.replace(mask_path)
            manifest = note(output, mask_path, frames_path, sha256, clip.sha256, making)
            joined.replace(output)
    return Rendering(
        output, mask_path, manifest, log.frames, log.swapped, log.filled, dict(log.problems), sound,
        tuple(dict.fromkeys(log.errors)),
    )  # fmt: skip


def mask_tags(making: Making) -> dict[str, str]:
    """Tags of a mask."""
    return synthetic_tags("mask of a face swap: white where pixels were replaced", making.source_type)


def _encode(
    clip: ClipFaces, placed: Mapping[int, Sequence[Placed]], painter: Painter, config: RenderConfig, log: "_Log",
    paths: tuple[Path, Path], tags: tuple[Mapping[str, str], Mapping[str, str]], limits: MediaLimits, progress: Progress,
) -> None:  # fmt: skip
    """Paint every frame, and write the silent clip and its mask. Raises MediaError where frames are missing."""
    ticks, shape = ticks_of(clip.info.time_base), clip.info.sample_aspect_ratio
    with ExitStack() as stack:
        pictures = stack.enter_context(_Encoder(paths[0], config.crf, config.encoder, tags[0], ticks, shape))
        masks = stack.enter_context(_Encoder(paths[1], MASK_CRF, "ultrafast", tags[1], ticks, shape))
        bar = stack.enter_context(progress.task(f"swapping in {clip.path.name}", len(clip.frames)))
        # Closed here, so that the decoding process ends with whatever else ends.
        for time_s, painted in stack.enter_context(closing(_painted(clip, placed, painter, limits, log))):
            pictures.put(time_s, watermarked(painted.frame) if config.watermark else painted.frame)
            masks.put(time_s, painted.mask)
            bar(1)
        if log.frames != len(clip.frames):
            why = log.errors[-1] if log.errors else "the file has changed"
            raise MediaError(
                f"{len(clip.frames)} frames of {printable(clip.path.name)} were decoded at first, now {log.frames}: {why}",
                "once more, with a longer --timeout if it says so",
            )
        for writer in (pictures, masks):
            writer.finish()


def placed_faces(
    clip: ClipFaces, tracks: Sequence[int], config: RenderConfig
) -> tuple[dict[int, list[Placed]], set[int]]:
    """The faces of `tracks` by the frame's index, smoothed in time, and the frames in which one was filled in."""
    indices = [frame.index for frame in clip.frames]  # behind damage they jump
    times = np.array([frame.timestamp_s for frame in clip.frames])
    cuts = np.array([frame.is_after_cut for frame in clip.frames], np.bool_)
    placed: dict[int, list[Placed]] = {index: [] for index in indices}
    filled: set[int] = set()
    for track in tracks:
        points = np.full((len(times), 5, 2), np.nan)
        for place, frame in enumerate(clip.frames):
            for tracked in frame.faces:
                if tracked.track == track:
                    points[place] = tracked.face.landmarks
        whole, was_missing = fill_missing(times, points, cuts)
        smooth = smooth_landmarks(times, whole, config.smooth_s, cuts)
        motion = motion_px(times, smooth) if config.motion_blur else np.zeros((len(times), 2))
        for k in np.flatnonzero(np.isfinite(smooth).all((1, 2))).tolist():
            placed[indices[k]].append(Placed(track, smooth[k], motion[k]))
        filled |= {indices[k] for k in np.flatnonzero(was_missing).tolist()}
    return placed, filled


class _Log:
    """What happens to each frame, as it happens."""

    def __init__(self, clip: ClipFaces, filled: set[int]) -> None:
        self._filled = filled
        self._with_faces = {frame.index for frame in clip.frames if frame.faces}
        self.frames = self.swapped = self.filled = 0
        self.problems: Counter[str] = Counter()  # why frames were not swapped, or not all of their faces
        self.errors: list[str] = [*clip.summary.errors]
        self._rows: list[dict[str, Any]] = []

    def note(self, sample: Sample, painted: Painted | None) -> None:
        """One frame: what was painted, None for a frame without the face."""
        self.frames += 1
        is_swapped = painted is not None and bool(painted.boxes)
        self.swapped += is_swapped
        is_filled = is_swapped and sample.index in self._filled
        self.filled += is_filled
        if painted is None:
            self.problems["only other faces" if sample.index in self._with_faces else "no face found"] += 1
        else:
            self.problems.update({f"one face of several: {why}" if is_swapped else why for why in painted.problems})
        self._rows.append({"t": sample.timestamp_s, "boxes": painted.boxes if painted else (), "filled": is_filled})

    def plain(self, making: Making, known: Mapping[str, Any]) -> dict[str, Any]:
        """frames.json (`outputs.FramesFile`). known: what decided the pixels, and the clip's hash."""
        return {
            "format": FRAMES_FORMAT,
            "generator": making.generator,
            "source": making.source,
            "target": making.target,
            **known,
            "swapped": self.swapped,
            "total": self.frames,
            "problems": dict(sorted(self.problems.items())),
            "frames": self._rows,
        }


def box_of(mask: NDArray[np.uint8]) -> Box:
    """Left, top, right, bottom of what is not 0 in a mask (H, W)."""
    left, top, width, height = cv2.boundingRect(mask)
    return left, top, left + width, top + height


def _painted(
    clip: ClipFaces, placed: Mapping[int, Sequence[Placed]], painter: Painter, limits: MediaLimits, log: _Log
) -> Generator[tuple[float, Painted], None, None]:
    """Every frame in order, painted in batches; those without a face with an empty mask."""
    # A clip that broke at the first look ends where it broke.
    sampling = Sampling(max_frames=clip.frames[-1].index + 1, every_frame=True)
    with MediaReader(limits) as reader, reader.open(clip.path, sampling) as stream, ExitStack() as stack:
        samples = prefetch(stream, WAITING)
        if isinstance(samples, Generator):  # its thread ends here, and not when the garbage is collected
            stack.callback(samples.close)
        batch: list[Sample] = []
        try:
            for sample in samples:
                batch.append(sample)
                if len(batch) == BATCH_FRAMES:
                    yield from _batch(batch, placed, painter, log)
                    batch = []
        except MediaError as error:  # at the end of a clip that breaks; before it, it is an error when all are counted
            log.errors.append(error.message)
        yield from _batch(batch, placed, painter, log)


def _batch(
    batch: Sequence[Sample], placed: Mapping[int, Sequence[Placed]], painter: Painter, log: _Log
) -> Iterator[tuple[float, Painted]]:
    faces = [placed.get(sample.index, ()) for sample in batch]
    with_faces = [k for k, found in enumerate(faces) if found]
    done = painter.paint([batch[k].pixels for k in with_faces], [faces[k] for k in with_faces]) if with_faces else []
    painted = dict(zip(with_faces, done, strict=True))
    for k, sample in enumerate(batch):
        found = painted.get(k)
        log.note(sample, found)
        yield sample.timestamp_s, found or Painted(sample.pixels, np.zeros(sample.pixels.shape[:2], np.uint8))


class _Encoder:
    """A clip that is encoded in a thread of its own, a few frames behind."""

    def __init__(
        self, path: Path, crf: float, preset: str, tags: Mapping[str, str], ticks_per_s: int,
        pixel_aspect: tuple[int, int] | None,
    ) -> None:  # fmt: skip
        self._waiting: queue.Queue[tuple[float, Picture] | None] = queue.Queue(maxsize=WAITING)
        self._error: BaseException | None = None
        self._is_over = threading.Event()

        def frames() -> Iterator[tuple[float, Picture]]:
            while (entry := self._waiting.get()) is not None:
                yield entry

        def work() -> None:
            try:
                recompress_clip(
                    frames(), path, crf, preset, metadata=tags, ticks_per_s=ticks_per_s, pixel_aspect=pixel_aspect
                )
            except BaseException as error:  # noqa: BLE001  (raised again where frames are put)
                self._error = error
            finally:
                self._is_over.set()

        self._thread = threading.Thread(target=work, daemon=True)

    def __enter__(self) -> "_Encoder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """After an error elsewhere: let the thread end."""
        if not self._is_over.is_set():
            self._put(None)
            self._thread.join()

    def put(self, time_s: float, frame: Picture) -> None:
        """Encode one frame. Raises what the encoder raised."""
        self._put((time_s, frame))
        self._check()

    def finish(self) -> None:
        """Wait for the file to be whole. Raises what the encoder raised."""
        self._put(None)
        self._thread.join()
        self._check()

    def _put(self, entry: tuple[float, Picture] | None) -> None:
        while not self._is_over.is_set():
            try:
                self._waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return

    def _check(self) -> None:
        if isinstance(self._error, OSError):
            reason = self._error.strerror or str(self._error)
            raise UsageError(f"the clip cannot be written: {reason}", "is there room on the disk?") from self._error
        if isinstance(self._error, ValueError):
            raise UsageError(
                f"the clip cannot be encoded: {self._error}", "convert it to a clip of one size, with times that rise"
            ) from self._error
        if self._error is not None:
            raise self._error
