"""What a file says of its own making: EXIF, XMP, texts of PNG, comments, metadata of clips, an encoder's signature.

Exif 2.32 (CIPA DC-008, 2019); XMP Specification Part 1 (2012) and 3 (2020); PNG, third edition (W3C 2022), 11.3.3;
C2PA Technical Specification 2.1, A.3 (a manifest store in PNG is the chunk caBX). The x264 and x265 encoders leave their
options as unregistered user data (ITU-T H.264, D.1.6) in the first packet.

Runs in the decoding child, on bytes that an adversary made: every text is bounded and made printable, XMP is searched for
a few attributes and never parsed as XML, compressed texts are unpacked up to a limit.
Limits: maker notes are not read; of EXIF's GPS only that it is there; IPTC records are not read.
"""

import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from av.container import InputContainer
from PIL import ExifTags, Image

from forensics.media.facts_types import MAX_TAGS, tag_text

MAX_VALUES = 8  # of a list in EXIF: lens specifications have four
MAX_XMP_BYTES = 1 << 18  # a history of edits comes before this; masks of a raw developer behind it
MAX_TEXT_BYTES = 1 << 16  # of an unpacked PNG text: a ComfyUI workflow is about this long
MAX_PNG_CHUNKS = 100_000
MAX_PROBLEMS = 20
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_XMP = "XML:com.adobe.xmp"
ORIENTATION, MAKER_NOTE, USER_COMMENT = 0x0112, 0x927C, 0x9286
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202
# Directories' offsets, and blobs that say nothing as text: XMP, IPTC, Photoshop's, ICC's, maker notes, Exif, GPS.
UNREADABLE_TAGS = frozenset({0x02BC, 0x83BB, 0x8649, 0x8773, 0x8769, 0x8825, MAKER_NOTE, 0xA005})

# Attributes or elements, of any namespace prefix; DigitalSourceType is IPTC's word for pictures by generative models.
XMP_NAMES = (
    "CreatorTool",
    "softwareAgent",
    "DocumentID",
    "OriginalDocumentID",
    "DigitalSourceType",
    "Credit",
)
XMP_PATTERNS = {
    name: re.compile(
        rb"[:<]%b\s{0,4}(?:=\s{0,4}[\"']([^\"']{1,400})[\"']|[^<>]{0,400}>\s{0,64}([^<>]{1,400})<)" % name.encode()
    )
    for name in XMP_NAMES
}
DERIVED_FROM = re.compile(rb"stRef:documentID\s{0,4}(?:=\s{0,4}[\"']([^\"']{1,400})[\"']|>([^<>]{1,400})<)")

# How Stable Diffusion's front ends end their `parameters`: the prompt before it may be longer than what is kept.
GENERATION_SETTINGS = re.compile(r"Steps: \d{1,4}, (?:Sampler|CFG|Schedule|Size|Seed)")
# The encoders' own signatures in the first packets, or in the codec's header.
SIGNATURE = re.compile(
    rb"(x264 - core \d{1,5}[ -~]{0,1200}|x265 \(build \d{1,5}\)[ -~]{0,1600}"
    rb"|Lavc[\d.]{2,20}|XviD\d{4}|DivX\d{3,6}[ -~]{0,10})"
)
ENCODER_OPTIONS = ("crf", "qp", "bitrate", "keyint", "min-keyint", "scenecut", "bframes", "rc", "ref", "open_gop")


@dataclass(eq=False)
class Tags:
    """What was read: texts by name (`exif.Software`), EXIF's orientation, the preview's bytes (a file of its own), bytes
    of a C2PA manifest store, and what does not follow a standard."""

    texts: dict[str, str] = field(default_factory=dict)
    orientation: int = 1
    thumbnail: bytes = b""
    c2pa_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: str | bytes) -> None:
        """Keep one text, the first of its name, while there is room."""
        key, text = tag_text(name)[:60], tag_text(value)
        if text and key not in self.texts and len(self.texts) < MAX_TAGS:
            self.texts[key] = text

    def try_to(self, what: str, step: Callable[[], None]) -> None:
        """Do one step; where it fails on what the sender wrote, note that and go on."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                step()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  (a parser of attacker-made metadata may fail in any way)
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(f"{what} cannot be read: {tag_text(str(error)) or type(error).__name__}"[:200])


def read_picture_tags(data: bytes, image_format: str) -> Tags:
    """Tags of a picture of a known format (Pillow's name); nothing of its pixels is decoded. Raises MemoryError only."""
    tags = Tags()
    if image_format == "PNG":
        _read_png(data, tags)
    tags.try_to("the header", lambda: _read_with_pillow(data, image_format, tags))
    return tags


def _read_with_pillow(data: bytes, image_format: str, tags: Tags) -> None:
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded here
    with Image.open(io.BytesIO(data), formats=[image_format]) as picture:
        tags.try_to("EXIF", lambda: _read_exif(picture, tags))
        tags.try_to("the EXIF thumbnail", lambda: _read_thumbnail(picture, tags))
        if isinstance(xmp := picture.info.get("xmp"), bytes | str):
            read_xmp(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp, tags)
        comment = picture.info.get("comment")
        if isinstance(comment, bytes | str):
            tags.add(f"{image_format.lower()}.comment", comment)


def _read_exif(picture: Image.Image, tags: Tags) -> None:
    exif = picture.getexif()
    orientation = exif.get(ORIENTATION, 1)
    tags.orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    block = picture.info.get("exif")
    if isinstance(block, bytes) and block and not len(exif):  # Pillow passes over what it cannot read
        tags.problems.append(f"EXIF of {len(block)} bytes holds no tag that can be read")
    photograph = exif.get_ifd(ExifTags.IFD.Exif)
    for number, value in (*exif.items(), *photograph.items()):
        if number not in UNREADABLE_TAGS:
            _add_exif(number, value, tags)
    if exif.get_ifd(ExifTags.IFD.GPSInfo):
        tags.add("exif.GPS", "present")
    if MAKER_NOTE in photograph:
        tags.add("exif.MakerNote", "present")


def _add_exif(number: int, value: object, tags: Tags) -> None:
    name = f"exif.{ExifTags.TAGS.get(number, f'0x{number:04X}')}"
    if number == USER_COMMENT and isinstance(value, bytes):
        value = _user_comment(value[:MAX_TEXT_BYTES])
        _add_settings(value, tags)
    if isinstance(value, tuple | list):
        value = ", ".join(str(item) for item in value[:MAX_VALUES])
    tags.add(name, value if isinstance(value, bytes) else str(value))


def _user_comment(raw: bytes) -> str:
    """Eight bytes name the character code (Exif 2.32, 4.6.5); UTF-16 comes in either order, whatever the header says."""
    code, text = raw[:8], raw[8:]
    if code == b"UNICODE\0":
        return text.decode("utf-16-le" if text[1:2] == b"\0" else "utf-16-be", "replace")
    return (text if code in (b"ASCII\0\0\0", b"\0" * 8) else raw).decode("utf-8", "replace")


def _add_settings(text: str, tags: Tags) -> None:
    found = GENERATION_SETTINGS.search(text)
    if found:
        tags.add("generation.settings", text[found.start() :])


def _read_thumbnail(picture: Image.Image, tags: Tags) -> None:
    """The preview of the second directory lies in the EXIF block, at an offset from its TIFF header."""
    block = picture.info.get("exif")
    if not isinstance(block, bytes):
        return
    second = picture.getexif().get_ifd(ExifTags.IFD.IFD1)
    offset, length = second.get(THUMBNAIL_OFFSET), second.get(THUMBNAIL_LENGTH)
    if isinstance(offset, int) and isinstance(length, int) and offset > 0 and length > 0:
        block = block.removeprefix(b"Exif\0\0")
        tags.thumbnail = block[offset : offset + length]


def read_xmp(raw: bytes, tags: Tags) -> None:
    """A few attributes of a packet of XMP, the different values of each; its first MAX_XMP_BYTES are searched."""
    raw = raw[:MAX_XMP_BYTES]
    patterns = {**XMP_PATTERNS, "DerivedFrom": DERIVED_FROM}
    for name, pattern in patterns.items():
        values = (a or b for a, b in pattern.findall(raw))
        different = dict.fromkeys(text for value in values if (text := tag_text(value)))
        tags.add(f"xmp.{name}", "; ".join(list(different)[:MAX_VALUES]))


def _read_png(data: bytes, tags: Tags) -> None:
    for kind, chunk in _png_chunks(data, tags):
        if kind == b"caBX":
            tags.c2pa_bytes += len(chunk)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            tags.try_to("a PNG text", lambda kind=kind, chunk=chunk: _add_png_text(kind, chunk, tags))  # type: ignore[misc]


def _png_chunks(data: bytes, tags: Tags) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of every chunk but the pixels'; what follows the end is noted."""
    position = len(PNG_START)
    for _ in range(MAX_PNG_CHUNKS):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        start = position + 8
        if len(kind) < 4 or start + length > len(data):
            tags.problems.append("the PNG ends before its end chunk")
            return
        position = start + length + 4
        if kind == b"IEND":
            if len(data) > position:
                tags.add("png.trailing", f"{len(data) - position} bytes, {name_trailing(data[position:])}")
            return
        if kind != b"IDAT":
            yield kind, data[start : start + length]


def _add_png_text(kind: bytes, chunk: bytes, tags: Tags) -> None:
    keyword, _, rest = chunk.partition(b"\0")
    if kind == b"zTXt":
        rest = _unpacked(rest[1:])
    elif kind == b"iTXt":
        is_packed, rest = rest[:1] == b"\x01", rest[2:].split(b"\0", 2)[-1]
        rest = _unpacked(rest) if is_packed else rest
    name = tag_text(keyword.decode("latin-1"))
    if name == PNG_XMP:
        read_xmp(rest, tags)
        return
    text = rest[:MAX_TEXT_BYTES].decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")
    _add_settings(text, tags)
    tags.add(f"png.{name}", text)


def _unpacked(raw: bytes) -> bytes:
    return zlib.decompressobj().decompress(raw, MAX_TEXT_BYTES)


def name_trailing(raw: bytes) -> str:
    """What bytes behind a picture's end are, in a word or two; `unknown` where nothing known begins them."""
    if not raw.strip(b"\0"):
        return "zeros"
    known = (
        (b"\xff\xd8\xff", "JPEG"),
        (b"PK\x03\x04", "archive"),
        (b"Rar!\x1a\x07", "archive"),
        (b"7z\xbc\xaf\x27\x1c", "archive"),
        (b"%PDF", "PDF"),
    )
    start = raw.lstrip(b"\0")
    for signature, name in known:
        if start.startswith(signature):
            return name
    # Samsung's trailer ends in SEFT; a motion photo is an MP4.
    if raw.rstrip(b"\0").endswith(b"SEFT"):
        return "Samsung trailer"
    return "video" if raw[4:8] == b"ftyp" or b"ftypmp4" in raw[:4096] else "unknown"


def add_container_tags(container: InputContainer, tags: Tags) -> None:
    """Metadata of a clip and of its first stream of each kind, with the streams' codecs."""
    for name, text in container.metadata.items():
        tags.add(f"container.{name}", text)
    for kind, streams in (("video", container.streams.video), ("audio", container.streams.audio)):
        for stream in streams[:1]:
            context = stream.codec_context
            if context is not None:
                tags.add(f"{kind}.codec", context.name)
            for name, text in stream.metadata.items():
                tags.add(f"{kind}.{name}", text)


def add_encoder_tags(head: bytes, tags: Tags) -> None:
    """An encoder's signature in the first packets' bytes: `video.signature`, and its options (`video.x264.crf`)."""
    found = SIGNATURE.search(head)
    if found is None:
        return
    words = found[0].decode("ascii", "replace")
    tags.add("video.signature", words.split(" - H.26")[0])
    name = words[:4].lower()
    if name in ("x264", "x265"):
        for option in ENCODER_OPTIONS:
            value = re.search(rf"(?:^|\s){option}=(\S{{1,40}})", words)
            if value:
                tags.add(f"video.{name}.{option}", value[1])
