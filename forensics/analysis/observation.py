"""What the analyses of time look at: one pass over a clip's frames that leaves small grey pictures and faces on tracks.

Limits: only the first MAX_FRAMES frames and the longest MAX_TRACKS tracks are kept; a face that appears while more than
MAX_OPEN_TRACKS others are being followed is not followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.face_tracks import FACE_PX, aligned_shape
from forensics.analysis.protocol import Clip, FaceThroughTime
from forensics.faces.mean_shape import five_of
from forensics.faces.similarity import similarity
from forensics.faces.tracking import FrameFaces, Tracker, follow_faces
from forensics.faces.types import Face, FaceDetector
from forensics.media.types import Sample

GRAY_PX = 96  # longer side of a frame's grey picture
# The ring beside a face is what lies between its box and this many times the box.
RING = 1.6
MAX_FRAMES = 1_800  # a minute at 30 frames a second: 9 MB of grey pictures
MAX_TRACKS = 8  # 22 MB each at MAX_FRAMES
MAX_OPEN_TRACKS = 12
# With fewer frames there is no before and after.
MIN_TRACK_FRAMES = 8
# Dense frames lie 33 to 42 ms apart: between two full searches 0.3 to 0.4 s away the last stage finds a face again.
KEYFRAME_EVERY = 10
# Gaussian blur before a reduction by a factor f: a pixel of the result spans f pixels, a box of that width has this
# spread.
BLUR_PER_FACTOR = 0.29
# No face of a frame of 640 pixels needs more; landmarks far outside would ask for a kernel of thousands.
MAX_BLUR_PX = 16.0
# A clip is complete when its last frame ends within this many frame intervals of the clip's end.
END_TOLERANCE_FRAMES = 2.5


def observe(samples: Iterator[Sample], detector: FaceDetector, duration_s: float, max_frames: int = MAX_FRAMES) -> Clip:
    """All that the analyses of time need, in one pass; a window of frames is in memory at a time.

    samples: successive frames in time order, 640 pixels or less on the longer side, all of the clip or its first part.
    duration_s: of the whole clip. Frames whose time does not rise are left out. A clip without frames has arrays of
    length 0 and a scale of 1.
    """
    watch = _Watch()
    tracker = Tracker()
    for frame in follow_faces(_rising(samples, max_frames), detector, KEYFRAME_EVERY):
        watch.add(frame, tracker.update(frame))
    return watch.result(duration_s, max_frames)


def reduce_gray(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Luma (h, w) of an RGB frame (H, W, 3) at `size` = (w, h)."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    method = cv2.INTER_AREA if gray.shape[1] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, size, interpolation=method), np.uint8)


def align_face(frame: NDArray[np.uint8], landmarks: NDArray[Any]) -> NDArray[np.uint8]:
    """The face of five landmarks (5, 2) laid on the mean face: (64, 64, 3) uint8; beyond the frame, its edge continues.

    Raises ValueError for landmarks that coincide or are not finite.
    """
    matrix = similarity(landmarks, five_of(aligned_shape()))
    factor = float(1 / np.hypot(matrix[0, 0], matrix[0, 1]))  # pixels of the frame per pixel of the result
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([(x, y, 1) for x in (0, FACE_PX) for y in (0, FACE_PX)]) @ inverse.T
    if not np.isfinite(corners).all():
        raise ValueError("landmarks are not finite")
    margin = factor + 2
    height, width = frame.shape[:2]
    left, top = (int(np.clip(corners[:, i].min() - margin, 0, side - 1)) for i, side in ((0, width), (1, height)))
    right, bottom = (int(np.clip(corners[:, i].max() + margin, 1, side)) for i, side in ((0, width), (1, height)))
    patch = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    if factor > 1:
        sigma = min(MAX_BLUR_PX, BLUR_PER_FACTOR * float(np.sqrt(factor**2 - 1)))
        patch = np.asarray(cv2.GaussianBlur(patch, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.uint8)
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(patch, matrix, (FACE_PX, FACE_PX), borderMode=border), np.uint8)


def ring_mean(frame: NDArray[np.uint8], box: NDArray[Any]) -> NDArray[np.float32]:
    """Mean RGB (3,) between a box and RING times it, inside the frame; of the whole frame where the box leaves
    nothing."""
    height, width = frame.shape[:2]
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    sums, pixels = np.zeros(3), 0
    for share, sign in ((RING, 1), (1.0, -1)):
        low = np.clip(np.rint(middle - share * half), 0, (width, height)).astype(int)
        high = np.clip(np.rint(middle + share * half), 0, (width, height)).astype(int)
        count = int(np.prod(np.maximum(high - low, 0)))
        if count:
            sums += sign * count * np.array(cv2.mean(frame[low[1] : high[1], low[0] : high[0]])[:3])
            pixels += sign * count
    if pixels <= 0:
        return np.array(cv2.mean(frame)[:3], np.float32)
    return np.asarray(sums / pixels, np.float32)


@dataclass(eq=False)
class _Track:
    """A track that grows."""

    id: int
    frames: list[int] = field(default_factory=list)
    landmarks: list[NDArray[np.float32]] = field(default_factory=list)
    faces: list[NDArray[np.uint8]] = field(default_factory=list)
    around: list[NDArray[np.float32]] = field(default_factory=list)


class _Watch:
    """What is kept of the frames so far."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._gray: list[NDArray[np.uint8]] = []
        self._tracks: dict[int, _Track] = {}
        self._refused: set[int] = set()
        self._scale = 1.0
        self._size = (GRAY_PX, GRAY_PX)

    def add(self, frame: FrameFaces, ids: list[int]) -> None:
        pixels = frame.sample.pixels
        if not self._gray:
            # A stream may change its size on the way; its grey pictures do not.
            height, width = pixels.shape[:2]
            self._scale = max(height, width) / GRAY_PX
            self._size = max(1, round(width / self._scale)), max(1, round(height / self._scale))
        self._gray.append(reduce_gray(pixels, self._size))
        self._times.append(frame.sample.timestamp_s)
        for track_id, observation in zip(ids, frame.observations, strict=True):
            self._add_face(track_id, observation.face, pixels)
        if len(self._tracks) > MAX_OPEN_TRACKS:
            self._forget_short_ones(set(ids))

    def _add_face(self, track_id: int, face: Face, pixels: NDArray[np.uint8]) -> None:
        if track_id in self._refused or not np.isfinite(face.box).all():
            return
        try:
            aligned = align_face(pixels, face.landmarks)
        except ValueError:
            return  # landmarks that coincide are a failure of the detector, not of the clip: the track has a gap there
        track = self._tracks.setdefault(track_id, _Track(track_id))
        track.frames.append(len(self._times) - 1)
        track.landmarks.append(np.asarray(face.landmarks, np.float32))
        track.faces.append(aligned)
        track.around.append(ring_mean(pixels, face.box))

    def _forget_short_ones(self, seen_now: set[int]) -> None:
        """Back to MAX_OPEN_TRACKS: the longest, and of equal ones the earliest."""
        ranked = sorted(self._tracks.values(), key=lambda track: (-len(track.frames), track.id))
        for track in ranked[MAX_OPEN_TRACKS:]:
            del self._tracks[track.id]
            self._refused.add(track.id)
        self._refused &= seen_now | {track.id for track in ranked[MAX_OPEN_TRACKS:]}

    def result(self, duration_s: float, max_frames: int) -> Clip:
        times = np.array(self._times, np.float64)
        ranked = sorted(self._tracks.values(), key=lambda track: (-len(track.frames), track.id))
        kept = [track for track in ranked[:MAX_TRACKS] if len(track.frames) >= MIN_TRACK_FRAMES]
        height, width = self._size[::-1]
        gray = np.stack(self._gray) if self._gray else np.zeros((0, height, width), np.uint8)
        step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        ends_s = float(times[-1]) + END_TOLERANCE_FRAMES * step_s if len(times) else 0.0
        is_complete = len(times) < max_frames and ends_s >= duration_s
        return Clip(times, gray, self._scale, tuple(_finished(track, times) for track in kept), is_complete)


def _finished(track: _Track, times_s: NDArray[np.float64]) -> FaceThroughTime:
    frames = np.array(track.frames, np.int64)
    stacks = np.stack(track.landmarks), np.stack(track.faces), np.stack(track.around)
    return FaceThroughTime(track.id, frames, times_s[frames], *stacks)


def _rising(samples: Iterator[Sample], max_frames: int) -> Iterator[Sample]:
    """The first `max_frames` samples whose times rise."""
    last_s, taken = -np.inf, 0
    for sample in samples:
        if sample.timestamp_s > last_s:
            last_s, taken = sample.timestamp_s, taken + 1
            yield sample
        if taken == max_frames:
            return
