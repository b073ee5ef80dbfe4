"""What flows out of the media rooms: limits, what a file claims, what was found in it, and pictures with their time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MediaLimits:
    """What one input may cost. Every number that a file claims is checked against these before it is believed."""

    max_pixels: int = 1 << 26  # of one picture or frame; 48 KB of PNG can claim gigabytes
    max_wall_s: float = 600.0  # from opening to the last frame
    max_memory_bytes: int = 2 << 30  # address space that the decoding child may add to its own start
    max_packets: int = 5_000_000  # 23 hours at 60 frames a second


@dataclass(frozen=True)
class Sampling:
    """Which frames are wanted: `fps` of them per second of presentation time, at most `max_frames` over the whole clip.

    every_frame asks for all of them instead, in order and without seeking: the first `max_frames` of a longer clip.
    max_side_px: frames with a longer side are reduced to it, by area, before they leave the decoder (0: never).
    """

    fps: float = 4.0
    max_frames: int = 240
    every_frame: bool = False
    max_side_px: int = 0


@dataclass(frozen=True)
class MediaInfo:
    """What the file says of itself and what reading its packets showed.

    frames_claimed is the container's own count (None where it has none); frames_found counts the packets of the video
    stream; duration_s comes from presentation timestamps, never from the header. rotation_deg is counter-clockwise and
    has been applied to every picture. time_base is the length of a tick of the video stream's own clock, in seconds as
    (numerator, denominator); None for pictures and where the file gives none. sample_aspect_ratio is a pixel's width to
    its height (both 1 .. 65535), upright as the pictures are; None for square pixels and where the file gives none.
    """

    kind: str  # "image" or "video"
    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int = 0
    frames_claimed: int | None = None
    frames_found: int = 1
    duration_s: float = 0.0
    is_variable_rate: bool = False
    mean_fps: float | None = None
    has_audio: bool = False
    sampling: str = "the picture itself"
    time_base: tuple[int, int] | None = None
    sample_aspect_ratio: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One decoded picture: (H, W, 3) uint8 RGB, upright; its presentation timestamp in seconds from the clip's start."""

    index: int
    timestamp_s: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class DecodeSummary:
    """How decoding ended. `errors` are one line each; frames_decoded counts what the decoder gave out."""

    frames_decoded: int
    frames_sampled: int
    errors: tuple[str, ...] = ()
    is_complete: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SoundReport:
    """What became of a clip's sound: `codec` names what was carried over (None where nothing was), `packets` counts it.

    left_out says in words what is missing and why; None where nothing is. moved_s is what was taken from all times of a
    clip that begins far from 0.
    """

    codec: str | None = None
    packets: int = 0
    left_out: str | None = None
    moved_s: float = 0.0
