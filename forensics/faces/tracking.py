"""Faces through time: full detection at a low rate, confirmation between, and tracks that end at cuts.

Samples come in windows. Every KEYFRAME_EVERY-th sample is searched for faces in full, in one batch. Where two successive
keyframes show the same faces (matched by overlap and landmarks, no cut between), each face's box is interpolated in the
samples between and confirmed there by the detector's last stage, which measures box and landmarks anew. Any sample for
which that does not hold is searched in full, so a face is never lost to the shortcut, only found more cheaply.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from forensics.faces.types import Face, FaceDetector, Frame, iou
from forensics.media.types import Sample

KEYFRAME_EVERY = 4
WINDOW_KEYFRAMES = 3
# Frames of one window are held in memory at once: this bounds them, whatever a frame's size.
WINDOW_BYTES = 96 << 20
MIN_OVERLAP = 0.3
# Landmarks of the same face move by less than this share of its size between matched observations.
MAX_LANDMARK_SHIFT = 0.6
# A track survives this long without an observation, or one missing sample where samples are further apart.
MAX_GAP_S = 1.0
CUT_SIZE = (64, 36)
# Mean absolute difference of reduced luma (of 255), and correlation of its histogram, that make a cut together.
CUT_DIFFERENCE = 18.0
CUT_CORRELATION = 0.85


@dataclass(frozen=True, eq=False)
class Observation:
    """A face in a sample and how it was found."""

    face: Face
    found_by: Literal["detected", "tracked", "given"]


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """A sample, its faces, and whether a cut lies before it."""

    sample: Sample
    observations: tuple[Observation, ...]
    is_after_cut: bool


def follow_faces(
    samples: Iterator[Sample], detector: FaceDetector, keyframe_every: int = KEYFRAME_EVERY
) -> Iterator[FrameFaces]:
    """Faces of each sample, in order. Holds one window of frames at a time.

    keyframe_every: samples from one full search to the next; more where samples are near each other in time.
    """
    carried: _Entry | None = None
    for window in _windows(samples, keyframe_every):
        entries = [_Entry(sample, make_thumbnail(sample.pixels)) for sample in window]
        for earlier, later in zip([carried, *entries], entries, strict=False):
            later.is_after_cut = earlier is not None and is_cut(earlier.thumbnail, later.thumbnail)
        keys = entries[keyframe_every - 1 :: keyframe_every] if carried else entries[::keyframe_every]
        if entries[-1] not in keys:
            keys = [*keys, entries[-1]]
        _detect(keys, detector)
        _fill_between([*([carried] if carried else []), *entries], detector)
        for entry in entries:
            yield FrameFaces(entry.sample, tuple(entry.observations or ()), entry.is_after_cut)
        carried = entries[-1]
        # The next window is filled before these names are: without this, two windows would be in memory.
        del window, entries, keys, entry, earlier, later


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A frame's size and its (36, 64) int16 luma."""

    frame_size: tuple[int, ...]
    luma: NDArray[np.int16]


@dataclass(eq=False)
class _Entry:
    """A sample in a window; observations are None until they are known."""

    sample: Sample
    thumbnail: Thumbnail
    observations: list[Observation] | None = None
    is_after_cut: bool = False


def _windows(samples: Iterator[Sample], keyframe_every: int) -> Iterator[list[Sample]]:
    window: list[Sample] = []
    size = 0
    for sample in samples:
        window.append(sample)
        size += sample.pixels.nbytes
        if len(window) >= keyframe_every * WINDOW_KEYFRAMES or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _detect(entries: Sequence[_Entry], detector: FaceDetector) -> None:
    found = detector.detect([entry.sample.pixels for entry in entries])
    for entry, faces in zip(entries, found, strict=True):
        entry.observations = [
            Observation(face, "detected") for face in faces if face.confidence >= detector.min_confidence
        ]


def _fill_between(entries: Sequence[_Entry], detector: FaceDetector) -> None:
    """Observations of every entry that has none, by confirmation where possible and detection elsewhere."""
    known = [i for i, entry in enumerate(entries) if entry.observations is not None]
    places: list[tuple[_Entry, NDArray[np.float32]]] = []
    for first, last in pairwise(known):
        between = entries[first + 1 : last]
        pairs = _same_faces(entries[first], entries[last], entries[first + 1 : last + 1])
        if not between or pairs is None:
            continue
        start_s, end_s = entries[first].sample.timestamp_s, entries[last].sample.timestamp_s
        for entry in between:
            share = (entry.sample.timestamp_s - start_s) / max(end_s - start_s, 1e-9)
            for a, b in pairs:
                places.append((entry, np.asarray(a.box + (b.box - a.box) * share, np.float32)))
    refined = detector.refine([entry.sample.pixels for entry, _ in places], [box for _, box in places])
    failed: set[int] = set()
    for (entry, _), face in zip(places, refined or [None] * len(places), strict=True):
        if face is None or face.confidence < detector.min_confidence:
            failed.add(id(entry))
        else:
            entry.observations = [*(entry.observations or []), Observation(face, "tracked")]
    _detect([entry for entry in entries if entry.observations is None or id(entry) in failed], detector)


def _same_faces(first: _Entry, last: _Entry, until: Sequence[_Entry]) -> list[tuple[Face, Face]] | None:
    """Pairs of one face in two keyframes; None unless all faces pair up and nothing was cut between."""
    a = [observation.face for observation in first.observations or ()]
    b = [observation.face for observation in last.observations or ()]
    if not a or len(a) != len(b) or any(entry.is_after_cut for entry in until):
        return None
    pairs = match_faces(a, b)
    return [(a[i], b[j]) for i, j in pairs] if len(pairs) == len(a) else None


def match_faces(a: Sequence[Face], b: Sequence[Face]) -> list[tuple[int, int]]:
    """Index pairs of the same face in two pictures: greatest total overlap, landmarks near each other."""
    if not a or not b:
        return []
    overlaps = np.array([[iou(x.box, y.box) for y in b] for x in a])
    rows, columns = linear_sum_assignment(-overlaps)
    return [
        (int(i), int(j))
        for i, j in zip(rows, columns, strict=True)
        if overlaps[i, j] >= MIN_OVERLAP and _landmark_shift(a[i], b[j]) <= MAX_LANDMARK_SHIFT
    ]


def _landmark_shift(a: Face, b: Face) -> float:
    return float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean()) / max(a.size_px, b.size_px, 1.0)


def make_thumbnail(frame: Frame) -> Thumbnail:
    """What cuts are found by: the frame's size and its luma, reduced to CUT_SIZE."""
    reduced = cv2.resize(frame, CUT_SIZE, interpolation=cv2.INTER_AREA)
    return Thumbnail(frame.shape[:2], np.asarray(cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY), np.int16))


def is_cut(earlier: Thumbnail, later: Thumbnail) -> bool:
    """Whether two successive samples show different scenes (a change of frame size is a cut too)."""
    if earlier.frame_size != later.frame_size:
        return True
    difference = float(np.abs(earlier.luma - later.luma).mean())
    if difference < CUT_DIFFERENCE:
        return False
    histograms = [np.histogram(t.luma, bins=32, range=(0, 256))[0].astype(np.float64) for t in (earlier, later)]
    correlation = float(np.corrcoef(histograms[0], histograms[1])[0, 1])
    return difference > 2 * CUT_DIFFERENCE or not correlation > CUT_CORRELATION


@dataclass(eq=False)
class _OpenTrack:
    id: int
    face: Face
    last_s: float
    is_open: bool = field(default=True)


class Tracker:
    """Gives each observation the id of its track, in time order."""

    def __init__(self) -> None:
        self._tracks: list[_OpenTrack] = []
        self._next_id = 1
        self._previous_s = 0.0

    def update(self, frame: FrameFaces) -> list[int]:
        """Track ids of the frame's observations, in their order."""
        now = frame.sample.timestamp_s
        max_gap_s = max(MAX_GAP_S, 2.1 * (now - self._previous_s))
        self._previous_s = now
        for track in self._tracks:
            if frame.is_after_cut or now - track.last_s > max_gap_s:
                track.is_open = False
        self._tracks = [track for track in self._tracks if track.is_open]
        faces = [observation.face for observation in frame.observations]
        ids = [0] * len(faces)
        for i, j in match_faces([track.face for track in self._tracks], faces):
            track = self._tracks[i]
            track.face, track.last_s, ids[j] = faces[j], now, track.id
        for j, face in enumerate(faces):
            if ids[j] == 0:
                ids[j] = self._next_id
                self._tracks.append(_OpenTrack(self._next_id, face, now))
                self._next_id += 1
        return ids
