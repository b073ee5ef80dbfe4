"""A clip's faces through time: what extraction crops and conversion replaces. Keeps boxes and landmarks, no pictures.

Frames come from the confined decoder of `forensics.media`, faces and tracks from `forensics.faces`, as in a scan; but every
frame is looked at, since every one of them is to be trained on or replaced.
Limits: a track ends at a cut and after a second without its face, so one person in several scenes has several tracks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch

from forensics.common.errors import MediaError, UsageError
from forensics.common.files import sha256_of_file
from forensics.common.outcomes import Outcome
from forensics.common.prefetch import prefetch
from forensics.common.progress import Progress
from forensics.faces import tracking
from forensics.faces.still import detect_in_stills
from forensics.faces.tracking import KEYFRAME_EVERY, Observation, Tracker, follow_faces
from forensics.faces.types import Face, FaceDetector
from forensics.media.reader import MediaReader, MediaStream
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits, Sample, Sampling

PREFETCH_BYTES = 48 << 20
MAX_FRAMES = 200_000  # 1.8 hours at 30 frames a second; boxes and landmarks of as many take some 100 MB
# A face counts for the time until the next frame, but not for the whole of a gap in the clip.
MAX_FRAME_S = 1.0


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face of a frame, and the number of its track: 1, 2 ... in the order of their beginnings."""

    track: int
    face: Face


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """What is kept of a frame: its place in the clip's frames, its time in seconds from the first, its faces."""

    index: int
    timestamp_s: float
    is_after_cut: bool
    faces: tuple[TrackedFace, ...]


@dataclass(frozen=True)
class TrackSpan:
    """A track at a glance. weight: sum of face size x time in pixel seconds; share: of the frames that were looked at."""

    track: int
    frames: int
    first_s: float
    last_s: float
    weight: float
    share: float
    mean_size_px: float


@dataclass(frozen=True, eq=False)
class ClipFaces:
    """A clip, looked at from its first frame to its last, or to where it broke (`summary` says so)."""

    path: Path
    sha256: str
    info: MediaInfo
    summary: DecodeSummary
    frames: tuple[FrameFaces, ...]
    cut_short: MediaError | None = None  # by a limit of ours; damage is in the summary

    def spans(self) -> tuple[TrackSpan, ...]:
        """Its tracks, the one that is largest for longest first."""
        return track_spans(self.frames)


def load_face_detector(name: str = "mtcnn", model: Path | None = None, device: str = "auto") -> FaceDetector:
    """The detectors of a scan. device: auto, cpu or cuda. Raises UsageError for what is not here."""
    if name == "yunet":
        from forensics.faces.yunet import YunetDetector

        if model is None:
            raise UsageError("--face-detector yunet needs its model", "--face-model FILE.onnx")
        return YunetDetector(model)
    if name != "mtcnn":
        raise UsageError(f"there is no face detector '{name}'", "mtcnn or yunet")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here", "--device cpu, or auto")
    from forensics.faces.mtcnn import MtcnnDetector

    return MtcnnDetector(torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"))


def follow_clip(
    path: Path,
    detector: FaceDetector,
    progress: Progress,
    *,
    fps: float | None = None,
    max_frames: int = MAX_FRAMES,
    reader: MediaReader | None = None,
    limits: MediaLimits | None = None,
    on_frame: Callable[[Sample, FrameFaces], None] | None = None,
    sha256: str | None = None,
    keyframe_every: int = KEYFRAME_EVERY,
) -> ClipFaces:
    """Every face of a clip (or picture) with its track, in one pass.

    fps: frames a second to look at, spread over the clip; None is every frame, in order. `on_frame` is given each frame's
    pixels with its faces while they are there; nothing else outlives a window of frames. `reader` is kept open where one
    is given; `limits` are for the one that is made otherwise. A clip that breaks down on the way gives what came before,
    with is_complete = False and the reason in the summary's errors; where a limit cut it short, `cut_short` says so. Raises
    MediaError where nothing can be decoded.
    """
    digest = sha256 or _hash(path)
    sampling = Sampling(max_frames=max_frames, every_frame=True) if fps is None else Sampling(fps, max_frames)
    frames: list[FrameFaces] = []
    with (
        nullcontext(reader) if reader else MediaReader(limits) as source,
        source.open(path, sampling) as stream,
        progress.task(f"faces of {path.name}", _frames_expected(stream.info, sampling)) as bar,
    ):
        problem: MediaError | None = None
        try:
            for sample, found in _found_faces(stream, detector, keyframe_every):
                frames.append(found)
                if on_frame is not None:
                    on_frame(sample, found)
                bar(1)
        except MediaError as error:
            if not frames:
                raise
            problem = error
        summary = _summary(stream.summary, len(frames), problem)
    cut_short = problem if problem is not None and problem.outcome is Outcome.LIMIT_EXCEEDED else None
    if fps is None and len(frames) >= max_frames < stream.info.frames_found:
        cut_short = MediaError(
            f"{path.name} has {stream.info.frames_found} frames, of which {max_frames} are looked at",
            "cut the clip into shorter ones", Outcome.LIMIT_EXCEEDED,
        )  # fmt: skip
    return ClipFaces(path, digest, stream.info, summary, tuple(frames), cut_short)


def _found_faces(
    stream: MediaStream, detector: FaceDetector, keyframe_every: int
) -> Iterator[tuple[Sample, FrameFaces]]:
    samples = prefetch(stream, PREFETCH_BYTES // max(1, stream.info.width * stream.info.height * 3))
    tracker = Tracker()
    followed = (
        _in_stills(samples, detector)
        if stream.info.kind == "image"
        else follow_faces(samples, detector, keyframe_every)
    )
    for frame in followed:
        tracks = tracker.update(frame)
        faces = tuple(
            TrackedFace(track, observation.face) for track, observation in zip(tracks, frame.observations, strict=True)
        )
        yield frame.sample, FrameFaces(frame.sample.index, frame.sample.timestamp_s, frame.is_after_cut, faces)


def _in_stills(samples: Iterator[Sample], detector: FaceDetector) -> Iterator[tracking.FrameFaces]:
    for sample in samples:
        faces = detect_in_stills(detector, [sample.pixels])[0]
        sure = tuple(Observation(face, "detected") for face in faces if face.confidence >= detector.min_confidence)
        yield tracking.FrameFaces(sample, sure, is_after_cut=False)


def track_spans(frames: Sequence[FrameFaces]) -> tuple[TrackSpan, ...]:
    """The tracks of frames in time order, the greatest weight first, then the smaller number."""
    seen: dict[int, list[tuple[float, float, float]]] = {}  # time, time until the next frame, size
    for frame, duration_s in zip(frames, _durations(frames), strict=True):
        for tracked in frame.faces:
            seen.setdefault(tracked.track, []).append((frame.timestamp_s, duration_s, tracked.face.size_px))
    spans = [
        TrackSpan(
            track, len(rows), rows[0][0], rows[-1][0], sum(size * s for _, s, size in rows),
            len(rows) / len(frames), sum(size for *_, size in rows) / len(rows),
        )
        for track, rows in seen.items()
    ]  # fmt: skip
    return tuple(sorted(spans, key=lambda span: (-span.weight, span.track)))


def _durations(frames: Sequence[FrameFaces]) -> list[float]:
    """Seconds from each frame to the next; the last is taken to last as long as the one before, a single one a second."""
    times = [frame.timestamp_s for frame in frames]
    steps = [min(MAX_FRAME_S, max(0.0, b - a)) for a, b in pairwise(times)]
    return [*steps, steps[-1] if steps else MAX_FRAME_S] if times else []


def chosen_tracks(clip: ClipFaces, asked: Sequence[int] | Literal["all"] = ()) -> tuple[int, ...]:
    """Whose faces are meant: those asked for, "all", or without a wish the track of the greatest size x time.

    Ascending; empty only for a clip without a face. Raises UsageError that lists what there is for a number that the clip
    does not have.
    """
    spans = clip.spans()
    if asked == "all":
        return tuple(sorted(span.track for span in spans))
    known = {span.track for span in spans}
    missing = sorted(set(asked) - known)
    if missing:
        there = ", ".join(map(str, sorted(known)[:20])) or "none: no face was found"
        raise UsageError(f"{clip.path.name} has no track {missing[0]}", f"its tracks: {there}")
    return tuple(sorted(set(asked))) or tuple(span.track for span in spans[:1])


def _frames_expected(info: MediaInfo, sampling: Sampling) -> int | None:
    if info.kind == "image":
        return 1
    frames = info.frames_found if sampling.every_frame else int(info.duration_s * sampling.fps) + 1
    return min(frames, info.frames_found, sampling.max_frames) or None


def _summary(summary: DecodeSummary | None, frames: int, problem: MediaError | None) -> DecodeSummary:
    if summary is not None and problem is None:
        return summary
    reason = problem.message if problem else "decoding stopped before its end"
    return DecodeSummary(frames, frames, (reason,), is_complete=False)


def _hash(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaError(f"cannot read {path.name}: {reason}", "check the path") from error
