"""Faces of a still picture, which may be framed so tightly that a detector misses them."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from forensics.faces.types import Face, FaceDetector, Frame

# A face that fills its picture is found once there is something around it; a flat grey invents no other face.
BORDER_SHARE = 0.5
BORDER_VALUE = (128, 128, 128)


def detect_in_stills(detector: FaceDetector, pictures: Sequence[Frame]) -> list[list[Face]]:
    """Faces of each picture; those without any are looked at again with a grey border of half their short side."""
    found = detector.detect(pictures)
    missed = [index for index, faces in enumerate(found) if not faces]
    borders = [round(BORDER_SHARE * min(pictures[index].shape[:2])) for index in missed]
    padded = [
        np.asarray(cv2.copyMakeBorder(pictures[i], b, b, b, b, cv2.BORDER_CONSTANT, value=BORDER_VALUE), np.uint8)
        for i, b in zip(missed, borders, strict=True)
    ]
    for index, border, faces in zip(missed, borders, detector.detect(padded), strict=True):
        moved = [replace(face, box=face.box - border, landmarks=face.landmarks - border) for face in faces]
        found[index] = [face for face in moved if _is_inside(face, pictures[index])]
    return found


def _is_inside(face: Face, picture: Frame) -> bool:
    """Whether the face's centre lies in the picture and not in the border."""
    x, y = face.landmarks.mean(0)
    return bool(0 <= x < picture.shape[1] and 0 <= y < picture.shape[0])
