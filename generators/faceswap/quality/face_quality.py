"""How good a trained swap is, on faces that it was not trained on: likeness, identity, landmarks, each with its control.

Reconstruction: each person's held-out faces through the person's own decoder. Swap: the target's held-out faces through the
source's decoder, laid over the input by the network's own mask (without the colour match of a conversion); whose face
that is, and whether the landmarks stay where they were. The figures of a converted clip are clip_quality.py's.
Controls say what a figure is worth: the unchanged target is what no swap gives, the unchanged source what a perfect one
gives, the target through its own decoder what drawing alone does to identity, noise what the landmark detector does alone.
Limits: held-out faces are of the clips that the training faces are of: other light and other poses are not in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.faces.types import FaceDetector
from generators.faceswap.alignment import ALIGNED_PX, inverse, warped
from generators.faceswap.extraction.faceset import FaceRow, FaceSet, Split
from generators.faceswap.measures import (
    Rows,
    landmark_errors,
    mean_interval,
    percentile_interval,
    psnr,
    share_interval,
    ssim,
    time_blocks,
)
from generators.faceswap.quality.identity import Embedder, Faces, Likeness, Vectors, centre, likeness_of
from generators.faceswap.quality.quality_record import IdentityPart, LandmarkPart, ReconstructionPart, figure
from generators.faceswap.training.warp_pairs import seen_by

BATCH = 32
# Faces that a person's mean vector is of: its direction changes little beyond.
CENTRE_FACES = 100
# A detector looks for boxes that are taller than the aligned square.
MARGIN_PX = 48
# As much as a good camera's sensor adds: what moves landmarks less than this moves them not at all.
NOISE_LEVELS = 3.0
NOISE_STREAM = 0x2015E
# Rows and columns that a network of 64 px or more draws: outside of them a swap is the input, and equal to it.
DRAWN = slice(20, 236)
T = TypeVar("T")


class Swaps(Protocol):
    """What is measured: `generators.faceswap.training.swapper.Swapper`, or a test's stand-in."""

    @property
    def image_px(self) -> int:
        """Side of what the network sees."""
        ...

    def swap(self, faces: Faces, to: str) -> tuple[Faces, NDArray[np.float32]]:
        """Aligned faces as `to` ("source" or "target") would wear them, and masks (N, 256, 256) in [0, 1]."""
        ...


@dataclass(frozen=True, eq=False)
class Person:
    """Aligned faces of one person: some that were trained on, the held-out ones in time order with their blocks."""

    train: Faces
    held_out: Faces
    blocks: Sequence[Rows]


def person_of(face_set: FaceSet, limit: int, who: str) -> Person:
    """Read a set's faces, at most `limit` of either split, evenly spread. Raises UsageError where a split has none."""
    train, held_out = (spread_over(rows_of(face_set, split), limit) for split in ("train", "held_out"))
    if not train or not held_out:
        raise UsageError(
            f"the {who}'s set has {len(train)} faces to train on and {len(held_out)} held out",
            "extract from a clip of three seconds or more",
        )
    clips = {clip: number for number, clip in enumerate(dict.fromkeys(row.clip for row in held_out))}
    blocks = time_blocks(np.array([row.timestamp_s for row in held_out]), [clips[row.clip] for row in held_out])
    return Person(_pictures(face_set, train), _pictures(face_set, held_out), blocks)


def rows_of(face_set: FaceSet, split: Split) -> list[FaceRow]:
    """Kept faces of one split."""
    return [row for row in face_set.rows if row.split == split]


def _pictures(face_set: FaceSet, rows: Sequence[FaceRow]) -> Faces:
    return np.stack([face_set.picture(row) for row in rows])


def spread_over(rows: Sequence[T], limit: int) -> list[T]:
    """At most `limit` of them, evenly spread, the first and the last among them."""
    if len(rows) <= limit:
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, limit).round().astype(int)]


# -- reconstruction


def reconstruction(swaps: Swaps, person: Person, who: str, seed: int) -> ReconstructionPart:
    """Held-out faces through the person's own decoder, against themselves; who: "source" or "target"."""
    px = swaps.image_px
    drawn = np.concatenate([swaps.swap(faces, who)[0] for faces in _batches(person.held_out)])
    mean = np.repeat(person.train.mean(0, keepdims=True).round().astype(np.uint8), len(drawn), 0)
    reduced = as_seen(person.held_out, px)
    original = person.held_out[:, DRAWN, DRAWN]
    pairs = {
        "": (as_seen(drawn, px), reduced),
        "_floor": (as_seen(mean, px), reduced),
        "_full": (drawn[:, DRAWN, DRAWN], original),
        "_full_ceiling": (enlarged(reduced)[:, DRAWN, DRAWN], original),
    }
    figures = {
        f"{measure.__name__}{suffix}": figure(mean_interval(measure(a, b), person.blocks, seed))
        for suffix, (a, b) in pairs.items()
        for measure in (ssim, psnr)
    }
    return ReconstructionPart.model_validate({"person": who, **figures})


def as_seen(faces: Faces, px: int) -> Faces:
    """Aligned faces (N, 256, 256, 3) as a network of `px` sees them: (N, px, px, 3)."""
    return np.stack([warped(face, seen_by(px), px) for face in faces])


def enlarged(seen: Faces) -> Faces:
    """The way back to (N, 256, 256, 3), as a swap takes it; what the network does not see is its edge, repeated."""
    back, size = inverse(seen_by(seen.shape[1])), (ALIGNED_PX, ALIGNED_PX)
    done = [cv2.warpAffine(one, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for one in seen]
    return np.stack(done).astype(np.uint8)


def worn(swaps: Swaps, faces: Faces, to: str) -> Faces:
    """Faces as `to` wears them: drawn by that decoder, laid over the input by the network's mask."""
    done = []
    for batch in _batches(faces):
        drawn, masks = swaps.swap(batch, to)
        over = masks[..., None]
        done.append((drawn * over + batch * (1 - over)).round().clip(0, 255).astype(np.uint8))
    return np.concatenate(done)


def _batches(faces: Faces) -> Iterator[Faces]:
    for start in range(0, len(faces), BATCH):
        yield faces[start : start + BATCH]


# -- identity


@dataclass(frozen=True, eq=False)
class Identities:
    """The mean vectors of both people's training faces, and what they are measured by."""

    embedder: Embedder
    source: Vectors
    target: Vectors

    def likeness(self, faces: Faces) -> Likeness:
        """How like either person aligned faces are."""
        return likeness_of(self.embedder.embed, faces, self.source, self.target)


def identity_part(name: str, found: Likeness, blocks: Sequence[Rows], seed: int) -> IdentityPart:
    """The figures of some faces' likeness; name: as in `IdentityPart.faces`."""
    figures = {
        "to_source": figure(mean_interval(found.to_source, blocks, seed)),
        "to_target": figure(mean_interval(found.to_target, blocks, seed)),
        "share_source": figure(share_interval(found.is_source.astype(np.float64), blocks, seed)),
    }
    return IdentityPart.model_validate({"faces": name, **figures})


def identities_of(embedder: Embedder, source: Faces, target: Faces) -> Identities:
    """From both people's training faces, at most CENTRE_FACES of each."""
    means = [centre(embedder.embed(np.stack(spread_over(list(faces), CENTRE_FACES)))) for faces in (source, target)]
    return Identities(embedder, means[0], means[1])


# -- landmarks


def landmarks_in(faces: Faces, detector: FaceDetector) -> NDArray[np.float64]:
    """Landmarks of aligned faces, found anew: (N, 5, 2) in their pixels, NaN where no face is found."""
    found = np.full((len(faces), 5, 2), np.nan)
    for start in range(0, len(faces), BATCH):
        edges = ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0))
        wide = [np.pad(face, edges, mode="edge") for face in faces[start : start + BATCH]]
        for row, seen in enumerate(detector.detect(wide), start):
            sure = [face for face in seen if face.confidence >= detector.min_confidence]
            if sure:
                found[row] = max(sure, key=lambda face: face.size_px).landmarks - MARGIN_PX
    return found


def noisy(faces: Faces, seed: int, batch: int = 0) -> Faces:
    """Faces with slight Gaussian noise, of NOISE_LEVELS of 255; every batch has noise of its own."""
    rng = rng_for(seed, NOISE_STREAM, batch)
    return np.stack(
        [(face + rng.normal(0, NOISE_LEVELS, face.shape)).round().clip(0, 255).astype(np.uint8) for face in faces]
    )


def landmark_parts(
    driving: NDArray[np.float64],
    swapped: NDArray[np.float64],
    control: NDArray[np.float64],
    blocks: Sequence[Rows],
    seed: int,
) -> tuple[LandmarkPart, LandmarkPart]:
    """Landmarks (N, 5, 2) of the swapped faces and of the noisy control, against the driving faces'."""
    is_there = np.isfinite(driving).all((1, 2))

    def part(name: str, points: NDArray[np.float64]) -> LandmarkPart:
        errors = landmark_errors(points, driving)
        # Where the driving face itself was not found, nothing can be said of the other.
        is_found = np.where(is_there, np.isfinite(points).all((1, 2)), np.nan)
        figures = {
            "median": figure(percentile_interval(errors, 50, blocks, seed)),
            "p95": figure(percentile_interval(errors, 95, blocks, seed)),
            "found": figure(share_interval(is_found, blocks, seed)),
        }
        return LandmarkPart.model_validate({"faces": name, **figures})

    return part("swapped", swapped), part("driving, noise", control)


# -- the whole


@dataclass(frozen=True)
class FaceFigures:
    """All of them."""

    reconstruction: tuple[ReconstructionPart, ...]
    identity: tuple[IdentityPart, ...]
    landmarks: tuple[LandmarkPart, ...]


def measure_swap(
    swaps: Swaps,
    source: Person,
    target: Person,
    identities: Identities | None,
    detector: FaceDetector,
    seed: int,
    progress: Progress,
    is_reversed: bool = False,
) -> FaceFigures:
    """Every figure of a swap. source: whose face is worn, by the target; is_reversed: the network's names are the other
    way round, so that the source is drawn by its decoder "target".
    """
    own = {"source": "target", "target": "source"} if is_reversed else {"source": "source", "target": "target"}
    with progress.task("measuring faces", 6) as bar:
        found = []
        for who, person in (("source", source), ("target", target)):
            found.append(reconstruction(swaps, person, own[who], seed).model_copy(update={"person": who}))
            bar(1)
        swapped = worn(swaps, target.held_out, own["source"])
        points = [landmarks_in(f, detector) for f in (target.held_out, swapped, noisy(target.held_out, seed))]
        landmarks = landmark_parts(points[0], points[1], points[2], target.blocks, seed)
        bar(1)
        identity: list[IdentityPart] = []
        if identities is not None:
            sets = (
                ("swapped", swapped, target),
                ("target unchanged", target.held_out, target),
                ("target reconstructed", worn(swaps, target.held_out, own["target"]), target),
                ("source unchanged", source.held_out, source),
            )
            for name, faces, person in sets:
                identity.append(identity_part(name, identities.likeness(faces), person.blocks, seed))
        bar(3)
    return FaceFigures(tuple(found), tuple(identity), landmarks)
