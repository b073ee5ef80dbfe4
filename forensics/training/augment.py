"""What a crop goes through before the CNN sees it in training: the same for real and fake, so that nothing of it is a clue.

Strengths follow what pictures meet on the way to a detector (re-encoding, reduction, exposure), and the framing error of
landmark-based crops (about 8 % of the side, measured on crops whose frame is known).
"""

import cv2
import numpy as np

from forensics.detectors.cnn_network import MAX_TILE_SOURCE_PX
from forensics.faces.types import Frame
from forensics.perturb import add_noise, blur, jpeg, resize_and_restore, shift_colour

MIN_CROP_SHARE = 0.84
P_COLOUR, P_RESIZE, P_BLUR, P_NOISE, P_JPEG = 0.5, 0.3, 0.1, 0.15, 0.6


def augment(crop: Frame, rng: np.random.Generator) -> Frame:
    """A randomly framed, flipped, coloured and degraded version of a crop; same dtype, a smaller square."""
    picture = _reframe(crop, rng)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < P_COLOUR:
        picture = shift_colour(
            picture,
            gain=rng.uniform(0.8, 1.2),
            offset=rng.uniform(-20, 20),
            saturation=rng.uniform(0.7, 1.3),
            gamma=float(np.exp(rng.uniform(-0.25, 0.25))),
        )
    picture = np.ascontiguousarray(picture)
    if rng.random() < P_RESIZE:
        picture = resize_and_restore(picture, rng.uniform(0.4, 0.9))
    if rng.random() < P_BLUR:
        picture = blur(picture, rng.uniform(0.3, 1.2))
    if rng.random() < P_NOISE:
        picture = add_noise(picture, rng.uniform(1.0, 6.0), rng)
    if rng.random() < P_JPEG:
        picture = jpeg(picture, int(rng.integers(40, 96)))
    return picture


# The tile's traces are its whole evidence: fewer and milder degradations than for the whole face.
P_TILE_RESIZE, P_TILE_BLUR, P_TILE_JPEG = 0.1, 0.05, 0.3


def augment_tile(crop: Frame, side: int, rng: np.random.Generator) -> Frame:
    """A random tile of `side` pixels at native resolution (the whole crop if it is smaller), mildly degraded."""
    if crop.shape[0] > MAX_TILE_SOURCE_PX:
        crop = np.asarray(cv2.resize(crop, (MAX_TILE_SOURCE_PX,) * 2, interpolation=cv2.INTER_AREA), np.uint8)
    kept = min(side, crop.shape[0])
    top, left = rng.integers(0, crop.shape[0] - kept + 1, 2)
    picture = crop[top : top + kept, left : left + kept]
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < P_COLOUR:
        picture = shift_colour(
            picture, gain=rng.uniform(0.85, 1.15), offset=rng.uniform(-15, 15), saturation=rng.uniform(0.8, 1.2)
        )
    picture = np.ascontiguousarray(picture)
    if rng.random() < P_TILE_RESIZE:
        picture = resize_and_restore(picture, rng.uniform(0.6, 0.95))
    if rng.random() < P_TILE_BLUR:
        picture = blur(picture, rng.uniform(0.3, 0.8))
    if rng.random() < P_TILE_JPEG:
        picture = jpeg(picture, int(rng.integers(60, 96)))
    return picture


def _reframe(crop: Frame, rng: np.random.Generator) -> Frame:
    side = crop.shape[0]
    kept = max(1, round(side * rng.uniform(MIN_CROP_SHARE, 1.0)))
    top, left = rng.integers(0, side - kept + 1, 2)
    return crop[top : top + kept, left : left + kept]
