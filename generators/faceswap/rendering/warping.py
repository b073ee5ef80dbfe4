"""From a face and a clip to a clip that wears it, by landmarks alone: no training, done in the time of a rendering.

The second family of swaps for test sets: other artefacts than an autoencoder's (smeared triangles, a still expression,
colours that fit on the whole only). `landmark_warp` does one frame, `source_faces` chooses the face, `rendering` the clip.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.common.files import write_atomic
from forensics.common.progress import Progress
from forensics.common.text import printable
from forensics.faces.landmarks68 import load_predictor
from forensics.faces.mean_shape import head_turn
from forensics.faces.types import Face, FaceDetector
from forensics.media.child import open_regular
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import MediaLimits, Sample, SoundReport
from generators.faceswap.config import RenderConfig
from generators.faceswap.extraction.tracks import ClipFaces, FrameFaces, chosen_tracks, follow_clip
from generators.faceswap.rendering.landmark_warp import WarpSettings, warp_face
from generators.faceswap.rendering.outputs import PICTURE, Making, check_output, files_of, note, writing
from generators.faceswap.rendering.rendering import Painted, Placed, Rendering, box_of, mask_tags, render
from generators.faceswap.rendering.source_faces import Landmarks, Pose, SourceFace, nearest, points_of, source_faces
from generators.faceswap.rendering.watermark import watermarked
from generators.pictures import Picture, encoded
from generators.provenance import SourceType, synthetic_tags, tagged_png

GENERATOR = "landmark-warp"


class WarpPainter:
    """Warps a source's face onto the faces of frames. Frames must come in order: the choice of a pose has a memory."""

    def __init__(
        self, faces: Sequence[SourceFace], landmarks: Landmarks, config: RenderConfig, pool: ThreadPoolExecutor
    ) -> None:
        self._faces, self._landmarks, self._pool = faces, landmarks, pool
        self._settings = WarpSettings(config.colour, config.paste, config.erode, config.feather)
        self._last: dict[int, int] = {}

    def paint(self, frames: Sequence[Picture], faces: Sequence[Sequence[Placed]]) -> list[Painted]:
        """See `rendering.Painter`."""
        chosen = [[self._choose(face) for face in found] for found in faces]
        return list(self._pool.map(self._painted, frames, faces, chosen))

    def _choose(self, face: Placed) -> SourceFace | None:
        """The source's face for this one; None for landmarks that coincide."""
        try:
            turn = np.array(head_turn(face.landmarks))
        except ValueError:
            return None
        self._last[face.track] = nearest(self._faces, turn, self._last.get(face.track))
        return self._faces[self._last[face.track]]

    def _painted(self, frame: Picture, faces: Sequence[Placed], chosen: Sequence[SourceFace | None]) -> Painted:
        mask = np.zeros(frame.shape[:2], np.uint8)
        boxes, problems = [], []
        for placed, source in zip(faces, chosen, strict=True):
            if source is None:
                problems.append("landmarks that coincide")
                continue
            points = points_of(frame, _as_face(placed), self._landmarks)
            frame, used = warp_face(source.picture, source.points, frame, points, self._settings, placed.motion)
            if used.any():
                boxes.append(box_of(used))
            else:
                problems.append("nothing left of the mask")
            mask = np.maximum(mask, used)
        return Painted(frame, mask, tuple(boxes), tuple(problems))


def warp(
    source: Path, path: Path, detector: FaceDetector, output: Path, config: RenderConfig, progress: Progress, *,
    pose: Pose = "best", landmarks: Landmarks = "mean", source_track: int | None = None,
    tracks: Sequence[int] | None = None, limits: MediaLimits | None = None, threads: int = 2, overwrite: bool = False,
    split: str = "",
) -> Rendering:  # fmt: skip
    """Put a face of `source` (picture or clip) into `path` (picture or clip); a picture becomes a PNG.

    tracks: whose faces are replaced; None: the one that is largest for longest. Raises UsageError where there is no face on
    either side, MediaError for a file that cannot be read.
    """
    is_picture = output.suffix.lower() == PICTURE
    check_output(output, overwrite, [source, path], may_be_picture=True)
    if landmarks == "model":
        load_predictor()  # where it is missing, that is said before any clip is decoded
    _check_kind(path, output)
    limits = limits or MediaLimits()
    faces = source_faces(source, detector, progress, pose=pose, landmarks=landmarks, track=source_track, limits=limits)
    first: list[Picture] = []

    def keep(sample: Sample, _: FrameFaces) -> None:
        if is_picture and not first:
            first.append(sample.pixels.copy())

    clip = follow_clip(path, detector, progress, limits=limits, on_frame=keep)
    chosen = chosen_tracks(clip, tracks or ())
    making = Making(
        generator=GENERATOR,
        source=printable(source.stem),
        target=printable(path.stem),
        detail="face swap by warped landmarks: one person's face in a clip of another",
        extra=_origin(faces, pose, landmarks, source_track),
        source_type=SourceType.COMPOSITE,
        split=split,
        unused=frozenset({"mask"}),
    )
    cv2.setNumThreads(1)  # frames are what is done side by side
    with ThreadPoolExecutor(threads) as pool:
        painter = WarpPainter(faces, landmarks, config, pool)
        if is_picture:
            return _render_picture(clip, first[0], chosen, painter, config, making, output)
        return render(clip, chosen, painter, config, making, output, limits, progress)


def _check_kind(path: Path, output: Path) -> None:
    """Raise UsageError for a picture that is to become a clip, or the other way round, before anything is decoded."""
    with open_regular(path) as file:
        is_picture = sniff(file.read(HEAD_BYTES)).kind == "image"
    if is_picture != (output.suffix.lower() == PICTURE):
        kind, wanted = ("picture", "a .png") if is_picture else ("clip", "a .mp4")
        raise UsageError(f"{printable(path.name)} is a {kind}, {output.name} is not", f"name {wanted} as --output")


def _origin(faces: Sequence[SourceFace], pose: Pose, landmarks: Landmarks, track: int | None) -> dict[str, str]:
    """What decides the face that is worn: from which file, whose where one was asked for, at which second for `best`."""
    return {
        "landmarks": landmarks,
        "pose": pose,
        "source_sha256": faces[0].sha256,
        "source_track": "" if track is None else str(track),
        "source_time_s": f"{faces[0].timestamp_s:g}" if pose == "best" else "",
    }


def _as_face(placed: Placed) -> Face:
    corners = np.concatenate([placed.landmarks.min(0), placed.landmarks.max(0)])
    return Face(corners.astype(np.float32), placed.landmarks.astype(np.float32), 1.0)


def _render_picture(
    clip: ClipFaces, picture: Picture, tracks: Sequence[int], painter: WarpPainter, config: RenderConfig,
    making: Making, output: Path,
) -> Rendering:  # fmt: skip
    """The picture with its faces replaced, its mask, and its row in the manifest beside it."""
    none = np.zeros(2)
    placed = [
        Placed(tracked.track, tracked.face.landmarks.astype(np.float64), none)
        for tracked in clip.frames[0].faces
        if tracked.track in tracks
    ]
    if not placed:
        raise UsageError(f"no face to swap in {printable(clip.path.name)}", "a face should be 30 pixels or larger")
    painted = painter.paint([picture], [placed])[0]
    if not painted.boxes:
        raise UsageError(
            f"no face was swapped in {printable(clip.path.name)}: {'; '.join(painted.problems)}",
            "--track chooses another face",
        )
    _, mask = files_of(output)
    tags = synthetic_tags(making.detail, making.source_type)
    shown = watermarked(painted.frame) if config.watermark else painted.frame
    with writing(output):
        write_atomic(mask, tagged_png(encoded(_as_rgb(painted.mask)), mask_tags(making)))
        data = tagged_png(encoded(shown), tags)
        manifest = note(output, mask, None, hashlib.sha256(data).hexdigest(), clip.sha256, making)
        write_atomic(output, data)
    problems = {f"one face of several: {why}": 1 for why in painted.problems}
    return Rendering(output, mask, manifest, 1, 1, 0, problems, SoundReport(), clip.summary.errors)


def _as_rgb(mask: NDArray[np.uint8]) -> Picture:
    return np.repeat(mask[:, :, None], 3, 2)
