"""What a file is, by its first bytes alone: its name is the sender's choice.

Only formats in these tables are ever handed to a decoder, each to the one decoder named here, so that a text that calls
itself a video (an `ffconcat` script, a playlist, an image pattern) is refused before FFmpeg sees it.
"""

from dataclasses import dataclass

from forensics.common.errors import MediaError

HEAD_BYTES = 4096
TS_PACKET = 188  # MPEG transport stream: a sync byte every 188 bytes
TS_SYNC = 0x47

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".flv", ".wmv",
     ".asf", ".ogv", ".vob"}
)  # fmt: skip
MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES

# First boxes that an ISO base media file may begin with (ISO/IEC 14496-12; QuickTime's older ones at the end).
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"styp", b"free", b"skip", b"wide", b"pnot")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"hevc")


@dataclass(frozen=True)
class Format:
    """A recognised format: `kind` is image or video, `name` is Pillow's format or FFmpeg's demuxer."""

    kind: str
    name: str


def sniff(head: bytes) -> Format:
    """The format of a file that begins with `head` (at least HEAD_BYTES, or the whole file).

    Raises MediaError for an empty file and for everything that is not in the tables.
    """
    if not head:
        raise MediaError("the file is empty", "check that the download or copy was completed")
    found = _image(head) or _video(head)
    if found is None:
        hint = "supported: JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF; MP4, MOV, MKV, WebM, AVI, MPEG, TS, FLV, WMV, OGV"
        if head.lstrip().startswith((b"ffconcat", b"#EXTM3U", b"file ")):
            raise MediaError("a playlist script, not a video: it would play other files", hint)
        raise MediaError("not a picture or video in a format that is read here", hint)
    return found


def _image(head: bytes) -> Format | None:
    signatures = (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"II*\x00", "TIFF"),
        (b"MM\x00*", "TIFF"),
    )
    for signature, name in signatures:
        if head.startswith(signature):
            return Format("image", name)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format("image", "WEBP")
    # "BM" alone begins many texts: the header's size field and its reserved zeros must fit too.
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) > 26:
        return Format("image", "BMP")
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS:
        return Format("image", "AVIF")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        raise MediaError("a HEIF/HEIC picture, which is not read here", "convert it to PNG without resizing")
    return None


def _video(head: bytes) -> Format | None:
    signatures = (
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"FLV\x01", "flv"),
        (b"OggS", "ogg"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    )
    for signature, name in signatures:
        if head.startswith(signature):
            return Format("video", name)
    if head[4:8] in _ISO_BOXES:
        return Format("video", "mov")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Format("video", "avi")
    for offset in (0, 4):  # plain, and Blu-ray's with a four-byte time code
        step = TS_PACKET + offset
        syncs = head[offset : offset + 4 * step : step]
        if len(syncs) >= 3 and all(byte == TS_SYNC for byte in syncs):
            return Format("video", "mpegts")
    return None


# Container by its bytes -> extensions that fit it.
_EXTENSIONS = {
    "jpeg": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "png": {".png"},
    "webp": {".webp"},
    "bmp": {".bmp"},
    "tiff": {".tif", ".tiff"},
    "gif": {".gif"},
    "avif": {".avif"},
    "mov": {".mp4", ".m4v", ".mov", ".3gp", ".qt"},
    "matroska": {".mkv", ".webm"},
    "avi": {".avi"},
    "mpegts": {".ts", ".mts", ".m2ts"},
    "mpeg": {".mpg", ".mpeg", ".vob"},
    "flv": {".flv"},
    "ogg": {".ogv", ".ogg"},
    "asf": {".wmv", ".asf"},
}


def extension_fits(suffix: str, container: str) -> bool | None:
    """Whether a file name's extension fits the container that its bytes show; None where either is unknown."""
    fitting = [extensions for name, extensions in _EXTENSIONS.items() if name in container.split(",")]
    if not suffix or not fitting:
        return None
    return suffix.lower() in fitting[0]
