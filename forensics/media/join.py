"""A clip's own pictures replaced, its sound kept: runs inside the decoding child, on bytes that an adversary made.

The packets of an encoded clip and the sound of its source go into one file, nothing is decoded and nothing encoded again.
The encoded clip begins at 0; its packets are moved to where the source's first shown frame stands, so that frames and
sound have the source's own times. A clip that begins far from 0, as recordings of broadcasts do, is moved to 0 as a whole.

ISO/IEC 14496-12 (MP4, MOV), Matroska (RFC 9559). Limits: subtitles, chapters and data are left out. In MP4 and MOV times
are exact; Matroska knows milliseconds and no time before 0: a sound that begins earlier (the encoder's delay, 21 ms in most
AAC) moves the whole clip by that. The sound of a transport stream loses the header in front of each packet (ADTS).
"""

from __future__ import annotations

import errno
import heapq
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, BinaryIO

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from forensics.common.errors import MediaError
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import MediaLimits, SoundReport
from forensics.media.video import MEMORY_ERRORS, one_line, open_container, read_timing, video_stream

# Transport streams of FFmpeg begin at 1.4 s; what begins later than this would be shown as a pause.
LATEST_START_S = 10.0
# Ticks per second that are common to the clocks of pictures and sound; beyond this, those of the pictures are taken.
FINEST_CLOCK = 10_000_000
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Whose index says how many packets each stream has; others list entries of another kind.
LISTING = ("mov", "matroska")
# What a muxer says of one packet that it does not take; the file goes on without it.
PACKET_ERRORS = (av.error.InvalidDataError, av.error.ArgumentError, ValueError)


class _Sound:
    """The sound of a source: its streams that the output can hold, and notes of what is missing."""

    def __init__(
        self, container: InputContainer, format_name: str, limits: MediaLimits, refusal: str | None = None
    ) -> None:
        """refusal: why the output could not be written with the sound; then it goes without."""
        self._container, self._limits = container, limits
        self.streams: list[AudioStream] = []
        self.notes: list[str] = []
        self.packets = self.refused = 0
        if refusal is not None:
            names = ", ".join(dict.fromkeys(_codec_of(stream) or "unknown" for stream in container.streams.audio))
            self.notes.append(f"{names} sound, with which no {format_name} file can be written: {refusal}")
            return
        for stream in container.streams.audio:
            name = _codec_of(stream)
            if name is None:
                self.notes.append("a sound of an unknown codec")
            elif not _holds(format_name, stream):
                self.notes.append(f"{name} sound, which {format_name} files do not hold in this form")
            else:
                self.streams.append(stream)
        if not container.streams.audio:
            self.notes.append("the source has no sound")

    def read(self) -> Iterator[tuple[float, Packet[Any]]]:
        """(seconds, packet) in the file's order, each stream's in the order of time; what is missing is noted."""
        last: dict[int, int] = {}
        shown: set[int] = set()
        damaged = cut = 0
        for packet in self._packets():
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None or stamp <= last.get(packet.stream_index, stamp - 1):
                self.refused += 1
                continue
            # What an edit list cuts away before the start is needed to decode the start; what it cuts behind the end not.
            if packet.is_discard and packet.stream_index in shown:
                cut += 1
                continue
            if not packet.is_discard:
                shown.add(packet.stream_index)
            damaged += packet.is_corrupt
            last[packet.stream_index] = packet.dts = stamp
            packet.pts = stamp if packet.pts is None else packet.pts
            yield float(stamp * packet.time_base), packet
        if damaged:
            self.notes.append(f"nothing more, but {damaged} packets are damaged")
        if cut:
            self.notes.append(f"{cut} packets that the source's edit list cuts away")

    def _packets(self) -> Iterator[Packet[Any]]:
        """All packets; where they cannot be read on, that is noted."""
        count = 0
        packets = self._container.demux(self.streams) if self.streams else iter(())
        while True:
            try:
                packet = next(packets, None)
            except MEMORY_ERRORS:
                raise
            except (av.error.FFmpegError, ValueError, OSError) as error:
                self.notes.append(f"the sound after {count} packets, which cannot be read: {one_line(error)}")
                break
            if packet is None:
                break
            if packet.size == 0:
                continue
            if count == self._limits.max_packets:
                self.notes.append(f"the sound after {count} packets, the limit")
                break
            count += 1
            yield packet
        has_list = any(name in self._container.format.name for name in LISTING)
        listed = sum(len(stream.index_entries) for stream in self.streams) if has_list else 0
        if listed > count:
            self.notes.append(f"{listed - count} packets that the file's index lists and that are not there")
        elif self.streams and count == 0:
            self.notes.append("a sound without any packet")

    def report(self, moved_s: float) -> SoundReport:
        """What became of it, when all is written."""
        notes = [*self.notes]
        if self.refused:
            notes.append(f"{self.refused} packets without a usable time or content")
        names = ", ".join(dict.fromkeys(_codec_of(stream) or "" for stream in self.streams))
        codec = names if self.packets else None
        return SoundReport(codec, self.packets, "; ".join(notes) or None, moved_s)


def join(
    video: BinaryIO,
    source: BinaryIO,
    output: BinaryIO,
    format_name: str,
    metadata: Mapping[str, str],
    limits: MediaLimits,
) -> SoundReport:
    """Write the first video stream of `video` and all sound of `source` as a `format_name` (FFmpeg's muxer) with tags.

    Some sounds are refused only when the file ends: then it is written once more, without. Raises MediaError where the
    pictures of either file cannot be read, and where the output cannot be written.
    """
    demuxers = [sniff(file.read(HEAD_BYTES)).name for file in (video, source)]
    start_s = read_timing(source, demuxers[1], limits, shown_only=True).start_s
    refusal: str | None = None
    while True:
        try:
            return _write(video, source, output, demuxers, format_name, metadata, limits, start_s, refusal)
        except MEMORY_ERRORS:
            raise
        except (av.error.FFmpegError, ValueError, OSError) as error:
            is_disk = getattr(error, "errno", None) in DISK_ERRORS
            if is_disk or refusal is not None or not _has_sound(source, demuxers[1]):
                hint = "is there room on the disk?" if is_disk else "try another suffix, such as .mkv"
                raise MediaError(f"the clip and its sound cannot be written: {one_line(error)}", hint) from error
            refusal = one_line(error)
            output.seek(0)
            output.truncate()


def _write(
    video: BinaryIO,
    source: BinaryIO,
    output: BinaryIO,
    demuxers: list[str],
    format_name: str,
    metadata: Mapping[str, str],
    limits: MediaLimits,
    start_s: float,
    refusal: str | None = None,
) -> SoundReport:
    with (
        open_container(video, demuxers[0]) as pictures,
        open_container(source, demuxers[1]) as container,
        av.open(output, "w", format=format_name) as joined,
    ):
        joined.metadata.update(metadata)
        sound = _Sound(container, format_name, limits, refusal)
        frames = video_stream(pictures)
        joined.options.update(_clock(frames, sound.streams) if format_name in ("mp4", "mov") else {})
        targets: dict[Stream, Stream] = {
            stream: joined.add_stream_from_template(stream) for stream in (frames, *sound.streams)
        }
        packets = sound.read()
        first = next(packets, None)
        earliest_s = start_s if first is None else min(start_s, first[0])
        moved_s = earliest_s if earliest_s > LATEST_START_S else 0.0
        rest = iter(()) if first is None else _moved(chain([first], packets), -moved_s)
        both = heapq.merge(_moved(_read_pictures(pictures, frames), start_s - moved_s), rest, key=lambda pair: pair[0])
        for _, packet in both:
            _mux(joined, packet, targets, sound)
    return sound.report(round(moved_s, 6))


def _mux(joined: OutputContainer, packet: Packet[Any], targets: dict[Stream, Stream], sound: _Sound) -> None:
    is_sound = packet.stream in sound.streams
    packet.stream = targets[packet.stream]
    try:
        joined.mux_one(packet)
    except PACKET_ERRORS:
        if not is_sound:
            raise
        sound.refused += 1
    else:
        sound.packets += is_sound


def _read_pictures(container: InputContainer, stream: Stream) -> Iterator[tuple[float, Packet[Any]]]:
    for packet in container.demux(stream):
        if packet.size:
            stamp = packet.dts if packet.dts is not None else packet.pts
            yield float((stamp or 0) * packet.time_base), packet


def _moved(packets: Iterator[tuple[float, Packet[Any]]], by_s: float) -> Iterator[tuple[float, Packet[Any]]]:
    for time_s, packet in packets:
        ticks = round(by_s / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        yield time_s + by_s, packet


def _clock(frames: Stream, sounds: Sequence[Stream]) -> dict[str, str]:
    """The clock in which MP4 and MOV note when each stream begins: by default milliseconds, which moves streams apart."""
    ticks = [stream.time_base.denominator for stream in (frames, *sounds) if stream.time_base]
    common = math.lcm(*ticks)
    return {"movie_timescale": str(common if common <= FINEST_CLOCK else ticks[0])}


def _holds(format_name: str, stream: AudioStream) -> bool:
    """Whether a file of this format may begin with such a stream: it depends on the codec, its rate and its header."""
    try:
        with av.open(io.BytesIO(), "w", format=format_name) as tried:
            tried.add_stream_from_template(stream)
            tried.start_encoding()
    except MEMORY_ERRORS:
        raise
    except (av.error.FFmpegError, ValueError, OSError):
        return False
    return True


def _has_sound(source: BinaryIO, demuxer: str) -> bool:
    with open_container(source, demuxer) as container:
        return bool(container.streams.audio)


def _codec_of(stream: AudioStream) -> str | None:
    context = stream.codec_context
    return None if context is None else context.codec.canonical_name
