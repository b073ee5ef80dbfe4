"""The faces of a picture or clip that a warp may put elsewhere: the best one, or one for each pose.

The clip is looked at twice: a few frames a second for poses and sharpness (every frame where a track is named, since
those numbers are of every frame), then again for the pixels of those that were
chosen, so that memory holds only them. Limits: expressions are not compared, only where the head looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.faces.landmarks68 import landmarks68
from forensics.faces.mean_shape import head_turn, place_mean_shape
from forensics.faces.types import Face, FaceDetector
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sample, Sampling
from generators.faceswap.alignment import ALIGNED_PX, aligning, warped
from generators.faceswap.extraction.filters import aligned_sharpness
from generators.faceswap.extraction.tracks import MAX_FRAMES, FrameFaces, chosen_tracks, follow_clip
from generators.pictures import Picture

Pose = Literal["best", "nearest"]
Landmarks = Literal["mean", "model"]

# Frames a second to choose from, and frames in all.
SOURCE_FPS, SOURCE_FRAMES = 5.0, 3000
# Poses closer than this, in sines of yaw and pitch, count as one; so many are kept.
POSE_STEP, MOST_POSES = 0.1, 24
# A face turned this far counts half as much as one from the front.
HALF_AS_GOOD = 0.2
# Around the face, as a share of its size, for interpolation and for the brows that are lifted.
MARGIN = 0.4


@dataclass(frozen=True, eq=False)
class SourceFace:
    """A face to put elsewhere: its surroundings (H, W, 3), its 68 points there (68, 2), and where it looks (2,)."""

    picture: Picture
    points: NDArray[np.float64]
    turn: NDArray[np.float64]
    sha256: str = ""  # of the file
    timestamp_s: float = 0.0


@dataclass(frozen=True, eq=False)
class _Candidate:
    index: int
    face: Face
    turn: NDArray[np.float64]
    goodness: float
    timestamp_s: float = 0.0


def source_faces(
    path: Path, detector: FaceDetector, progress: Progress, *, pose: Pose = "best", landmarks: Landmarks = "mean",
    track: int | None = None, limits: MediaLimits | None = None,
) -> tuple[SourceFace, ...]:  # fmt: skip
    """The faces of one person to choose from, the best first: one for `best`, one for each pose for `nearest`.

    track: whose; None: the one that is largest for longest. The best is sharp, large and looks at the camera. Raises
    UsageError where there is no face, MediaError where the file cannot be read.
    """
    sharpness: dict[tuple[int, int], float] = {}

    def measure(sample: Sample, found: FrameFaces) -> None:
        for tracked in found.faces:
            try:
                aligned = warped(sample.pixels, aligning(tracked.face.landmarks), ALIGNED_PX)
            except ValueError:
                continue
            sharpness[found.index, tracked.track] = aligned_sharpness(aligned)

    sampling = Sampling(SOURCE_FPS, SOURCE_FRAMES) if track is None else Sampling(0, MAX_FRAMES, every_frame=True)
    clip = follow_clip(
        path, detector, progress, fps=sampling.fps or None, max_frames=sampling.max_frames, limits=limits,
        on_frame=measure,
    )  # fmt: skip
    whose = chosen_tracks(clip, () if track is None else (track,))
    candidates = [
        _candidate(frame.index, tracked.face, sharpness[frame.index, tracked.track], frame.timestamp_s)
        for frame in clip.frames
        for tracked in frame.faces
        if tracked.track in whose and (frame.index, tracked.track) in sharpness
    ]
    if not candidates:
        raise UsageError(f"no face in {printable(path.name)}", "the source's face must look at the camera")
    chosen = choose(candidates, pose)
    pixels = _frames(path, {candidate.index for candidate in chosen}, sampling, limits or MediaLimits())
    return tuple(_cut(pixels[c.index], c, landmarks, clip.sha256) for c in chosen if c.index in pixels)


def points_of(frame: Picture, face: Face, landmarks: Landmarks) -> NDArray[np.float64]:
    """The 68 points of a face: the mean face's, or a model's that looks at the picture. Raises ValueError, UsageError."""
    return landmarks68(frame, face) if landmarks == "model" else place_mean_shape(face.landmarks)


def nearest(faces: Sequence[SourceFace], turn: NDArray[np.float64], last: int | None) -> int:
    """Which face looks most nearly that way. The last one stays until another is nearer by half a step: no flicker."""
    distances = [float(np.linalg.norm(face.turn - turn)) for face in faces]
    best = int(np.argmin(distances))
    if last is not None and distances[last] - distances[best] < POSE_STEP / 2:
        return last
    return best


def choose(candidates: Sequence[_Candidate], pose: Pose) -> list[_Candidate]:
    """The best of all, or the best of each pose; the best first."""
    ranked = sorted(candidates, key=lambda candidate: (-candidate.goodness, candidate.index))
    if pose == "best":
        return ranked[:1]
    by_pose: dict[tuple[int, ...], _Candidate] = {}
    for candidate in ranked:
        by_pose.setdefault(tuple(np.round(candidate.turn / POSE_STEP).astype(int).tolist()), candidate)
    return list(by_pose.values())[:MOST_POSES]


def _candidate(index: int, face: Face, sharp: float, timestamp_s: float = 0.0) -> _Candidate:
    turn = np.array(head_turn(face.landmarks))
    frontal = 1 / (1 + float(turn @ turn) / HALF_AS_GOOD**2)
    return _Candidate(index, face, turn, sharp * face.size_px * frontal, timestamp_s)


def _frames(path: Path, indices: set[int], sampling: Sampling, limits: MediaLimits) -> dict[int, Picture]:
    """Pixels of the frames with these indices."""
    found: dict[int, Picture] = {}
    with MediaReader(limits) as reader, reader.open(path, sampling) as stream:
        for sample in stream:
            if sample.index in indices:
                found[sample.index] = sample.pixels.copy()
            if len(found) == len(indices):
                break
    return found


def _cut(frame: Picture, candidate: _Candidate, landmarks: Landmarks, sha256: str) -> SourceFace:
    """A face with some of its surroundings."""
    points = points_of(frame, candidate.face, landmarks)
    margin = MARGIN * float(np.ptp(points, 0).max())
    x0, y0 = (int(v) for v in np.clip(points.min(0) - margin, 0, np.array(frame.shape[1::-1]) - 1))
    x1, y1 = (int(v) for v in np.clip(points.max(0) + margin, (x0 + 1, y0 + 1), frame.shape[1::-1]))
    cut = frame[y0:y1, x0:x1].copy()
    return SourceFace(cut, points - (x0, y0), candidate.turn, sha256, candidate.timestamp_s)
