"""A converted clip against the clip that drove it: share of frames swapped, flicker, landmarks, identity.

Both clips are decoded side by side, frame by frame, and both aligned by the driving clip's landmarks, so that the head's
own motion is in neither figure. Nothing of a frame is kept but its numbers.
Flicker and landmarks are of all frames with a face, identity of the held-out ones where the driving clip is of the set.
Limits: flicker has no control; the encoder's noise is in the swapped clip alone and counts as flicker (a clip that was
only encoded again shows how much); a face that conversion left as it was is measured with the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.common.progress import Bar, Progress
from forensics.common.text import printable
from forensics.faces.types import Face, FaceDetector
from forensics.media.reader import MediaReader
from forensics.media.types import Sample, Sampling
from generators.faceswap.alignment import ALIGNED_PX, aligning, warped
from generators.faceswap.extraction.faceset import FaceSet
from generators.faceswap.extraction.tracks import MAX_FRAMES, ClipFaces, chosen_tracks, follow_clip
from generators.faceswap.measures import Interval, block_interval, flicker_ratio, frame_difference, time_blocks
from generators.faceswap.quality.face_quality import (
    BATCH,
    Identities,
    identity_part,
    landmark_parts,
    landmarks_in,
    noisy,
    spread_over,
)
from generators.faceswap.quality.identity import Likeness, joined
from generators.faceswap.quality.quality_record import ClipPart, IdentityPart, figure
from generators.faceswap.rendering.outputs import swapped_share

# The face from above the brows to the chin in the aligned square: centre, half axes.
FACE_CENTRE, FACE_AXES = (128, 150), (66, 80)
# Encoders may round times to their own ticks, of a millisecond at the coarsest that is common.
SAME_TIME_S = 0.002


def face_region() -> NDArray[np.float32]:
    """(256, 256) float32, 1 inside the ellipse that an aligned face fills: where flicker is measured."""
    region = np.zeros((ALIGNED_PX, ALIGNED_PX), np.float32)
    cv2.ellipse(region, FACE_CENTRE, FACE_AXES, 0, 0, 360, 1.0, cv2.FILLED)
    return region


@dataclass(eq=False)
class _Numbers:
    """What is kept of the frames with a face."""

    time_s: list[float] = field(default_factory=list)
    points: list[NDArray[np.float64]] = field(default_factory=list)  # (K, 3, 5, 2): driving, swapped, noise
    changes: list[tuple[float, float, float]] = field(default_factory=list)  # time, of the swapped, of the driving
    seen_s: list[float] = field(default_factory=list)  # of the frames that tell identity
    likeness: dict[str, list[Likeness]] = field(default_factory=lambda: {"swapped": [], "target unchanged": []})
    last: "_Pair | None" = None


def measure_clips(
    driving: Path,
    swapped: Path,
    detector: FaceDetector,
    progress: Progress,
    *,
    identities: Identities | None = None,
    target: FaceSet | None = None,
    track: int | None = None,
    limit: int = 300,
    seed: int = 0,
) -> ClipPart:
    """Figures of a swapped clip. track: of the driving clip, without it the main one.

    Identity is measured where `identities` are given: on the frames of `target`'s held-out faces where the driving clip is
    among its clips, on all frames with a face otherwise; on `limit` frames at most.
    Raises MediaError for a clip that cannot be read, UsageError for clips whose frames do not correspond or hold no face.
    """
    with MediaReader() as one, MediaReader() as two:
        two.warm_up()  # while faces are looked for
        clip = follow_clip(driving, detector, progress, reader=one)
        share = swapped_share(swapped, len(clip.frames))
        faces = _faces_of(clip, track)
        telling = frozenset(spread_over(_held_out(clip, faces, target), limit)) if identities else frozenset()
        numbers = _Numbers()
        with progress.task(f"measuring {swapped.name}", len(clip.frames)) as bar:
            samples = _side_by_side(one, driving, two, swapped)
            for batch in _batches(_aligned(samples, clip, faces, bar)):
                _take(batch, numbers, detector, seed)
                _tell(batch, numbers, identities, telling)
    if not numbers.time_s:
        raise UsageError(f"{driving.name} shows no face that could be aligned", "--driving is the clip of the swap")
    times = np.array(numbers.time_s)
    points = np.concatenate(numbers.points)
    return ClipPart(
        clip=printable(swapped.name),
        clip_sha256=sha256_of_file(swapped),
        driving=printable(driving.name),
        driving_sha256=clip.sha256,
        frames=len(clip.frames),
        frames_with_face=len(times),
        swapped=share,
        flicker=figure(_flicker(numbers, seed)),
        landmarks=landmark_parts(points[:, 0], points[:, 1], points[:, 2], time_blocks(times), seed),
        identity=_identity(numbers, seed),
        identity_frames="held_out" if _is_of_set(clip, target) else "not_in_set",
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """Aligned faces (256, 256, 3) of both clips in one frame; is_next: follows the pair before without a cut or a gap."""

    index: int
    time_s: float
    is_next: bool
    driving: NDArray[np.uint8]
    swapped: NDArray[np.uint8]


def _faces_of(clip: ClipFaces, track: int | None) -> dict[int, Face]:
    chosen = chosen_tracks(clip, () if track is None else (track,))
    if not chosen:
        raise UsageError(f"{clip.path.name} shows no face", "--driving is the clip that the swap was made from")
    return {frame.index: tracked.face for frame in clip.frames for tracked in frame.faces if tracked.track == chosen[0]}


def _is_of_set(clip: ClipFaces, target: FaceSet | None) -> bool:
    """By content: a clip that was cut or encoded again is another."""
    return target is not None and target.record.clip(clip.sha256) is not None


def _held_out(clip: ClipFaces, faces: dict[int, Face], target: FaceSet | None) -> list[int]:
    """Numbers of the frames to tell identity by."""
    if target is None or not _is_of_set(clip, target):
        return sorted(faces)
    return sorted(row.frame for row in target.rows if row.clip == clip.sha256 and row.split == "held_out")


def _aligned(
    samples: Iterator[tuple[Sample, Sample]], clip: ClipFaces, faces: dict[int, Face], bar: Bar
) -> Iterator[_Pair]:
    before = -2
    for place, (own, other) in enumerate(samples):
        bar(1)
        face = faces.get(own.index)
        if face is None:
            continue
        try:
            matrix = aligning(face.landmarks)
        except ValueError:  # landmarks in one point: no face that could be aligned
            continue
        is_next = place == before + 1 and not clip.frames[place].is_after_cut
        before = place
        pixels = (warped(sample.pixels, matrix, ALIGNED_PX) for sample in (own, other))
        yield _Pair(own.index, own.timestamp_s, is_next, *pixels)


def _side_by_side(one: MediaReader, driving: Path, two: MediaReader, swapped: Path) -> Iterator[tuple[Sample, Sample]]:
    sampling = Sampling(max_frames=MAX_FRAMES, every_frame=True)
    hint = "--driving is the clip that --clip was made from"
    with one.open(driving, sampling) as own, two.open(swapped, sampling) as other:
        sizes = [(stream.info.width, stream.info.height) for stream in (own, other)]
        # H.264 has even sides: a clip of odd ones has gained a copy of its last column or row.
        if sizes[1] not in (sizes[0], tuple(side + side % 2 for side in sizes[0])):
            (w, h), (other_w, other_h) = sizes
            raise UsageError(f"{driving.name} has {w} x {h} pixels, {swapped.name} {other_w} x {other_h}", hint)
        for a, b in zip_longest(own, other):
            if a is None or b is None:
                raise UsageError(f"{driving.name} and {swapped.name} differ in their number of frames", hint)
            if abs(a.timestamp_s - b.timestamp_s) > SAME_TIME_S:
                raise UsageError(
                    f"frame {a.index} is at {a.timestamp_s:.3f} s in one clip, {b.timestamp_s:.3f} s in the other", hint
                )
            yield a, b


def _batches(pairs: Iterator[_Pair]) -> Iterator[list[_Pair]]:
    batch: list[_Pair] = []
    for pair in pairs:
        batch.append(pair)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _take(batch: list[_Pair], numbers: _Numbers, detector: FaceDetector, seed: int) -> None:
    driving, swapped = np.stack([pair.driving for pair in batch]), np.stack([pair.swapped for pair in batch])
    noise = noisy(driving, seed, len(numbers.points))
    numbers.points.append(np.stack([landmarks_in(faces, detector) for faces in (driving, swapped, noise)], 1))
    region = face_region()
    for pair in batch:
        last, numbers.last = numbers.last, pair
        numbers.time_s.append(pair.time_s)
        if last is not None and pair.is_next:
            changes = [
                frame_difference(a, b, region) for a, b in ((last.swapped, pair.swapped), (last.driving, pair.driving))
            ]
            numbers.changes.append((pair.time_s, changes[0], changes[1]))


def _tell(batch: list[_Pair], numbers: _Numbers, identities: Identities | None, telling: frozenset[int]) -> None:
    pairs = [pair for pair in batch if pair.index in telling]
    if identities is None or not pairs:
        return
    numbers.seen_s += [pair.time_s for pair in pairs]
    numbers.likeness["swapped"].append(identities.likeness(np.stack([pair.swapped for pair in pairs])))
    numbers.likeness["target unchanged"].append(identities.likeness(np.stack([pair.driving for pair in pairs])))


def _identity(numbers: _Numbers, seed: int) -> tuple[IdentityPart, ...]:
    if not numbers.seen_s:
        return ()
    blocks = time_blocks(np.array(numbers.seen_s))
    return tuple(identity_part(name, joined(found), blocks, seed) for name, found in numbers.likeness.items())


def _flicker(numbers: _Numbers, seed: int) -> Interval:
    if not numbers.changes:
        return Interval(float("nan"), None, None, 0)
    times, swapped, driving = np.array(numbers.changes).T
    return block_interval(
        lambda rows: flicker_ratio(swapped[rows], driving[rows]), time_blocks(times), len(times), seed
    )
