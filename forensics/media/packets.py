"""The packets of a clip's video stream: when each is shown, its size, whether it is a key frame. Nothing is decoded.

Runs in the decoding child. Limits: the types of inter-coded frames (P, B) lie inside the packets and are not read; a stream
whose packets carry no presentation time (AVI) gets decoding times.
"""

from dataclasses import dataclass

import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from forensics.media.facts_types import MAX_PACKETS, PacketFacts
from forensics.media.video import MEMORY_ERRORS, one_line

# Encoders put their signature into the first access unit; the rest of it is pixels.
HEAD_PACKETS, HEAD_BYTES = 3, 1 << 15


@dataclass(frozen=True)
class PacketReading:
    """facts: None where there is no packet. head: the first bytes of the codec's header and of the first packets."""

    facts: PacketFacts | None
    head: bytes
    problems: tuple[str, ...]


def read_packets(container: InputContainer, stream: VideoStream) -> PacketReading:
    """Packets of an open clip, at most MAX_PACKETS. Raises MemoryError; other errors end the list and are noted."""
    times: list[float] = []
    sizes: list[int] = []
    keys: list[bool] = []
    problems: list[str] = []
    head = bytearray((stream.codec_context.extradata or b"")[:HEAD_BYTES])
    base = float(stream.time_base or 0)
    untimed = 0
    is_cut_short = False
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if len(sizes) == MAX_PACKETS:
                is_cut_short = True
                break
            if len(sizes) < HEAD_PACKETS:
                head += bytes(packet)[:HEAD_BYTES]
            stamp = packet.pts if packet.pts is not None else packet.dts
            untimed += stamp is None
            times.append(stamp * base if stamp is not None else times[-1] if times else 0.0)
            sizes.append(packet.size)
            keys.append(bool(packet.is_keyframe))
    except MEMORY_ERRORS as error:
        raise MemoryError from error
    except (av.error.FFmpegError, ValueError, OSError) as error:
        problems.append(f"packets after the first {len(sizes)} cannot be read: {one_line(error)}")
    if untimed:
        problems.append(f"{untimed} of {len(sizes)} packets have no time")
    if not sizes:
        problems.append("the video stream has no packets that can be read")
        return PacketReading(None, bytes(head), tuple(problems))
    start = min(times)
    facts = PacketFacts(tuple(round(time - start, 6) for time in times), tuple(sizes), tuple(keys), is_cut_short)
    return PacketReading(facts, bytes(head), tuple(problems))
