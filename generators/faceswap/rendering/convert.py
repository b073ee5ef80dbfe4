"""From a clip of the target and a trained swap to a clip in which the target wears the source's face.

For each frame: the face as the network sees it -> the source's decoder -> colours of the frame -> mask, shrunk and softened
-> back into the frame. The recipe of Korshunov and Marcel 2018, arXiv 1812.08685, section 3, with a mask that is drawn.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.faces.mean_shape import face_hull, place_mean_shape
from forensics.faces.tracking import KEYFRAME_EVERY
from forensics.faces.types import FaceDetector
from forensics.media.types import MediaLimits
from generators.faceswap.alignment import Matrix, aligning, rescaled, transform, warped
from generators.faceswap.config import RenderConfig
from generators.faceswap.extraction.tracks import chosen_tracks, follow_clip
from generators.faceswap.masks import cleaned_mask, eroded_and_feathered, hull_mask
from generators.faceswap.rendering.colour import match_colour
from generators.faceswap.rendering.motion_blur import motion_blurred
from generators.faceswap.rendering.outputs import Making, check_output
from generators.faceswap.rendering.paste import paste_back
from generators.faceswap.rendering.rendering import Painted, Placed, Rendering, box_of, render
from generators.faceswap.training.networks import PEOPLE
from generators.faceswap.training.swapper import Swapper
from generators.faceswap.training.warp_pairs import composed, seen_by
from generators.pictures import Picture, Pictures

# Masks are shaped at this size at least: at the network's 64 px a soft edge would be three steps wide.
LEAST_WORK_PX = 192
# Every frame is looked at: faces are searched for anew about three times a second, and confirmed in the frames between.
KEYFRAMES = 12

Draw = Callable[[Pictures, int], tuple[Pictures, NDArray[np.uint8]]]


@dataclass(frozen=True, eq=False)
class SwapPainter:
    """Draws one person's face over the faces of frames. person: 0 the source, 1 the target."""

    draw: Draw
    image_px: int
    person: int
    config: RenderConfig
    pool: ThreadPoolExecutor

    def paint(self, frames: Sequence[Picture], faces: Sequence[Sequence[Placed]]) -> list[Painted]:
        """See `rendering.Painter`. All faces of the frames go through the network together."""
        flat = [(k, face) for k, found in enumerate(faces) for face in found]
        to_seen = [_seen_matrix(face, self.image_px) for _, face in flat]
        known = [n for n, matrix in enumerate(to_seen) if matrix is not None]
        drawn: dict[int, tuple[Picture, Picture, NDArray[np.uint8]]] = {}
        if known:
            seen = list(self.pool.map(lambda n: self._seen(frames[flat[n][0]], to_seen[n]), known))
            for n, before, face, mask in zip(known, seen, *self.draw(np.stack(seen), self.person), strict=True):
                drawn[n] = (before, face, mask)
        rows: list[list[int]] = [[] for _ in frames]
        for n, (k, _) in enumerate(flat):
            rows[k].append(n)

        def finished(k: int) -> Painted:
            frame, mask = frames[k], np.zeros(frames[k].shape[:2], np.uint8)
            boxes, problems = [], []
            for n in rows[k]:
                matrix = to_seen[n]
                if matrix is None:
                    problems.append("landmarks that coincide")
                    continue
                frame, used = self._pasted(frame, flat[n][1], matrix, *drawn[n])
                if used.any():
                    boxes.append(box_of(used))
                else:
                    problems.append("nothing left of the mask")
                mask = np.maximum(mask, used)
            return Painted(frame, mask, tuple(boxes), tuple(problems))

        return list(self.pool.map(finished, range(len(frames))))

    def _seen(self, frame: Picture, matrix: Matrix | None) -> Picture:
        assert matrix is not None  # noqa: S101  (asked for known ones alone)
        return np.asarray(warped(frame, matrix, self.image_px), np.uint8)

    def _pasted(
        self, frame: Picture, face: Placed, matrix: Matrix, before: Picture, drawn: Picture, mask: NDArray[np.uint8]
    ) -> tuple[Picture, NDArray[np.uint8]]:
        """One drawn face in its frame. before: what the network saw there."""
        config = self.config
        side = max(LEAST_WORK_PX, self.image_px)
        to_work = rescaled(matrix, side / self.image_px)
        soft = _resized(mask, side, cv2.INTER_LINEAR).astype(np.float32) / np.float32(255)
        shape = self._shape(soft, face, to_work)
        small = np.asarray(cv2.resize(shape, (self.image_px,) * 2, interpolation=cv2.INTER_AREA), np.float32)
        matched = match_colour(drawn, before, small, config.colour)
        large = _resized(matched, side, cv2.INTER_CUBIC)
        if config.motion_blur:
            large = motion_blurred(large, to_work[:, :2] @ face.motion)
        edge = eroded_and_feathered(shape, config.erode, config.feather)
        return paste_back(frame, large, edge, to_work, config.paste)

    def _shape(self, drawn: NDArray[np.float32], face: Placed, to_work: Matrix) -> NDArray[np.float32]:
        """What of the square is face, before its edge is softened."""
        side = len(drawn)
        if self.config.mask == "head":
            return cleaned_mask(drawn)
        outline = hull_mask(face_hull(place_mean_shape(transform(face.landmarks, to_work))), side, side)
        return outline if self.config.mask == "hull" else np.minimum(outline, cleaned_mask(drawn))


def _seen_matrix(face: Placed, image_px: int) -> Matrix | None:
    """From the frame to what the network sees; None for landmarks that have no such."""
    try:
        return composed(seen_by(image_px), aligning(face.landmarks))
    except ValueError:
        return None


def _resized(picture: NDArray[np.uint8], side: int, how: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8)


def convert(
    path: Path, swapper: Swapper, detector: FaceDetector, output: Path, config: RenderConfig, progress: Progress,
    *, reverse: bool = False, tracks: Sequence[int] | None = None, limits: MediaLimits | None = None,
    threads: int = 2, overwrite: bool = False, split: str = "",
) -> Rendering:  # fmt: skip
    """Put the source's face (with `reverse`, the target's) into a clip.

    tracks: whose faces are replaced, by number; None: the track that is largest for longest. Raises UsageError where no
    face was swapped, MediaError for a clip that cannot be read.
    """
    check_output(output, overwrite, [path])
    limits = limits or MediaLimits()
    # Numbers of tracks are those that `extract` shows, which looks for faces more often.
    every = KEYFRAME_EVERY if tracks else KEYFRAMES
    clip = follow_clip(path, detector, progress, limits=limits, keyframe_every=every)
    chosen = chosen_tracks(clip, tracks or ())
    person = 1 if reverse else 0
    making = replace(making_of(path, swapper, person), split=split)
    cv2.setNumThreads(1)  # frames are what is done side by side
    with ThreadPoolExecutor(threads) as pool:
        painter = SwapPainter(swapper.draw, swapper.image_px, person, config, pool)
        return render(clip, chosen, painter, config, making, output, limits, progress)


def making_of(path: Path, swapper: Swapper, person: int) -> Making:
    """What is said of a clip in which `person`'s face is worn."""
    worn = _people(swapper)[PEOPLE[person]]
    return Making(
        generator=f"faceswap-{swapper.config.variant}",
        source=worn,
        target=printable(path.stem),
        detail=f"face swap by an autoencoder of {swapper.image_px} px: one person's face in a clip of another",
        extra={"checkpoint": swapper.sha256, "worn": PEOPLE[person]},
    )


def _people(swapper: Swapper) -> dict[str, str]:
    """The recordings that each decoder was trained on, as one name."""
    people = swapper.meta.get("people")
    names = {}
    for who in PEOPLE:
        clips = people.get(who, {}).get("clips", ()) if isinstance(people, dict) else ()
        names[who] = printable("+".join(Path(str(clip)).stem for clip in clips)) or who
    return names
