"""Two drawn people as sets of aligned faces: a red oval with round eyes, a blue block, wider, with square eyes."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from generators.faceswap.alignment import ALIGNED_PX, TEMPLATE
from generators.faceswap.extraction.faceset import ClipRow, FaceRow, FaceSetRecord, file_name, write_record
from generators.pictures import write_png

Person = Literal["oval", "block"]
COLOURS = {"oval": (200, 70, 60), "block": (50, 80, 210)}
MIDDLE = (128, 128)


def outline(person: Person, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """(256, 256) bool: the person's shape, in an aligned picture."""
    mask = np.zeros((ALIGNED_PX, ALIGNED_PX), np.uint8)
    x, y = MIDDLE[0] + shift[0], MIDDLE[1] + shift[1]
    if person == "oval":
        cv2.ellipse(mask, (x, y), (48, 88), 0, 0, 360, 255, -1)
    else:
        cv2.rectangle(mask, (x - 82, y - 62), (x + 82, y + 62), 255, -1)
    return mask > 0


def draw_person(person: Person, level: int, mouth: int, shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    """(256, 256, 3) uint8 RGB before a grey of `level`, the mouth `mouth` pixels open."""
    picture = np.full((ALIGNED_PX, ALIGNED_PX, 3), level, np.uint8)
    picture[outline(person, shift)] = COLOURS[person]
    dark = (20, 20, 20)
    points = (TEMPLATE + shift).round().astype(int).tolist()
    for x, y in points[:2]:
        if person == "oval":
            cv2.circle(picture, (x, y), 9, dark, -1)
        else:
            cv2.rectangle(picture, (x - 14, y - 9), (x + 14, y + 9), dark, -1)
    centre = np.mean(points[3:], 0).round().astype(int).tolist()
    cv2.ellipse(picture, centre, (22, mouth), 0, 0, 360, dark, -1)
    return picture


def write_people(folder: Path, person: Person, n: int = 20, held_out: int = 4) -> Path:
    """A set of `n` faces to train on and `held_out` others: before greys of all kinds, speaking."""
    sha256 = {"oval": "aa" * 32, "block": "bb" * 32}[person]
    draws = np.random.default_rng([n, len(person)])
    rows = []
    for k in range(n + held_out):
        level, mouth, dx, dy = (int(draws.integers(a, b)) for a, b in ((90, 160), (2, 14), (-3, 4), (-3, 4)))
        row = FaceRow(
            clip=sha256, frame=k, timestamp_s=k / 25, track=1, box=(46.0, 40.0, 210.0, 216.0),
            landmarks=tuple((float(x), float(y)) for x, y in TEMPLATE), confidence=0.99, yaw_deg=0.0, roll_deg=0.0,
            sharpness=20.0, file=file_name(sha256, k, 1), left_out=None, split="train" if k < n else "held_out",
        )  # fmt: skip
        write_png(folder / str(row.file), draw_person(person, level, mouth, (dx, dy)))
        rows.append(row)
    clip = ClipRow(
        name=f"{person}.mp4", sha256=sha256, width=256, height=256, frames=n + held_out, duration_s=(n + held_out) / 25,
        mean_fps=25.0, is_complete=True, errors=(), options={}, detector="drawn", version="1", tracks=(),
    )  # fmt: skip
    write_record(folder, FaceSetRecord(clips=(clip,), faces=tuple(rows)))
    return folder


def shape_of(drawn: np.ndarray, person: Person) -> np.ndarray:
    """(H, W) bool: where a picture (H, W, 3) is nearer to the person's colour than to grey or to the other's."""
    names = ("oval", "block")
    anchors = np.array([COLOURS[name] for name in names] + [(90,) * 3, (125,) * 3, (160,) * 3], float)
    nearest = np.square(drawn[:, :, None].astype(float) - anchors).sum(-1).argmin(-1)
    return nearest == names.index(person)
