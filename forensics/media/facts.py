"""What a file says beside its pixels: gathered in the decoding child, checked and read on this side.

    with MediaReader() as reader:
        facts, thumbnail = read_facts(reader, path)

The child answers with a message "facts" and, where the file holds a preview that can be decoded, a "sample" behind it,
which is checked as every picture from the child is. Packets travel packed (base64 of little-endian arrays): as JSON
numbers, MAX_PACKETS of them would fill the largest header by themselves.
Limits: of a picture everything is read into memory, as for decoding; of a clip only boxes and packets.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from forensics.common.errors import MediaError
from forensics.media.boxes import BoxReading, read_boxes
from forensics.media.facts_types import MAX_BOXES, MAX_PACKETS, MAX_TAGS, FileFacts, JpegFacts, PacketFacts, tag_text
from forensics.media.image import decode_image
from forensics.media.jpeg_markers import JpegReading, read_jpeg
from forensics.media.packets import read_packets
from forensics.media.sniff import HEAD_BYTES, Format, sniff
from forensics.media.tags import (
    MAX_XMP_BYTES,
    Tags,
    add_container_tags,
    add_encoder_tags,
    name_trailing,
    read_picture_tags,
    read_xmp,
)
from forensics.media.types import MediaLimits
from forensics.media.video import open_container, video_stream

if TYPE_CHECKING:
    from forensics.media.reader import MediaReader

T = TypeVar("T")
K = TypeVar("K")
# A preview is compared at this size at most; one that claims more pixels than this is none.
THUMBNAIL_PX = 512
MAX_THUMBNAIL_PIXELS = 1 << 24
# Of the reader's MAX_HEADER_BYTES (1 MiB), what each part may fill as JSON; packets take 0.49 MB at most, base64 and all.
BOXES_BYTES, TAGS_BYTES, PROBLEMS_BYTES = 250_000, 150_000, 40_000
MAX_PROBLEMS = 40
# Width, height, and three bytes of each pixel, behind JFIF's name, version and density (JFIF 1.02, page 5).
JFIF_THUMBNAIL = 12
JFXX_JPEG = 0x10


def read_facts(reader: "MediaReader", path: Path) -> tuple[FileFacts, NDArray[np.uint8] | None]:
    """What a file says of itself, and the preview inside it, as stored: (h, w, 3) uint8 RGB, at most THUMBNAIL_PX a side.

    Raises MediaError for a file that is in no known format, cannot be opened, or is beyond the reader's limits; what is
    damaged is said in `problems`.
    """
    answers = reader.answers(path, {"facts": True})
    header, _ = answers.receive()
    try:
        if header.get("type") != "facts":
            raise ValueError(f"a message '{tag_text(str(header.get('type')))}'")
        facts = facts_of_header(header)
    except (ValueError, TypeError, KeyError) as error:  # pydantic's and base64's are ValueErrors
        raise answers.failure("the decoder sent an unreadable description") from error
    if header.get("has_thumbnail") is not True:
        return facts, None
    message, thumbnail = answers.receive()
    if message.get("type") != "sample" or thumbnail is None or max(thumbnail.shape[:2]) > THUMBNAIL_PX:
        raise answers.failure("the decoder sent a preview that is none")
    return facts, thumbnail


def header_of_facts(facts: FileFacts) -> dict[str, Any]:
    """The child's message, below the reader's MAX_HEADER_BYTES: boxes, tags and problems beyond their part are left out,
    which the problems say."""
    boxes = _fitting([asdict(box) for box in facts.boxes], BOXES_BYTES)
    tags = dict(_fitting(list(facts.tags.items())[:MAX_TAGS], TAGS_BYTES))
    left_out = [
        f"{count} {name} are left out: too long"
        for count, name in ((len(facts.boxes) - len(boxes), "boxes"), (len(facts.tags) - len(tags), "tags"))
        if count
    ]
    problems = _fitting([*left_out, *facts.problems][:MAX_PROBLEMS], PROBLEMS_BYTES)
    return {
        "type": "facts",
        **asdict(replace(facts, boxes=(), tags={}, packets=None, problems=())),
        "boxes": boxes,
        "tags": tags,
        "problems": problems,
        "packets": None if facts.packets is None else _packed(facts.packets),
    }


def facts_of_header(header: Mapping[str, Any]) -> FileFacts:
    """The facts of a child's message, every field checked against its declared type. Raises ValueError or TypeError."""
    fields = {name: value for name, value in header.items() if name not in ("type", "has_thumbnail", "h", "w")}
    json.dumps(fields, allow_nan=False, ensure_ascii=False).encode("utf-8")  # it must fit into a record
    packed = fields.pop("packets", None)
    facts = TypeAdapter(FileFacts).validate_python({**fields, "packets": None})
    if len(facts.boxes) > MAX_BOXES or len(facts.tags) > MAX_TAGS:
        raise ValueError("more than is ever kept")
    return facts if packed is None else replace(facts, packets=_unpacked(packed))


def gather_facts(file: BinaryIO, limits: MediaLimits) -> tuple[FileFacts, NDArray[np.uint8] | None]:
    """The child's half: read an open file. Raises MediaError where `sniff` does, and MemoryError at the limit."""
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    size_bytes = file.seek(0, 2)
    if found.kind == "image":
        return _of_picture(file, found, size_bytes)
    return _of_clip(file, found, size_bytes, limits), None


def _of_picture(file: BinaryIO, found: Format, size_bytes: int) -> tuple[FileFacts, NDArray[np.uint8] | None]:
    file.seek(0)
    data = file.read()
    tags = read_picture_tags(data, found.name)
    jpeg, thumbnail, boxes = None, None, BoxReading((), ())
    if found.name == "JPEG":
        reading = read_jpeg(data)
        jpeg = reading.facts
        thumbnail = _add_jpeg(reading, tags)
    elif found.name == "AVIF":
        boxes = read_boxes(file)
        _add_user_boxes(file, boxes, tags)
    thumbnail = _decoded(tags.thumbnail, tags) if thumbnail is None else thumbnail
    return _facts(found.name.lower(), size_bytes, tags, boxes, jpeg, None), thumbnail


def _of_clip(file: BinaryIO, found: Format, size_bytes: int, limits: MediaLimits) -> FileFacts:
    tags = Tags()
    boxes, packets = BoxReading((), ()), None
    if found.name == "mov":
        boxes = read_boxes(file)
        _add_user_boxes(file, boxes, tags)
    try:
        with open_container(file, found.name) as container:
            add_container_tags(container, tags)
            stream = video_stream(container)
            if stream.codec_context.width * stream.codec_context.height <= limits.max_pixels:
                reading = read_packets(container, stream)
                packets = reading.facts
                add_encoder_tags(reading.head, tags)
                tags.problems += reading.problems
    except MediaError as error:  # its boxes may still say something
        tags.problems.append(error.message)
    return _facts(found.name, size_bytes, tags, boxes, None, packets)


def _facts(
    container: str,
    size_bytes: int,
    tags: Tags,
    boxes: BoxReading,
    jpeg: JpegFacts | None,
    packets: PacketFacts | None,
) -> FileFacts:
    problems = tuple(tag_text(problem) for problem in (*boxes.problems, *tags.problems))
    return FileFacts(
        container=container,
        size_bytes=size_bytes,
        orientation=tags.orientation,
        tags=tags.texts,
        boxes=boxes.boxes,
        jpeg=jpeg,
        packets=packets,
        c2pa_bytes=tags.c2pa_bytes,
        problems=problems,
    )


def _add_jpeg(reading: JpegReading, tags: Tags) -> NDArray[np.uint8] | None:
    """Tags of a JPEG's own segments; its JFIF preview where it has no other."""
    tags.c2pa_bytes = reading.c2pa_bytes
    tags.problems += reading.problems
    for comment in reading.payloads.get("COM", [])[:1]:
        tags.add("jpeg.comment", comment)
    if irb := reading.payloads.get("Photoshop"):
        tags.add("photoshop.resources", f"{sum(map(len, irb))} bytes")
    for name in ("Ducky", "Adobe", "MPF"):
        if name in reading.payloads:
            tags.add(f"jpeg.{name}", "present")
    for packet in reading.payloads.get("XMP", []):
        read_xmp(packet, tags)
    if reading.trailing:
        tags.add("jpeg.trailing", name_trailing(reading.trailing))
    if tags.thumbnail:
        return None
    for payload in reading.payloads.get("JFXX", []):
        if payload[5:6] == bytes([JFXX_JPEG]):
            tags.thumbnail = payload[6:]
    jfif = reading.payloads.get("JFIF", [b""])[0]
    width, height = (jfif[JFIF_THUMBNAIL], jfif[JFIF_THUMBNAIL + 1]) if len(jfif) > JFIF_THUMBNAIL + 1 else (0, 0)
    raw = jfif[JFIF_THUMBNAIL + 2 : JFIF_THUMBNAIL + 2 + 3 * width * height]
    if not raw or len(raw) < 3 * width * height:
        return None
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)


def _add_user_boxes(file: BinaryIO, boxes: BoxReading, tags: Tags) -> None:
    """What the uuid boxes of XMP and C2PA hold: the first is searched, of the second the size is noted."""
    for box in boxes.boxes:
        if box.fields.get("holds") == "C2PA":
            tags.c2pa_bytes += box.size
        is_xmp = box.fields.get("holds") == "XMP" or box.path.endswith("udta/XMP_")
        if is_xmp:
            file.seek(box.offset)
            read_xmp(file.read(min(box.size, MAX_XMP_BYTES)), tags)


def _decoded(raw: bytes, tags: Tags) -> NDArray[np.uint8] | None:
    """A preview's pixels, reduced to THUMBNAIL_PX; None, with a problem noted, where they cannot be decoded."""
    if not raw:
        return None
    try:
        _, pixels, _ = decode_image(raw, sniff(raw[:HEAD_BYTES]), MediaLimits(max_pixels=MAX_THUMBNAIL_PIXELS))
    except MediaError as error:
        tags.problems.append(f"the preview inside the file: {error.message}")
        return None
    longest = max(pixels.shape[:2])
    if longest <= THUMBNAIL_PX:
        return pixels
    height, width = (max(1, round(side * THUMBNAIL_PX / longest)) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _fitting(items: Sequence[T], max_bytes: int) -> list[T]:
    """The first items, as many as fit as JSON."""
    kept, used = [], 0
    for item in items:
        used += len(json.dumps(item)) + 2  # and the comma
        if used > max_bytes:
            break
        kept.append(item)
    return kept


def _packed(packets: PacketFacts) -> dict[str, Any]:
    arrays = {
        "times_s": np.array(packets.times_s, "<f8"),
        "sizes": np.array(packets.sizes, "<u4"),
        "is_key": np.packbits(np.array(packets.is_key, bool)),
    }
    texts = {name: base64.b64encode(array.tobytes()).decode("ascii") for name, array in arrays.items()}
    return {"count": len(packets.sizes), "is_cut_short": packets.is_cut_short, **texts}


def _unpacked(packed: Mapping[str, Any]) -> PacketFacts:
    count = packed["count"]
    if not isinstance(count, int) or not 0 < count <= MAX_PACKETS:
        raise ValueError("a number of packets that cannot be")
    times, sizes, bits = (
        np.frombuffer(base64.b64decode(packed[name], validate=True), kind)
        for name, kind in (("times_s", "<f8"), ("sizes", "<u4"), ("is_key", "u1"))
    )
    if len(times) != count or len(sizes) != count or len(bits) != (count + 7) // 8 or not np.isfinite(times).all():
        raise ValueError("packets that contradict their number")
    keys = np.unpackbits(bits)[:count].astype(bool)
    fields = {"times_s": times.tolist(), "sizes": sizes.tolist(), "is_key": keys.tolist()}
    return TypeAdapter(PacketFacts).validate_python({**fields, "is_cut_short": packed["is_cut_short"]})
