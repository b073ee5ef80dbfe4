"""The pictures with pinned scores, drawn anew each time: eight scenes with a face to find, twelve face crops.

Scenes vary scikit-image's portrait (public domain): place, scale, mirror, colour, compression, blur, a pasted part. Face
crops need no face detector, so that they tell a change of a network from one of the faces: gradients, gratings, noise. The
regular ones carry faint noise: the logarithm of a spectrum that is exactly 0 would show how a processor rounds.
Everything is integer arithmetic, PCG64 noise or one OpenCV call, and each picture is written to the file that is scanned.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

Picture = np.ndarray  # (H, W, 3) uint8 RGB


@dataclass(frozen=True, eq=False)
class Golden:
    """A picture, its view, and the format of its file with the quality of lossy ones."""

    name: str
    view: str
    pixels: Picture
    suffix: str = ".png"
    quality: int = 0

    def write(self, folder: Path) -> Path:
        """The file that is scanned."""
        flags = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, self.quality], ".webp": [cv2.IMWRITE_WEBP_QUALITY, self.quality]}
        done, encoded = cv2.imencode(self.suffix, self.pixels[..., ::-1], flags.get(self.suffix, []))
        assert done, self.name
        path = folder / f"{self.name}{self.suffix}"
        path.write_bytes(encoded.tobytes())
        return path


def golden_pictures(portrait: Picture) -> list[Golden]:
    """All twenty. portrait: (512, 512, 3), one frontal face."""
    return [*_scenes(portrait), *_crops(portrait)]


def _scenes(portrait: Picture) -> list[Golden]:
    head = np.ascontiguousarray(portrait[:320, 60:380])  # (320, 320, 3)
    doubled = cv2.resize(head[20:220, 70:270], (400, 400), interpolation=cv2.INTER_CUBIC)
    pasted = head.copy()
    mouth = head[140:170, 145:195]
    pasted[96:126, 145:195] = cv2.resize(mouth[::-1], (50, 30), interpolation=cv2.INTER_NEAREST)
    warm = np.clip(head.astype(np.int32) * [115, 100, 85] // 100 + [6, 0, -6], 0, 255).astype(np.uint8)
    return [
        Golden("scene-plain", "scene", head),
        Golden("scene-shifted", "scene", np.ascontiguousarray(portrait[17:300, 101:391])),
        Golden("scene-mirrored", "scene", np.ascontiguousarray(head[:, ::-1])),
        Golden("scene-enlarged", "scene", doubled),
        Golden("scene-warm", "scene", warm),
        Golden("scene-jpeg", "scene", head, ".jpg", 60),
        Golden("scene-blurred", "scene", cv2.GaussianBlur(head, (0, 0), 1.5)),
        Golden("scene-part-pasted", "scene", pasted, ".webp", 80),
    ]


def _crops(portrait: Picture) -> list[Golden]:
    face = np.ascontiguousarray(portrait[70:214, 152:296])  # (144, 144, 3)
    small = cv2.resize(face, (56, 56), interpolation=cv2.INTER_AREA)
    checker = _grey((np.add(*np.mgrid[:160, :160]) // 8 % 2) * 160 + 48)
    spotted = np.where(np.random.Generator(np.random.PCG64(1)).random((144, 144, 1)) < 0.02, 255, face).astype(np.uint8)
    upsampled = cv2.resize(_noise(2, 40), (160, 160), interpolation=cv2.INTER_NEAREST)
    upsampled = np.clip(upsampled + _noise(4, 160).astype(np.int32) % 5 - 2, 0, 255).astype(np.uint8)
    halves = np.concatenate([face[:, :72], cv2.GaussianBlur(face, (0, 0), 2)[:, 72:]], axis=1)
    return [
        Golden("crop-face", "face", face),
        Golden("crop-face-small", "face", small),
        Golden("crop-face-large", "face", cv2.resize(face, (304, 304), interpolation=cv2.INTER_LINEAR)),
        Golden("crop-face-jpeg", "face", face, ".jpg", 40),
        Golden("crop-face-halves", "face", halves),
        Golden("crop-face-spots", "face", spotted),
        Golden("crop-gradient", "face", _grey(np.add(*np.mgrid[:192, :192]) * 255 // 382)),
        Golden("crop-grating", "face", _grey(128 + 100 * np.where(np.mgrid[:128, :128][1] % 6 < 3, 1, -1))),
        Golden("crop-checker", "face", checker),
        Golden("crop-noise", "face", _noise(0, 200)),
        Golden("crop-noise-upsampled", "face", upsampled),
        Golden("crop-wide", "face", np.ascontiguousarray(portrait[80:200, 100:340])),
    ]


def _grey(values: np.ndarray) -> Picture:
    """Values (H, W) in three channels, each with noise of up to two levels."""
    faint = np.random.Generator(np.random.PCG64(3)).integers(-2, 3, (*values.shape, 3))
    return np.clip(values[..., None] + faint, 0, 255).astype(np.uint8)


def _noise(seed: int, side: int) -> Picture:
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (side, side, 3)).astype(np.uint8)
