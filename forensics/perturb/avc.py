"""H.264 of a single picture: what one keyframe of a shared clip looks like.

A picture is encoded by x264 as an intra frame at a constant rate factor (CRF), and decoded again. Colours go to 4:2:0
YCbCr of BT.601 in limited range and back, as H.264 has them; the conversion rounds exactly, so that what is measured is
the codec and not a shift of brightness.

ITU-T H.264 (ISO/IEC 14496-10); CRF as x264 defines it: 0 is lossless, 18 looks so, 23 is the default, 51 the worst.
Limits: a keyframe at a CRF is better than the predicted frames between (x264 lowers its quantiser for I frames): for what
motion does, write a clip (`forensics.perturb.clip`). FFmpeg is loaded on the first use, and sees only bytes that were
encoded here: a user's files are opened by `forensics.media` alone.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.perturb.picture import Picture

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

CRF_MIN, CRF_MAX = 0.0, 51.0
PRESET = "medium"  # x264's own default
STILL_FPS = 25  # x264 spends more on frames that are shown longer; one frame at a usual rate
# libswscale/swscale.h: bicubic, full chroma interpolation and input, accurate rounding, the same on every processor.
# Without the last four, swscale darkens a picture by about 1.3 grey levels on the way to YCbCr and back.
EXACT_CONVERSION = 0x4 | 0x2000 | 0x4000 | 0x40000 | 0x80000
# With x264's AVX-512 routines and its MB-tree (core 165), a clip's bytes depend on what lay in memory before: in 44 of 60
# trials on one thread the same frames gave other bytes; with the routines of AVX2, which every such processor has, in none.
CPU_AVX_512F = 13  # opencv2/core/cvdef.h
WITHOUT_AVX512 = "asm=avx2"
NO_COLOUR = 128
BT601, LIMITED_RANGE = 5, 1  # SWS_CS_ITU601 of libswscale, AVCOL_RANGE_MPEG of libavutil


def h264(picture: Picture, crf: float) -> Picture:
    """Encode as one H.264 intra frame at `crf` (0..51; fractions are allowed), and decode again.

    Odd sides are padded with their edge for the encoder and cut back: the size is kept. Raises ValueError for a CRF
    outside the range and for a picture that H.264 cannot hold.
    """
    height, width = picture.shape[:2]
    return np.ascontiguousarray(decode_intra(encode_intra(picture, crf))[:height, :width])


def encode_intra(picture: Picture, crf: float) -> bytes:
    """An H.264 byte stream (annex B) of one intra frame; its sides are even. Raises ValueError as `h264` does."""
    from av import CodecContext
    from av.error import FFmpegError

    options = encoder_options(crf, PRESET)
    frame = video_frame(picture)
    encoder = CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuv420p"
    encoder.time_base = Fraction(1, STILL_FPS)
    encoder.thread_count = 1
    encoder.options = options
    frame.pts = 0
    try:
        packets = [*encoder.encode(frame), *encoder.encode(None)]
    except FFmpegError as error:
        raise refusal(picture, options) from error
    return b"".join(bytes(packet) for packet in packets)


def decode_intra(data: bytes) -> Picture:
    """The only frame of a stream that `encode_intra` wrote: (H, W, 3) uint8 RGB with even sides."""
    from av import CodecContext, Packet

    decoder = CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [*decoder.decode(Packet(data)), *decoder.decode(None)]
    if len(frames) != 1:
        raise ValueError(f"one frame was encoded, {len(frames)} were decoded")
    return picture_of(frames[0])


def encoder_options(crf: float, preset: str) -> dict[str, str]:
    """x264's options for a constant rate factor. Raises ValueError outside CRF_MIN..CRF_MAX."""
    if not CRF_MIN <= crf <= CRF_MAX:
        raise ValueError(f"a CRF is {CRF_MIN:g} to {CRF_MAX:g}, not {crf}")
    options = {"crf": f"{crf:g}", "preset": preset}
    if cv2.checkHardwareSupport(CPU_AVX_512F):
        options["x264-params"] = WITHOUT_AVX512
    return options


def refusal(picture: Picture, options: dict[str, str]) -> ValueError:
    """What to raise where the encoder fails: of the picture or of the options, it does not say which."""
    words = f"crf {options['crf']}, preset {options['preset']}"
    return ValueError(
        f"the H.264 encoder refuses a picture of {picture.shape[1]} x {picture.shape[0]} pixels ({words})"
    )


def video_frame(picture: Picture, reformatter: VideoReformatter | None = None) -> VideoFrame:
    """(H, W, 3) uint8 RGB, or (H, W) uint8 grey, to a yuv420p frame; odd sides grow by one pixel, a copy of the edge.

    reformatter: one that is kept for frames of one size spares its setting up, which takes as long as a conversion.
    """
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

    height, width = picture.shape[:2]
    if min(height, width) < 1:
        raise ValueError("an empty picture cannot be encoded")
    if height % 2 or width % 2:
        rest = ((0, 0),) * (picture.ndim - 2)
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), *rest), mode="edge")
    if picture.ndim == 2:
        return _grey_frame(picture)
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return (reformatter or VideoReformatter()).reformat(
        frame,
        format="yuv420p",
        dst_colorspace=BT601,
        dst_color_range=LIMITED_RANGE,
        interpolation=EXACT_CONVERSION,
        threads=1,
    )


def _grey_frame(grey: NDArray[np.uint8]) -> VideoFrame:
    """(H, W) uint8 with even sides: luma as RGB of that grey has it, no colour."""
    from av import VideoFrame

    height, width = grey.shape
    planes = np.full((height * 3 // 2, width), NO_COLOUR, np.uint8)  # I420: luma, and two quarters of chroma
    planes[:height] = cv2.LUT(grey, _luma_of_grey())
    frame = VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.colorspace, frame.color_range = BT601, LIMITED_RANGE
    return frame


@lru_cache(maxsize=1)
def _luma_of_grey() -> NDArray[np.uint8]:
    """(256,): what the conversion makes of each grey level; its rounding is its own."""
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (2, 1, 3))
    luma: NDArray[np.uint8] = video_frame(ramp).to_ndarray()[0].copy()
    return luma


def picture_of(frame: VideoFrame) -> Picture:
    """A yuv420p frame of `video_frame` as (H, W, 3) uint8 RGB."""
    return np.ascontiguousarray(
        frame.to_ndarray(
            format="rgb24",
            src_colorspace=BT601,
            src_color_range=LIMITED_RANGE,
            interpolation=EXACT_CONVERSION,
            threads=1,
        ),
        np.uint8,
    )
