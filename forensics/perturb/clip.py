"""A whole clip through H.264: frames with their times in, an MP4 of the same frames at the same times out.

What motion adds to a still: most frames are predicted from their neighbours, and at one CRF they are coarser than the
keyframes. Frames stream through; memory does not grow with the clip beyond x264's own look-ahead.

ITU-T H.264; ISO/IEC 14496-12 (the container). Times are kept as presentation timestamps of 1/90000 s, the clock of MPEG
(ISO/IEC 13818-1): 24, 25, 30 and 30000/1001 frames a second fall on whole ticks, any other time is within 6 microseconds.
Another clock may be asked for, so that the times of a source stay exactly its own.
Limits: no sound. H.264 in 4:2:0 has even sides: an odd picture gains one column or row, a copy of its edge.
"""

import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path

from forensics.perturb.avc import LIMITED_RANGE, PRESET, encoder_options, refusal, video_frame
from forensics.perturb.picture import Picture

TICKS_PER_S = 90_000
MOST_TICKS_PER_S = 10_000_000  # finer than any camera's clock, and a day still fits into 40 bits
# Only a hint to x264 for times that it is not given: every frame carries its own.
NOMINAL_FPS = 25
BT601_TAG = 6  # matrix_coefficients of ITU-T H.264, table E-5: what `video_frame` converts to


def recompress_clip(
    frames: Iterable[tuple[float, Picture]],
    path: Path,
    crf: float,
    preset: str = PRESET,
    gop_frames: int | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    ticks_per_s: int = TICKS_PER_S,
    pixel_aspect: tuple[int, int] | None = None,
) -> int:
    """Write frames as an H.264 MP4 at a constant rate factor; returns how many were written.

    frames: (timestamp_s, (H, W, 3) uint8 RGB or (H, W) grey) of one size, in time order from 0 or later; taken one by one.
    crf: 0 (lossless) .. 51. gop_frames: the longest distance of keyframes (x264's default, 250, where None).
    metadata: the container's tags; MP4 keeps those that it knows (title, comment, description, artist, ...).
    ticks_per_s: the clock of the stream, 1 .. MOST_TICKS_PER_S; in the file it is doubled until it has 10000 or more.
    pixel_aspect: width to height of a pixel, each 1 .. 65535; squares where None.
    One encoder thread: the same frames give the same bytes with the same libraries. The file appears whole or not at all,
    and replaces one of that name. Raises ValueError for no frames, a CRF or clock outside the range, times that do not grow
    by a tick, a size that changes, and a picture that H.264 cannot hold.
    """
    options = encoder_options(crf, preset)
    if not 1 <= ticks_per_s <= MOST_TICKS_PER_S:
        raise ValueError(f"a clock has 1 to {MOST_TICKS_PER_S} ticks a second, not {ticks_per_s}")
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("a clip needs at least one frame")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    os.close(handle)
    try:
        count = _write(
            Path(name), chain([first], rest), first[1].shape, options, gop_frames, metadata or {}, ticks_per_s,
            pixel_aspect,
        )  # fmt: skip
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return count


def _write(
    path: Path,
    frames: Iterable[tuple[float, Picture]],
    shape: tuple[int, ...],
    options: dict[str, str],
    gop_frames: int | None,
    metadata: Mapping[str, str],
    ticks_per_s: int,
    pixel_aspect: tuple[int, int] | None,
) -> int:
    import av
    from av.error import FFmpegError
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # of frames of one size
    count, last_tick = 0, -1
    with path.open("wb") as file, av.open(file, "w", format="mp4") as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", rate=NOMINAL_FPS, options=options)
        stream.height, stream.width = (side + side % 2 for side in shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, ticks_per_s)
        stream.codec_context.thread_count = 1
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = Fraction(*pixel_aspect)
        # Said in the stream, so that a player does not guess the matrix from the size of the picture.
        stream.codec_context.colorspace, stream.codec_context.color_range = BT601_TAG, LIMITED_RANGE
        if gop_frames is not None:
            stream.codec_context.gop_size = gop_frames
        for timestamp_s, picture in frames:
            tick = round(timestamp_s * ticks_per_s) if math.isfinite(timestamp_s) else -1
            if tick <= last_tick:
                raise ValueError(f"times start at 0 and grow by a tick or more: frame {count} is at {timestamp_s} s")
            if picture.shape != shape:
                raise ValueError(f"frame {count} has the shape {picture.shape}, the first one {shape}")
            frame = video_frame(picture, reformatter)
            frame.pts, frame.time_base = tick, Fraction(1, ticks_per_s)
            try:
                container.mux(stream.encode(frame))
            except FFmpegError as error:
                raise refusal(picture, options) from error
            count, last_tick = count + 1, tick
        container.mux(stream.encode())
    return count
