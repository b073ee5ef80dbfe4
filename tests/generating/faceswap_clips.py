"""Drawn people for tests of face swaps: coloured squares with eyes and a mouth, and a detector that goes by colour."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from forensics.faces.similarity import similarity
from forensics.faces.types import Face
from forensics.perturb.clip import recompress_clip
from generators.faceswap.alignment import TEMPLATE, transform

SIZE = (240, 160)  # width, height
RED, GREEN = (220, 60, 60), (50, 190, 60)
# The template's 220 middle pixels are a drawn face; landmarks where the template has them.
UNIT = similarity(
    np.array([[18.0, 18], [238, 18], [18, 238], [238, 238]]), np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
)
LANDMARKS = transform(TEMPLATE, UNIT)  # (5, 2) of a face of side 1 at (0, 0)


def landmarks_at(x: float, y: float, side: float) -> np.ndarray:
    return LANDMARKS * side + [x, y]


def draw_face(frame: np.ndarray, x: int, y: int, side: int, colour: tuple[int, int, int], phase: int = 0) -> None:
    """A square face with dark eyes, and a mouth and a mole that move with the phase."""
    cv2.rectangle(frame, (x, y), (x + side - 1, y + side - 1), colour, -1)
    dark = tuple(c // 3 for c in colour)
    points = landmarks_at(x, y, side)
    for px, py in points[:2].round().astype(int).tolist():
        cv2.circle(frame, (px, py), max(2, side // 14), dark, -1)
    mouth = points[3:].mean(0).round().astype(int).tolist()
    cv2.ellipse(frame, mouth, (side // 6, 1 + phase * 3 % (side // 8)), 0, 0, 360, dark, -1)
    cv2.circle(frame, (x + side // 8 + phase * 5 % (side // 2), y + side // 6), max(2, side // 16), dark, -1)


def blank() -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)


def write_frames(path: Path, frames: Sequence[np.ndarray], fps: float = 25.0, start: int = 0) -> Path:
    recompress_clip(
        ((index / fps, frame) for index, frame in enumerate(frames, start)), path, crf=12, preset="ultrafast"
    )
    return path


def moving_person(n: int, colour: tuple[int, int, int] = RED, side: int = 80) -> list[np.ndarray]:
    frames = []
    for index in range(n):
        frame = blank()
        draw_face(frame, 20 + index % 40, 30 + index % 7, side, colour, index)
        frames.append(frame)
    return frames


class ColourDetector:
    """Finds the squares by their colour: box of the pixels, landmarks in proportion. Counts what it is asked."""

    name = "colours"
    min_confidence = 0.9

    def __init__(self, fails_after: int | None = None) -> None:
        self.calls, self.fails_after = 0, fails_after

    def detect(self, frames):
        self.calls += len(frames)
        if self.fails_after is not None and self.calls > self.fails_after:
            raise KeyboardInterrupt
        return [self._faces(frame) for frame in frames]

    def refine(self, frames, boxes):
        return None

    def _faces(self, frame: np.ndarray) -> list[Face]:
        signed = frame.astype(np.int16)
        faces = []
        for colour in (RED, GREEN):
            near = (np.abs(signed - np.array(colour, np.int16)) < 60).all(-1)
            if near.sum() < 100:
                continue
            ys, xs = np.nonzero(near)
            # Percentiles: a stray pixel of the encoder is no face.
            x0, x1, y0, y1 = (float(np.percentile(v, q)) for v, q in ((xs, 1), (xs, 99), (ys, 1), (ys, 99)))
            box = np.array([x0, y0, x1 + 1, y1 + 1], np.float32)
            landmarks = (LANDMARKS * (box[2:] - box[:2]) + box[:2]).astype(np.float32)
            faces.append(Face(box, landmarks, 0.99))
        return faces
