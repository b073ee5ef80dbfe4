"""What a file says beside its pixels, as the decoding child tells it: boxes, markers, tables, tags, packets.

Nothing here is believed: every text is the sender's. Lists are cut at stated lengths, and say so.
"""

from dataclasses import dataclass

from forensics.common.text import terminal_line

# What is kept of a file that has more; a record must stay readable, and one message of the child has a size limit.
MAX_BOXES = 2_000
MAX_MARKERS = 500
MAX_TAGS = 200
MAX_TAG_CHARACTERS = 200
MAX_PACKETS = 30_000


def tag_text(raw: str | bytes) -> str:
    """A text of a file as it is kept: one printable line of at most MAX_TAG_CHARACTERS, "..." where it was longer."""
    # Four bytes are the most that one character of UTF-8 takes.
    text = raw[: 4 * MAX_TAG_CHARACTERS].decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    line = " ".join(text[: 4 * MAX_TAG_CHARACTERS].replace("\0", " ").split())
    line = terminal_line(line)
    return line if len(line) <= MAX_TAG_CHARACTERS else line[: MAX_TAG_CHARACTERS - 3] + "..."


@dataclass(frozen=True)
class Box:
    """A box of an ISO base media file (ISO/IEC 14496-12, 4.2): `path` names it with those around it, `moov/trak/mdia`.

    offset and size in bytes, header included. fields: what was read inside it, by name, as text.
    """

    path: str
    offset: int
    size: int
    fields: dict[str, str]

    @property
    def kind(self) -> str:
        """Its own four characters."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Marker:
    """A segment of a JPEG file before its first scan: `name` as T.81 has it (APP1, DQT, SOF0), `holds` what it carries
    where that is known (Exif, XMP, ICC, Photoshop, JFIF, Adobe, JUMBF, MPF), else empty."""

    name: str
    offset: int
    size: int
    holds: str


@dataclass(frozen=True)
class JpegFacts:
    """What a JPEG's encoder chose. Tables are 64 numbers in row order; quality 1 .. 100 is the nearest of the IJG's scaled
    tables, `misfit` how far that is (mean absolute difference of the luma table). trailing_bytes: behind the end marker;
    end_markers: that one and those among the trailing bytes (0: the picture never ends).
    """

    width: int
    height: int
    tables: tuple[tuple[int, ...], ...]  # luma first, then chroma where there is one
    quality: int | None
    misfit: float | None
    subsampling: str
    is_progressive: bool
    markers: tuple[Marker, ...]
    trailing_bytes: int
    end_markers: int = 1


@dataclass(frozen=True)
class PacketFacts:
    """The packets of the video stream in the order of the file: presentation times in seconds from the first frame's,
    sizes in bytes, whether each is a key frame. is_cut_short: there are more than MAX_PACKETS."""

    times_s: tuple[float, ...]
    sizes: tuple[int, ...]
    is_key: tuple[bool, ...]
    is_cut_short: bool


@dataclass(frozen=True)
class Provenance:
    """A C2PA manifest store: is_valid: signature and hashes fit (the signer is not looked up anywhere). failures: codes of
    the standard (`assertion.dataHash.mismatch`). generator: software that wrote the active manifest; signer and signed_at
    as its certificate and time stamp have them, empty where they are missing. actions (`c2pa.created`) and sources (last
    part of IPTC's digital source types, `trainedAlgorithmicMedia`) of the active manifest, each once; ingredient_sources:
    of all others, which nothing ties to the file.
    """

    is_valid: bool
    failures: tuple[str, ...]
    generator: str
    signer: str
    signed_at: str
    actions: tuple[str, ...]
    sources: tuple[str, ...]
    ingredient_sources: tuple[str, ...]
    manifests: int
    library: str


@dataclass(frozen=True)
class FileFacts:
    """All of it. `tags` are of the file and its streams: `exif.Software`, `xmp.CreatorTool`, `png.parameters`,
    `container.encoder`, `video.handler_name`. orientation is EXIF's (1 .. 8; 1 = as stored). c2pa_bytes: size of a C2PA
    manifest store (0: none). problems: what a parser met that does not follow its standard, one line each.
    """

    container: str
    size_bytes: int
    orientation: int
    tags: dict[str, str]
    boxes: tuple[Box, ...]
    jpeg: JpegFacts | None
    packets: PacketFacts | None
    c2pa_bytes: int
    problems: tuple[str, ...]
