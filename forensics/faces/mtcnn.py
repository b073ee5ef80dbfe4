"""MTCNN: the default face detector, five landmarks, weights inside the facenet-pytorch wheel.

Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks (2016),
arXiv 1604.02878. Frames are reduced to a short side of DETECTION_SHORT_SIDE first and detected in batches: on 1080p this
is several times faster than frame by frame at full size and finds the same faces down to 60 pixels.
Limits: profiles, faces under 30 pixels of the reduced frame, and heads tilted by more than about 45 degrees are missed.
"""

import warnings
from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError
from forensics.faces.types import Face, Frame

# 1080p at half size: a 60-pixel face has 30 pixels there, the smallest that the cascade is asked for.
DETECTION_SHORT_SIDE = 540
MIN_FACE_PX = 30
# First and second stage above the authors' .6 and .7: fewer candidates, a third less time, the same faces at .95.
THRESHOLDS = (0.7, 0.8, 0.7)
PYRAMID_FACTOR = 0.65  # the authors use .709; the same faces are found with fewer levels
# MTCNN's networks see pictures as (x - 127.5) / 128.
PIXEL_MEAN, PIXEL_SCALE = 127.5, 0.0078125
LAST_STAGE_PX = 48
# The last stage was trained on boxes about as large as its own output; below this it is not a face any more.
REFINE_CONFIDENCE = 0.7


class MtcnnDetector:
    """facenet-pytorch's MTCNN behind the protocol of `forensics.faces.types`."""

    name = "mtcnn"
    min_confidence = 0.9

    def __init__(self, device: torch.device, batch_size: int = 8) -> None:
        from facenet_pytorch import MTCNN

        self._device = device
        self._batch_size = batch_size
        self._mtcnn = MTCNN(
            min_face_size=MIN_FACE_PX,
            thresholds=list(THRESHOLDS),
            factor=PYRAMID_FACTOR,
            keep_all=True,
            post_process=False,
            device=device,
        )

    def detect(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Faces of each frame, by falling confidence; frames of one size are detected together."""
        found: list[list[Face]] = [[] for _ in frames]
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, frame in enumerate(frames):
            # Below this the cascade has no pyramid level to look at, and the library raises.
            if min(frame.shape[:2]) > MIN_FACE_PX:
                groups[frame.shape].append(index)
        for indices in groups.values():
            for start in range(0, len(indices), self._batch_size):
                batch = indices[start : start + self._batch_size]
                for index, faces in zip(batch, self._detect_batch([frames[i] for i in batch]), strict=True):
                    found[index] = faces
        return found

    def _detect_batch(self, frames: list[Frame]) -> list[list[Face]]:
        height, width = frames[0].shape[:2]
        scale = min(1.0, DETECTION_SHORT_SIDE / min(height, width))
        size = (round(width * scale), round(height * scale))
        reduced = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame for frame in frames]
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # ragged arrays inside the library
                boxes, confidences, landmarks = self._mtcnn.detect(np.stack(reduced), landmarks=True)
        except torch.OutOfMemoryError as error:
            raise UsageError("the device has too little memory to find faces", "use --device cpu") from error
        except (RuntimeError, ValueError, IndexError, TypeError):
            # The library has no path for "no candidate in the whole batch" and fails on empty tensors there.
            # One frame alone that fails is a frame without candidates.
            return [[]] if len(frames) == 1 else [self._detect_batch([frame])[0] for frame in frames]
        factor = np.array([width / size[0], height / size[1]], np.float32)
        return [
            _faces(frame_boxes, frame_confidences, frame_landmarks, factor)
            for frame_boxes, frame_confidences, frame_landmarks in zip(boxes, confidences, landmarks, strict=True)
        ]

    def refine(self, frames: Sequence[Frame], boxes: Sequence[NDArray[np.float32]]) -> list[Face | None] | None:
        """The last stage of the cascade alone, on the square around each predicted box."""
        if not frames:
            return []
        squares = np.stack([_square(box) for box in boxes])
        patches = [_patch(frame, square) for frame, square in zip(frames, squares, strict=True)]
        batch = torch.from_numpy(np.stack(patches)).to(self._device).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            shifts, points, confidences = (
                out.float().cpu().numpy() for out in self._mtcnn.onet((batch - PIXEL_MEAN) * PIXEL_SCALE)
            )
        refined: list[Face | None] = []
        for square, shift, point, confidence in zip(squares, shifts, points, confidences[:, 1], strict=True):
            side = square[2] - square[0]
            box = np.asarray(square + shift * side, np.float32)
            landmarks = np.stack([square[0] + point[:5] * side, square[1] + point[5:] * side], 1).astype(np.float32)
            keep = confidence >= REFINE_CONFIDENCE and bool((box[2:] > box[:2]).all())
            refined.append(Face(box, landmarks, float(confidence)) if keep else None)
        return refined


def _faces(
    boxes: NDArray[np.float32] | None,
    confidences: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    factor: NDArray[np.float32],
) -> list[Face]:
    if boxes is None:
        return []
    scale = np.concatenate([factor, factor])
    rows = zip(boxes, confidences, landmarks, strict=True)
    faces = [
        Face(np.asarray(box, np.float32) * scale, np.asarray(points, np.float32) * factor, float(confidence))
        for box, confidence, points in rows
        if (box[2:4] > box[:2]).all()
    ]
    return sorted(faces, key=lambda face: -face.confidence)


def _square(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """The square with the box's centre and its longer side, as the cascade makes before its last stage."""
    centre = (box[:2] + box[2:]) / 2
    half = float(max(box[2] - box[0], box[3] - box[1])) / 2
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def _patch(frame: Frame, square: NDArray[np.float32]) -> Frame:
    """The square reduced to the last stage's input; black outside the frame, as the library pads."""
    side = max(float(square[2] - square[0]), 1.0)
    scale = LAST_STAGE_PX / side
    if scale < 0.5:
        # warpAffine does not average: reduce first by whole pixels, or a large face is seen as noise.
        x0, y0 = int(max(square[0], 0)), int(max(square[1], 0))
        x1, y1 = int(min(square[2], frame.shape[1])) + 1, int(min(square[3], frame.shape[0])) + 1
        part = frame[y0:y1, x0:x1]
        if part.size:
            shrink = 2 * scale
            size = (max(1, round(part.shape[1] * shrink)), max(1, round(part.shape[0] * shrink)))
            frame = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
            square = np.asarray((square - np.array([x0, y0, x0, y0], np.float32)) * shrink, np.float32)
            scale /= shrink
    matrix = np.array([[scale, 0, -square[0] * scale], [0, scale, -square[1] * scale]], np.float32)
    patch = cv2.warpAffine(frame, matrix, (LAST_STAGE_PX, LAST_STAGE_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(patch, np.uint8)
