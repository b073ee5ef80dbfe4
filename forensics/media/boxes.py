"""The boxes of an ISO base media file (MP4, MOV, AVIF), read by seeking: headers, and a few fields of the small ones.

ISO/IEC 14496-12 (2022): 4.2 (a box's header), 8.2.2 mvhd, 8.3.2 tkhd, 8.4.2 mdhd, 8.4.3 hdlr, 8.5.2 stsd, 8.6.6 elst;
Apple, QuickTime File Format (2016), "User Data Atoms" and "Metadata"; XMP Specification Part 3 (2020), 1.1.6 and C2PA
Technical Specification 2.1, A.3 for the user types of their uuid boxes.

Limits: nothing of the media data is read, sample tables are not followed, and a file that contradicts itself is read as
far as that goes: what was read is given, with the contradictions in words.
"""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from forensics.media.facts_types import MAX_BOXES, Box, tag_text

# Real files nest seven deep (moov/trak/mdia/minf/dinf/dref/url).
MAX_DEPTH = 12
# The longest box whose fields are read is a sample description: a few hundred bytes with its extensions.
MAX_FIELD_BYTES = 4096
MAX_PROBLEMS = 20
MAX_LISTED = 8  # entries of an edit list, brands, keys
HEADER, LARGE_HEADER, USER_TYPE = 8, 16, 16
# Times are seconds since then (14496-12, 8.2.2.3).
EPOCH = datetime(1904, 1, 1, tzinfo=UTC)

CONTAINERS = frozenset(
    {"moov", "trak", "edts", "mdia", "minf", "stbl", "dinf", "udta", "mvex", "moof", "traf", "mfra", "meta", "ilst"}
)
USER_TYPES = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "XMP",
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481"): "C2PA",
}


@dataclass(frozen=True)
class BoxReading:
    """What was read: boxes in the order of the file, and what does not follow the standard, one line each."""

    boxes: tuple[Box, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Span:
    """Bytes start .. end of the file, which hold the children of `path`."""

    path: str
    start: int
    end: int
    depth: int


def read_boxes(file: BinaryIO) -> BoxReading:
    """Read the boxes of a seekable file: at most MAX_BOXES, those of the top level first, MAX_DEPTH levels deep.

    Raises nothing for what the file holds, and OSError where it cannot be read.
    """
    end = file.seek(0, 2)
    spans = deque([_Span("", 0, end, 0)])
    boxes: list[Box] = []
    problems: list[str] = []
    while spans and len(boxes) < MAX_BOXES:
        span = spans.popleft()
        position = span.start
        while position < span.end and len(boxes) < MAX_BOXES:
            read = _read_box(file, span, position, problems)
            if read is None:
                break
            box, inside = read
            boxes.append(box)
            if inside is not None and inside.depth > MAX_DEPTH:
                problems.append(f"boxes nest deeper than {MAX_DEPTH} at byte {position}")
            elif inside is not None:
                spans.append(inside)
            position += box.size
    if len(boxes) == MAX_BOXES:
        problems.insert(0, f"only the first {MAX_BOXES} boxes were read")
    return BoxReading(tuple(sorted(boxes, key=lambda box: box.offset)), tuple(problems[:MAX_PROBLEMS]))


def _read_box(file: BinaryIO, span: _Span, position: int, problems: list[str]) -> tuple[Box, _Span | None] | None:
    """The box at `position` and, where it holds boxes, their span; None where there is no box."""
    room = span.end - position
    file.seek(position)
    head = file.read(min(LARGE_HEADER, room))
    where = f"in {span.path or 'the file'} at byte {position}"
    if len(head) < HEADER:
        if head.strip(b"\0"):  # user data may end with a zero of 32 bits (QuickTime)
            problems.append(f"{room} bytes {where} are no box")
        return None
    size, kind = struct.unpack(">I4s", head[:HEADER])
    header = HEADER
    if size == 1 and len(head) == LARGE_HEADER:
        size, header = int.from_bytes(head[HEADER:], "big"), LARGE_HEADER
    elif size == 0:
        if span.path and kind == b"\0\0\0\0":
            return None
        if span.path:
            problems.append(f"a box {where} says that it reaches to the end of the file")
        size = room
    if size < header:
        problems.append(f"a box {where} says that it has {size} bytes")
        return None
    if size > room:
        problems.append(f"a box {where} says that it has {size} bytes, {room} are there")
        size = room
    name = _name(kind)
    path = f"{span.path}/{name}" if span.path else name
    file.seek(position + header)
    payload = file.read(min(size - header, MAX_FIELD_BYTES)) if _has_fields(name, span.path) else b""
    try:
        fields = _fields(name, span.path, payload)
    except (struct.error, IndexError, ValueError):
        problems.append(f"the fields of {path} at byte {position} are cut off")
        fields = {}
    inside = None
    if name in CONTAINERS and size > header:
        skipped = header + (4 if name == "meta" and payload[4:8] != b"hdlr" else 0)  # QuickTime's has no version
        inside = _Span(path, position + min(skipped, size), position + size, span.depth + 1)
    return Box(path, position, size, fields), inside


def _name(kind: bytes) -> str:
    """Four characters, or #n for the numbered entries of QuickTime's metadata."""
    if kind[:2] == b"\0\0" and kind[2:] != b"\0\0":
        return f"#{int.from_bytes(kind, 'big')}"
    return "".join(
        c if c.isprintable() and c not in "/ " else "\N{REPLACEMENT CHARACTER}" for c in kind.decode("latin-1")
    )


def _has_fields(name: str, parent: str) -> bool:
    return name in READERS or name == "meta" or _holds_text(name, parent)


def _holds_text(name: str, parent: str) -> bool:
    return parent.endswith("ilst") or (parent.endswith("udta") and name.startswith("\N{COPYRIGHT SIGN}"))


def _fields(name: str, parent: str, payload: bytes) -> dict[str, str]:
    if _holds_text(name, parent):
        return _text_fields(payload)
    reader = READERS.get(name)
    return reader(payload) if reader is not None else {}


def _text_fields(payload: bytes) -> dict[str, str]:
    """iTunes: a box `data` with type and locale before the text. QuickTime: length and language (two bytes each)."""
    if payload[4:8] == b"data":
        length = int.from_bytes(payload[:4], "big")
        is_text = payload[8:12] == b"\0\0\0\x01"
        return {"text": tag_text(payload[16 : max(16, length)])} if is_text else {}
    if len(payload) < 4:
        return {}
    return {"text": tag_text(payload[4 : 4 + int.from_bytes(payload[:2], "big")])}


def _file_type(payload: bytes) -> dict[str, str]:
    brands = [_name(payload[i : i + 4]) for i in range(8, min(len(payload) - 3, 8 + 4 * MAX_LISTED), 4)]
    (minor,) = struct.unpack_from(">I", payload, 4)
    return {"major_brand": _brand(payload[:4]), "minor_version": str(minor), "compatible_brands": " ".join(brands)}


def _brand(raw: bytes) -> str:
    return tag_text(raw.decode("latin-1"))


def _movie_header(payload: bytes) -> dict[str, str]:
    created, modified, timescale, duration = struct.unpack_from(">QQIQ" if payload[0] == 1 else ">IIII", payload, 4)
    fields = _times(created, modified) | {"timescale": str(timescale), "duration": str(duration)}
    if timescale and not _is_unknown(duration, payload[0]):
        fields["duration_s"] = f"{duration / timescale:.3f}"
    return fields


def _track_header(payload: bytes) -> dict[str, str]:
    is_long = payload[0] == 1
    created, modified, track, _, duration = struct.unpack_from(">QQIIQ" if is_long else ">IIIII", payload, 4)
    width, height = struct.unpack_from(">II", payload, 88 if is_long else 76)
    sizes = {"width": f"{width / 65536:g}", "height": f"{height / 65536:g}"}
    return _times(created, modified) | {"track": str(track), "duration": str(duration)} | sizes


def _times(created: int, modified: int) -> dict[str, str]:
    """Zero means that no time was set."""
    named = {"creation_time": created, "modification_time": modified}
    return {name: _utc(seconds) for name, seconds in named.items() if seconds}


def _utc(seconds: int) -> str:
    try:
        return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return f"{seconds} s after 1904"


def _is_unknown(duration: int, version: int) -> bool:
    return duration == (1 << (64 if version == 1 else 32)) - 1  # all ones (8.2.2.3)


def _handler(payload: bytes) -> dict[str, str]:
    raw = payload[24:]
    if raw and raw[0] == len(raw) - 1:  # QuickTime counts the characters in front of them
        raw = raw[1:]
    return {"handler_type": _brand(payload[8:12]), "name": tag_text(raw.split(b"\0")[0])}


def _edit_list(payload: bytes) -> dict[str, str]:
    (count,) = struct.unpack_from(">I", payload, 4)
    entry = struct.Struct(">QqI" if payload[0] == 1 else ">IiI")
    fields = {"entries": str(count)}
    for number in range(min(count, MAX_LISTED, (len(payload) - 8) // entry.size)):
        duration, media_time, rate = entry.unpack_from(payload, 8 + number * entry.size)
        fields[f"entry_{number}"] = f"duration {duration}, media time {media_time}, rate {rate / 65536:g}"
    return fields


def _sample_description(payload: bytes) -> dict[str, str]:
    count, _, codec = struct.unpack_from(">II4s", payload, 4)
    fields = {"entries": str(count), "codec": _brand(codec)}
    # A visual sample entry (12.1.3): 8 bytes of header, 24 of reserved fields, then the size; the encoder's name at 50.
    if len(payload) >= 8 + 82:
        fields["compressor"] = tag_text(payload[8 + 51 : 8 + 51 + min(payload[8 + 50], 31)])
    return fields


def _keys(payload: bytes) -> dict[str, str]:
    """Names of QuickTime's metadata entries #1, #2, ..."""
    fields: dict[str, str] = {}
    position = 8
    while position + 8 <= len(payload) and len(fields) < 4 * MAX_LISTED:
        size = int.from_bytes(payload[position : position + 4], "big")
        if size < 8:
            break
        fields[f"#{len(fields) + 1}"] = tag_text(payload[position + 8 : position + size])
        position += size
    return fields


def _user_type(payload: bytes) -> dict[str, str]:
    kind = payload[:USER_TYPE]
    return {"uuid": kind.hex(), "holds": USER_TYPES.get(kind, "")}


READERS: dict[str, Callable[[bytes], dict[str, str]]] = {
    "ftyp": _file_type,
    "styp": _file_type,
    "mvhd": _movie_header,
    "mdhd": _movie_header,
    "tkhd": _track_header,
    "hdlr": _handler,
    "elst": _edit_list,
    "stsd": _sample_description,
    "keys": _keys,
    "uuid": _user_type,
}
