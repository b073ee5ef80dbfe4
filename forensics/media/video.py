"""Frames of a clip, by presentation time: runs inside the decoding child, on bytes that an adversary made.

The packets are read twice. The first pass decodes nothing: it gives the real number of frames, their timestamps and the
duration, so that no number of the header has to be believed and the samples can be spread over the whole clip. The
second decodes in order and converts the sampled frames only; where samples are far apart it seeks from one to the next.
FFmpeg never opens a file by name: it is handed an open one, one demuxer, and no protocol.
"""

from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits, Sample, Sampling

# Decoding in order is faster than seeking until the samples are about this many frames apart.
SEEK_ABOVE_FRAMES = 100
# A container without an index (MPEG-TS) may land behind the wanted time: then it is tried from this much earlier.
SEEK_MARGINS_S = (0.0, 2.0, 10.0, 60.0)
# Timestamps go through floating point twice.
TIME_SLACK_S = 1e-6
# A frame counts for as much time as it is shown, but for no more than this: else one frame with a timestamp hours away
# would draw all samples to itself, and the rest of the clip would not be looked at.
LONGEST_SHOWN_S = 2.0
# They number packets as they are stored: with B-frames a packet's number is not its frame's time, but the decoder gives
# the frames out in their order, and as many times are there.
UNTIMED_CONTAINERS = ("avi",)
MAX_ERRORS_KEPT = 20
# After this many damaged packets in a row there is nothing left to wait for.
MAX_ERRORS_IN_A_ROW = 500
# Frame intervals that differ by more than this share of their median make a variable rate.
VARIABLE_RATE_TOLERANCE = 0.2
# ITU-T H.264, E.2.1: sar_width and sar_height have 16 bits. No camera or disc has pixels longer than this.
ASPECT_MAX, LONGEST_PIXEL = (1 << 16) - 1, 8
# What FFmpeg says where memory runs out; the second is a thread that could not be started.
MEMORY_ERRORS = (MemoryError, BlockingIOError)

Event = MediaInfo | Sample | DecodeSummary


@dataclass(frozen=True)
class Timing:
    """What the packets say: presentation times in seconds, sorted, and how many frames there are."""

    times_s: NDArray[np.float64]
    frames: int
    errors: tuple[str, ...]

    @property
    def start_s(self) -> float:
        return float(self.times_s[0])

    @property
    def interval_s(self) -> float:
        """Median time between frames; 0 for a single one."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last one's end."""
        return float(self.times_s[-1] - self.times_s[0]) + self.interval_s

    @property
    def is_variable_rate(self) -> bool:
        if len(self.times_s) < 3:
            return False
        steps = np.diff(self.times_s)
        middle = np.median(steps)
        return bool(np.mean(np.abs(steps - middle) > VARIABLE_RATE_TOLERANCE * middle) > 0.01)


def decode_video(
    file: BinaryIO, demuxer: str, sampling: Sampling, limits: MediaLimits, threads: int
) -> Iterator[Event]:
    """One MediaInfo, then the sampled frames in time order, then one DecodeSummary.

    Raises MediaError for a file without video, beyond the limits, or of which not one frame can be decoded.
    """
    timing = read_timing(file, demuxer, limits, shown_only=sampling.every_frame)
    targets = sample_times(timing, sampling)
    errors = list(timing.errors)
    with open_container(file, demuxer) as container:
        stream = video_stream(container)
        context = stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = threads
        context.options = {"max_pixels": str(limits.max_pixels)}
        is_seeking = len(timing.times_s) / len(targets) > SEEK_ABOVE_FRAMES and not sampling.every_frame
        frames = (_seek_frames if is_seeking else _all_frames)(container, stream, targets, errors)
        decoded = emitted = sent = 0
        last_s = 0.0
        for frame in _until_memory_ends(frames, errors):
            decoded += 1
            time_s = _time_of(frame)
            if sampling.every_frame and demuxer in UNTIMED_CONTAINERS and context.has_b_frames:
                time_s = float(timing.times_s[min(decoded, len(timing.times_s)) - 1])
            if emitted == len(targets) or time_s is None or time_s < targets[emitted]:
                continue
            if frame.width * frame.height > limits.max_pixels:
                raise _too_large(frame.width, frame.height, limits)
            pixels, rotation = _upright(frame)
            if emitted == 0:
                yield _info(container, stream, timing, pixels, rotation, _sampling_in_words(timing, sampling, targets))
            last_s = round(time_s - timing.start_s, 6)
            yield Sample(emitted, last_s, _reduced(pixels, sampling.max_side_px))
            sent += 1
            if frame.is_corrupt:
                errors.append(f"the frame at {last_s:.2f} s is damaged")
            # A frame stands for every target that it has passed: after damage, several may lie behind it.
            emitted_times = targets[emitted:]
            emitted += int(np.searchsorted(emitted_times, time_s, side="right"))
            if emitted == len(targets) and (is_seeking or (sampling.every_frame and emitted < len(timing.times_s))):
                break
        indexed = len(stream.index_entries)
    if emitted == 0:
        reason = errors[0] if errors else "no frame came out of the decoder"
        raise MediaError(f"the video cannot be decoded: {reason}", "the file may be damaged or cut off")
    if indexed > timing.frames:
        errors.append(f"the file's index lists {indexed} frames, {timing.frames} are there")
    if emitted < len(targets):
        errors.append(f"nothing could be decoded after {last_s:.2f} s")
    yield DecodeSummary(decoded, sent, tuple(errors[:MAX_ERRORS_KEPT]), is_complete=not errors)


def sample_times(timing: Timing, sampling: Sampling) -> NDArray[np.float64]:
    """Presentation times at or after which a frame is taken: evenly spread over the clip, each of an existing frame.

    For every frame: the first `max_frames` times of the clip.
    """
    if sampling.every_frame:
        first: NDArray[np.float64] = timing.times_s[: sampling.max_frames]
        return first - TIME_SLACK_S
    shown_s = np.minimum(np.append(np.diff(timing.times_s), timing.interval_s), LONGEST_SHOWN_S)
    ends_s = np.cumsum(shown_s)
    wanted = min(sampling.max_frames, len(timing.times_s), max(1, round(float(ends_s[-1]) * sampling.fps)))
    ideal = (np.arange(wanted) + 0.5) * ends_s[-1] / wanted
    # The frame on screen at the ideal time is the first one that ends after it.
    indices = np.searchsorted(ends_s, ideal, side="right")
    chosen: NDArray[np.float64] = timing.times_s[np.unique(np.clip(indices, 0, len(timing.times_s) - 1))]
    return chosen - TIME_SLACK_S


def open_container(file: BinaryIO, demuxer: str) -> InputContainer:
    """Open what `file` holds with one demuxer and nothing else. Raises MediaError, and MemoryError at the limit."""
    file.seek(0)
    # The white lists hold for whatever the demuxer might want to open by itself: no protocol, no other format.
    options = {"protocol_whitelist": "none", "format_whitelist": demuxer}
    try:
        return av.open(file, "r", format=demuxer, container_options=options, metadata_errors="ignore")
    except MEMORY_ERRORS as error:
        raise MemoryError from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(
            f"not a readable {demuxer} file: {one_line(error)}", "the file may be damaged or cut off"
        ) from error


def video_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures (a cover is none). Raises MediaError."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise MediaError("the video's codec is not known to the decoder", "convert the clip to H.264")
            return stream
    if not container.streams.audio and not container.streams.subtitles:
        raise MediaError("the file's index is missing or damaged", "check that the download or copy was completed")
    raise MediaError(
        "the file holds no video stream", "pictures and videos are analysed, sound is not", Outcome.NO_VIDEO
    )


def read_timing(file: BinaryIO, demuxer: str, limits: MediaLimits, shown_only: bool = False) -> Timing:
    """Read all packets of the video and decode none. Raises MediaError.

    shown_only leaves out the times of frames that an edit list cuts away: they are decoded and never given out.
    """
    times = array("d")
    errors: list[str] = []
    frames = damaged = 0
    with open_container(file, demuxer) as container:
        stream = video_stream(container)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > limits.max_pixels:
            raise _too_large(width, height, limits)
        base = float(stream.time_base or 0)
        try:
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                frames += 1
                damaged += packet.is_corrupt
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and not (shown_only and packet.is_discard):
                    times.append(stamp * base)
                if frames >= limits.max_packets:
                    errors.append(f"reading stopped after {frames} frames, the limit")
                    break
        except (av.error.FFmpegError, ValueError, OSError) as error:
            errors.append(one_line(error))
    if damaged:
        errors.append(f"{damaged} of {frames} packets are damaged or cut off")
    stamps = np.unique(np.frombuffer(times, np.float64)) if times else np.empty(0)
    stamps = stamps[np.isfinite(stamps)]
    if len(stamps) == 0:
        reason = errors[0] if errors else "it holds no frame with a timestamp"
        raise MediaError(f"the video cannot be read: {reason}", "the file may be damaged or cut off")
    return Timing(stamps, frames, tuple(errors))


def _all_frames(
    container: InputContainer, stream: VideoStream, _targets: NDArray[np.float64], errors: list[str]
) -> Generator[VideoFrame, None, None]:
    """Every frame in order; damaged packets are noted and passed over."""
    in_a_row = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except MEMORY_ERRORS:
            raise
        except (av.error.FFmpegError, ValueError, OSError) as error:
            errors.append(one_line(error))
            return
        try:
            frames = packet.decode()
        except MEMORY_ERRORS:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            if not isinstance(error, av.error.EOFError):
                errors.append(one_line(error))
            in_a_row += 1
            if in_a_row > MAX_ERRORS_IN_A_ROW or len(errors) > 10 * MAX_ERRORS_IN_A_ROW:
                return
            continue
        for frame in frames:
            in_a_row = 0
            if isinstance(frame, VideoFrame):
                yield frame


def _seek_frames(
    container: InputContainer, stream: VideoStream, targets: NDArray[np.float64], errors: list[str]
) -> Generator[VideoFrame, None, None]:
    """The frames from the key frame before each target up to the target."""
    last = -np.inf
    for target in targets:
        for frame in _frames_around(container, stream, target, errors):
            time_s = _time_of(frame)
            if time_s is None or time_s <= last:
                continue
            yield frame
            if time_s >= target:
                last = time_s
                break


def _frames_around(
    container: InputContainer, stream: VideoStream, target: float, errors: list[str]
) -> Generator[VideoFrame, None, None]:
    """Every frame from one at or before the target on; from the first one behind it where no seek lands before it."""
    base = float(stream.time_base or 1)
    start_s = float(stream.start_time or 0) * base
    for margin_s in SEEK_MARGINS_S:
        found: list[str] = []
        try:
            container.seek(int(max(start_s, target - margin_s) / base), stream=stream, backward=True)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            errors.append(f"seeking to {target:.2f} s: {one_line(error)}")
            return
        frames = _all_frames(container, stream, np.empty(0), found)
        first = next(frames, None)
        time_s = None if first is None else _time_of(first)
        is_before = time_s is not None and time_s <= target + 2 * TIME_SLACK_S
        if first is not None and (is_before or margin_s == SEEK_MARGINS_S[-1] or target - margin_s <= start_s):
            yield first
            yield from frames
            break
    errors += found


def _until_memory_ends(frames: Iterator[VideoFrame], errors: list[str]) -> Iterator[VideoFrame]:
    """The frames; where memory runs out behind the first one, that is noted and what was decoded counts.

    Raises MemoryError where it runs out before.
    """
    is_first = True
    try:
        for frame in frames:
            yield frame
            is_first = False
    except MEMORY_ERRORS as error:
        if is_first:
            raise MemoryError from error
        errors.append("decoding stopped: no memory is left under the limit")


def _time_of(frame: VideoFrame) -> float | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    return None if stamp is None or frame.time_base is None else float(stamp * frame.time_base)


def _upright(frame: VideoFrame) -> tuple[NDArray[np.uint8], int]:
    """(H, W, 3) uint8 RGB with the display matrix applied, and the counter-clockwise degrees that took."""
    pixels = frame.to_ndarray(format="rgb24")
    rotation = round(frame.rotation / 90) * 90 % 360
    return np.ascontiguousarray(np.rot90(pixels, rotation // 90), np.uint8), rotation


def _reduced(pixels: NDArray[np.uint8], max_side_px: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = max_side_px / max(height, width)
    if max_side_px <= 0 or factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _info(
    container: InputContainer,
    stream: VideoStream,
    timing: Timing,
    pixels: NDArray[np.uint8],
    rotation: int,
    sampling: str,
) -> MediaInfo:
    duration = timing.duration_s
    tick = stream.time_base
    return MediaInfo(
        kind="video",
        container=container.format.name,
        codec=stream.codec_context.name,
        width=pixels.shape[1],
        height=pixels.shape[0],
        rotation_deg=rotation,
        frames_claimed=stream.frames or None,
        frames_found=timing.frames,
        duration_s=round(duration, 6),
        is_variable_rate=timing.is_variable_rate,
        mean_fps=round(len(timing.times_s) / duration, 4) if duration > 0 else None,
        has_audio=bool(container.streams.audio),
        sampling=sampling,
        time_base=(tick.numerator, tick.denominator) if tick is not None and tick > 0 else None,
        sample_aspect_ratio=_pixel_aspect(stream, rotation),
    )


def _pixel_aspect(stream: VideoStream, rotation: int) -> tuple[int, int] | None:
    """Width to height of a pixel of the upright picture; None for squares, and for what cannot be."""
    ratio = stream.sample_aspect_ratio
    if not ratio or ratio == 1 or not 1 / LONGEST_PIXEL <= ratio <= LONGEST_PIXEL:
        return None
    if max(ratio.numerator, ratio.denominator) > ASPECT_MAX:
        return None
    sides = (ratio.numerator, ratio.denominator)
    return sides[::-1] if rotation % 180 else sides


def _sampling_in_words(timing: Timing, sampling: Sampling, targets: NDArray[np.float64]) -> str:
    if not sampling.every_frame:
        return f"{len(targets)} frames, evenly spread over {timing.duration_s:.2f} s of presentation time"
    count = len(timing.times_s)
    return f"every frame, {count} of them" if len(targets) == count else f"the first {len(targets)} of {count} frames"


def _too_large(width: int, height: int, limits: MediaLimits) -> MediaError:
    return MediaError(
        f"{width} x {height} pixels are more than the limit of {limits.max_pixels}",
        "raise --max-pixels if you trust the file and have the memory",
        Outcome.LIMIT_EXCEEDED,
    )


def one_line(error: Exception) -> str:
    """An error in at most 200 characters."""
    # FFmpeg's own words where there are some, without the number and the descriptor that surround them.
    words = str(getattr(error, "strerror", None) or error)
    return (" ".join(words.split()) or type(error).__name__)[:200]
