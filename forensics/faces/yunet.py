"""YuNet: an optional second face detector, faster than MTCNN, with a model file that the user brings.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector (Machine Intelligence Research, 2023), through OpenCV's
`FaceDetectorYN`. The five landmarks mean the same points as MTCNN's. It has no last stage to refine with: every sampled
frame is detected.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.faces.types import Face, Frame

DETECTION_SHORT_SIDE = 540  # as MTCNN's: 60 pixels of 1080p are 30 here
SCORE_THRESHOLD = 0.7
MIN_SIDE_PX = 16


class YunetDetector:
    """OpenCV's FaceDetectorYN behind the protocol of `forensics.faces.types`."""

    name = "yunet"
    # Its scores are lower than MTCNN's: a clear frontal face has .93.
    min_confidence = SCORE_THRESHOLD

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise UsageError(f"no face model at {model}", "--face-model takes a YuNet file in ONNX format")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(model), "", (320, 320), SCORE_THRESHOLD)
        except cv2.error as error:
            raise UsageError(f"{model.name} is not a YuNet model", "--face-model takes an ONNX file") from error

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Faces of each frame, by falling confidence."""
        return [self._detect_one(frame) for frame in frames]

    def _detect_one(self, frame: Frame) -> list[Face]:
        height, width = frame.shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            return []
        scale = min(1.0, DETECTION_SHORT_SIDE / min(height, width))
        size = (round(width * scale), round(height * scale))
        reduced = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
        self._detector.setInputSize(size)
        _, rows = self._detector.detect(np.ascontiguousarray(reduced[:, :, ::-1]))  # the model was trained on BGR
        if rows is None:
            return []
        factor = np.array([width / size[0], height / size[1]], np.float32)
        faces = []
        for row in np.asarray(rows, np.float32):
            box = np.concatenate([row[:2], row[:2] + row[2:4]]) * np.concatenate([factor, factor])
            faces.append(Face(box.astype(np.float32), (row[4:14].reshape(5, 2) * factor), float(row[14])))
        return sorted(faces, key=lambda face: -face.confidence)

    def refine(self, frames: Sequence[Frame], boxes: Sequence[NDArray[np.float32]]) -> list[Face | None] | None:
        """Not available: the caller detects instead."""
        return None
