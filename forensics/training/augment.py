"""What a crop goes through before a network sees it in training: the same for real and fake, so that it is no clue.

Strengths follow what pictures meet on the way to a detector (re-encoding as picture or video, reduction, exposure), and
the framing error of landmark-based crops (about 8 % of the side, measured on crops whose frame is known). Each step draws
from a stream of its own: the halves of a pair, whose generators begin in the same state, meet the same whatever their size.
"""

import cv2
import numpy as np

from forensics.detectors.cnn_network import MAX_TILE_SOURCE_PX
from forensics.faces.types import Frame
from forensics.perturb import add_noise, blur, h264, jpeg, resize_and_restore, shift_colour

MIN_CROP_SHARE = 0.84
P_COLOUR, P_RESIZE, P_BLUR, P_NOISE, P_H264, P_JPEG = 0.5, 0.3, 0.1, 0.15, 0.25, 0.5
# Constant rate factors of web video: 18 is hardly seen, beyond 38 little of a face is left.
CRF_RANGE = (18.0, 38.0)


def augment(crop: Frame, rng: np.random.Generator) -> Frame:
    """A randomly framed, flipped, coloured and degraded version of a crop; same dtype, a smaller square."""
    framing, colour, resizing, blurring, noise, video, picture_file = rng.spawn(7)
    picture = _flipped(_reframe(crop, framing), framing)
    if colour.random() < P_COLOUR:
        picture = shift_colour(
            picture,
            gain=colour.uniform(0.8, 1.2),
            offset=colour.uniform(-20, 20),
            saturation=colour.uniform(0.7, 1.3),
            gamma=float(np.exp(colour.uniform(-0.25, 0.25))),
        )
    if resizing.random() < P_RESIZE:
        picture = resize_and_restore(picture, resizing.uniform(0.4, 0.9))
    if blurring.random() < P_BLUR:
        picture = blur(picture, blurring.uniform(0.3, 1.2))
    if noise.random() < P_NOISE:
        picture = add_noise(picture, noise.uniform(1.0, 6.0), noise)
    if video.random() < P_H264:
        picture = h264(picture, video.uniform(*CRF_RANGE))
    if picture_file.random() < P_JPEG:
        picture = jpeg(picture, int(picture_file.integers(40, 96)))
    return picture


# The tile's traces are its whole evidence, but what it meets on the web is reduced and encoded as video: without that, a
# broadcast of 480 lines looks synthetic (a real clip of the video dev set: scores of .93 instead of .5).
P_TILE_SCALE, P_TILE_RESIZE, P_TILE_BLUR, P_TILE_H264, P_TILE_JPEG = 0.35, 0.15, 0.05, 0.3, 0.3
TILE_SCALES = (0.4, 1.0)
# No smaller, so that something of the blocks of JPEG and of the up-sampling is left.
MIN_TILE_SOURCE_PX = 48


def augment_tile(crop: Frame, side: int, rng: np.random.Generator) -> Frame:
    """A random tile of `side` pixels (the whole crop if it is smaller), at native resolution or of a reduced picture."""
    framing, colour, resizing, blurring, video, picture_file, scaling = rng.spawn(7)
    if crop.shape[0] > MAX_TILE_SOURCE_PX:
        crop = np.asarray(cv2.resize(crop, (MAX_TILE_SOURCE_PX,) * 2, interpolation=cv2.INTER_AREA), np.uint8)
    if scaling.random() < P_TILE_SCALE:
        crop = _reduced(crop, scaling.uniform(*TILE_SCALES))
    picture = _flipped(_square(crop, min(side, crop.shape[0]), framing), framing)
    if colour.random() < P_COLOUR:
        picture = shift_colour(
            picture,
            gain=colour.uniform(0.85, 1.15),
            offset=colour.uniform(-15, 15),
            saturation=colour.uniform(0.8, 1.2),
        )
    if resizing.random() < P_TILE_RESIZE:
        picture = resize_and_restore(picture, resizing.uniform(0.6, 0.95))
    if blurring.random() < P_TILE_BLUR:
        picture = blur(picture, blurring.uniform(0.3, 0.8))
    if video.random() < P_TILE_H264:
        picture = h264(picture, video.uniform(*CRF_RANGE))
    if picture_file.random() < P_TILE_JPEG:
        picture = jpeg(picture, int(picture_file.integers(60, 96)))
    return picture


def _reframe(crop: Frame, rng: np.random.Generator) -> Frame:
    return _square(crop, max(1, round(crop.shape[0] * rng.uniform(MIN_CROP_SHARE, 1.0))), rng)


def _reduced(crop: Frame, factor: float) -> Frame:
    side = max(MIN_TILE_SOURCE_PX, round(crop.shape[0] * factor))
    if side >= crop.shape[0]:
        return crop
    return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _square(crop: Frame, kept: int, rng: np.random.Generator) -> Frame:
    """A square of `kept` pixels at a random place."""
    top, left = (int(share * (crop.shape[0] - kept + 1)) for share in rng.random(2))
    return crop[top : top + kept, left : left + kept]


def _flipped(picture: Frame, rng: np.random.Generator) -> Frame:
    return np.ascontiguousarray(picture[:, ::-1] if rng.random() < 0.5 else picture)
