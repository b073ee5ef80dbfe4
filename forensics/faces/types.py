"""What flows out of face detection: faces, and the protocol of what finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True, eq=False)
class Face:
    """A face in one frame, in pixels of that frame.

    box: (4,) float32, left, top, right, bottom. landmarks: (5, 2) float32 (x, y): the eye at the picture's left, the one
    at its right, nose, mouth corner at the left, at the right. confidence in [0, 1].
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    confidence: float

    @property
    def size_px(self) -> float:
        """The shorter side of the box."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class FaceDetector(Protocol):
    """Finds faces; `refine` confirms a face near a predicted box, much cheaper than looking everywhere."""

    name: str
    # Below this a detection is as often a hand or a pattern as a face.
    min_confidence: float

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Faces of each frame; frames may differ in size, and may be too small to hold a face (none is found then)."""
        ...

    def refine(self, frames: Sequence[Frame], boxes: Sequence[NDArray[np.float32]]) -> list[Face | None] | None:
        """The face inside each box of the frame with the same index, None where there is none.

        Returns None altogether where the detector cannot do this: the caller detects instead.
        """
        ...


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = float(width * height)
    return shared / float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
