"""What inputs are made of targets by: degradations that a network learns to undo, drawings that it learns to fill in.

All take a picture (H, W, 3) uint8 RGB and give one of the same size (`reduced`: smaller), as a file would hold it. Random
parts come from the generator that is given, so that a picture is degraded the same way on every run.
Haze: I = J t + A (1 - t) with t = exp(-thickness x depth) (Koschmieder's law, as He, Sun, Tang 2009 use it), a smooth
random depth in [0.5, 1.5] in place of a known one. Pencil: the picture divided by its blurred negative.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.perturb import jpeg
from generators.translation_config import Make, Task

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
Maker = Callable[[Picture, np.random.Generator], Picture]

PAPER = 255
EDGE_LOW, EDGE_HIGH, EDGE_BLUR_PX = 60, 140, 1.0
PENCIL_SHARE = 0.06  # of the side: how far the pencil's blur reaches
HOLE_SHARES = (0.2, 0.5)  # of the side
HOLE_GREY = 128
DEPTH_CELLS = 4
AIRLIGHT = (180.0, 250.0)


@dataclass(frozen=True)
class Strength:
    """Range of a task's degradation, where figures are measured, and what its numbers are."""

    weakest: float
    strongest: float
    judged: float
    unit: str


STRENGTHS: dict[Task, Strength] = {
    "none": Strength(0, 0, 0, ""),
    "denoise": Strength(1, 50, 25, "standard deviation in grey levels"),
    "deblock": Strength(5, 60, 20, "JPEG quality"),
    "dehaze": Strength(0.2, 1.5, 0.8, "thickness"),
    "colourise": Strength(0, 0, 0, ""),
}


def noisy(picture: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """White Gaussian noise of `sigma` grey levels in every channel, clipped and rounded."""
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(sigma)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)


def hazy(picture: Picture, thickness: float, rng: np.random.Generator) -> Picture:
    """Haze of one light grey, thicker where a smooth random depth is greater."""
    height, width = picture.shape[:2]
    cells = rng.uniform(0.5, 1.5, (DEPTH_CELLS, DEPTH_CELLS)).astype(np.float32)
    depth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    through = np.exp(-thickness * depth)[..., None]
    light = rng.uniform(*AIRLIGHT)
    return np.asarray(np.clip(np.rint(picture * through + light * (1 - through)), 0, 255), np.uint8)


def gray(picture: Picture) -> Picture:
    """Luminance (Rec. 601) in all three channels."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.repeat(luma[..., None], 3, 2)


def edges(picture: Picture) -> Picture:
    """Black lines on white where brightness steps (Canny 1986)."""
    luma = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), EDGE_BLUR_PX)
    lines = PAPER - cv2.Canny(luma, EDGE_LOW, EDGE_HIGH)
    return np.repeat(lines[..., None], 3, 2)


def sketch(picture: Picture) -> Picture:
    """A pencil drawing: dark where the picture is darker than its surroundings."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    around = cv2.GaussianBlur(luma, (0, 0), max(1.0, PENCIL_SHARE * min(luma.shape)))
    drawn = np.clip(255 * luma / np.maximum(around, 1), 0, 255)
    return np.repeat(np.rint(drawn).astype(np.uint8)[..., None], 3, 2)


def holed(picture: Picture, rng: np.random.Generator) -> Picture:
    """A grey rectangle somewhere: what is behind it is to be invented."""
    height, width = picture.shape[:2]
    tall, wide = (int(side * rng.uniform(*HOLE_SHARES)) for side in (height, width))
    top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
    out = picture.copy()
    out[top : top + tall, left : left + wide] = HOLE_GREY
    return out


def reduced(picture: Picture, scale: int) -> Picture:
    """(H, W, 3) -> (H / scale, W / scale, 3), areas averaged."""
    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width // scale, height // scale), interpolation=cv2.INTER_AREA), np.uint8)


def degrading(task: Task, weakest: float, strongest: float) -> Maker:
    """What a task undoes, at a strength drawn evenly between the two for each picture; 0 is the task's own."""
    low, high = weakest or STRENGTHS[task].weakest, strongest or STRENGTHS[task].strongest

    def drawn(rng: np.random.Generator) -> float:
        return float(rng.uniform(min(low, high), max(low, high)))

    makers: dict[Task, Maker] = {
        "denoise": lambda picture, rng: noisy(picture, drawn(rng), rng),
        "deblock": lambda picture, rng: np.asarray(jpeg(picture, round(drawn(rng))), np.uint8),
        "dehaze": lambda picture, rng: hazy(picture, drawn(rng), rng),
        "colourise": lambda picture, _: gray(picture),
    }
    return makers[task]


def making(make: Make) -> Maker:
    """What pix2pix's inputs are made by."""
    makers: dict[Make, Maker] = {
        "edges": lambda picture, _: edges(picture),
        "sketch": lambda picture, _: sketch(picture),
        "gray": lambda picture, _: gray(picture),
        "mask": holed,
    }
    return makers[make]
