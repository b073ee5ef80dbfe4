"""The segments of a JPEG file: markers, quantisation tables, sampling, and what lies behind the picture's end.

ITU-T T.81 (1992), Annex B; JFIF 1.02 (1992); Exif 2.32 (CIPA DC-008); JPEG XT, ISO/IEC 19566-5 for JUMBF in APP11.
Nothing is decoded: scans are passed over by their stuffed bytes.

Limits: a table that is defined anew between scans is taken as it stood before the first one; hierarchical files (DHP) are
read to their first frame.
"""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from forensics.media.facts_types import MAX_MARKERS, JpegFacts, Marker
from forensics.media.traits import quality_of_table, subsampling_of

SOI, EOI, SOS, DQT, DNL, COM, TEM = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xFE, 0x01
RESTARTS = range(0xD0, 0xD8)
# SOF0 .. SOF15 but for the Huffman tables, the reserved code and the arithmetic conditioning that lie between them.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
NAMES = {
    0xC4: "DHT",
    0xC8: "JPG",
    0xCC: "DAC",
    0xDB: "DQT",
    0xDC: "DNL",
    0xDD: "DRI",
    0xDE: "DHP",
    0xDF: "EXP",
    0xFE: "COM",
}
SIGNATURES = (
    (0xE0, b"JFIF\0", "JFIF"),
    (0xE0, b"JFXX\0", "JFXX"),
    (0xE1, b"Exif\0", "Exif"),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", "XMP"),
    (0xE1, b"http://ns.adobe.com/xmp/extension/\0", "XMP"),
    (0xE2, b"ICC_PROFILE\0", "ICC"),
    (0xE2, b"MPF\0", "MPF"),
    (0xEB, b"JP", "JUMBF"),
    (0xEC, b"Ducky", "Ducky"),
    (0xED, b"Photoshop 3.0\0", "Photoshop"),
    (0xEE, b"Adobe", "Adobe"),
)
# In a scan, every 0xFF is followed by a stuffed zero, a restart marker, another 0xFF (fill), or it begins a marker.
END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
MAX_PROBLEMS = 20
# A file of nothing but empty segments would cost seconds per megabyte; real ones have below a hundred.
MAX_SEGMENTS = 50_000
# JUMBF in APP11: "JP", instance (2 bytes), sequence number (4), then the box's own length and type in every segment.
JUMBF_HEAD, JUMBF_BOX_HEAD = 8, 8


@dataclass(eq=False)
class JpegReading:
    """What was read: facts are None where there is no frame header; payloads are what the known APPn segments and COM
    hold, by what they hold, each without its marker and length; trailing is what lies behind the end marker."""

    facts: JpegFacts | None = None
    payloads: dict[str, list[bytes]] = field(default_factory=dict)
    trailing: bytes = b""
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Keep one problem, while there is room."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    @property
    def c2pa_bytes(self) -> int:
        """Size of a C2PA manifest store: the JUMBF superbox of that type, over all its segments."""
        instances: dict[bytes, int] = {}
        stores = set()
        for payload in self.payloads.get("JUMBF", []):
            instance, is_first = payload[2:4], instances.get(payload[2:4]) is None
            held = len(payload) - JUMBF_HEAD - (0 if is_first else JUMBF_BOX_HEAD)
            instances[instance] = instances.get(instance, 0) + max(0, held)
            if b"c2pa" in payload[JUMBF_HEAD : JUMBF_HEAD + 40]:  # in the description box, which comes first
                stores.add(instance)
        return sum(size for instance, size in instances.items() if instance in stores)


@dataclass(eq=False)
class _Progress:
    """State of the walk through the segments."""

    markers: list[Marker] = field(default_factory=list)
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    frame: tuple[int, bytes] | None = None
    is_before_scan: bool = True
    n_markers: int = 0


def read_jpeg(data: bytes) -> JpegReading:
    """Read the segments of a whole file. Raises nothing for what it holds."""
    reading = JpegReading()
    progress = _Progress()
    end = _walk(data, reading, progress)
    if end is None:
        reading.note("the picture has no end marker")
    else:
        reading.trailing = data[end:]
    if progress.n_markers > MAX_MARKERS:
        reading.note(f"only the first {MAX_MARKERS} of {progress.n_markers} markers are listed")
    reading.facts = _facts(reading, progress, end is not None)
    return reading


def zigzag_to_rows(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """64 numbers in the order in which a file has them (T.81, figure A.6) -> in row order."""
    rows = [0] * 64
    for number, place in zip(numbers, ZIGZAG, strict=True):
        rows[place] = number
    return tuple(rows)


def _zigzag() -> tuple[int, ...]:
    """Index in row order of each place of the zigzag: diagonals, upwards where row + column is even."""
    places = [(row, column) for row in range(8) for column in range(8)]
    places.sort(key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]))
    return tuple(8 * row + column for row, column in places)


ZIGZAG = _zigzag()


def _walk(data: bytes, reading: JpegReading, progress: _Progress) -> int | None:
    """Go from marker to marker; the position behind the end marker, None where the file stops before it."""
    position = 2 if data[:2] == b"\xff\xd8" else 0
    for _ in range(MAX_SEGMENTS):
        found = NEXT_MARKER.search(data, position)
        if found is None:
            return None
        skipped = data[position : found.start()]
        if skipped.strip(b"\xff"):  # 0xFF may fill the room between segments (B.1.1.2)
            reading.note(f"{len(skipped)} bytes at byte {position} belong to no segment")
        code = data[found.start() + 1]
        position = found.end()
        if code == EOI:
            return position
        if code in (SOI, TEM) or code in RESTARTS:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            reading.note(f"the segment {_name(code)} at byte {found.start()} is cut off or of no possible length")
            return None
        if code == SOS:
            progress.is_before_scan = False
            scan = END_OF_SCAN.search(data, position + length)
            if scan is None:
                return None
            position = scan.start()
            continue
        _take(code, found.start(), data[position + 2 : position + length], reading, progress)
        position += length
    reading.note(f"reading stopped after {MAX_SEGMENTS} segments")
    return None


def _take(code: int, offset: int, payload: bytes, reading: JpegReading, progress: _Progress) -> None:
    """Note one segment and what it holds."""
    holds = next((name for kind, start, name in SIGNATURES if kind == code and payload.startswith(start)), "")
    if holds or code == COM:
        kept = reading.payloads.setdefault(holds or "COM", [])
        if len(kept) < MAX_MARKERS:
            kept.append(payload)
    if not progress.is_before_scan:
        return
    progress.n_markers += 1
    if len(progress.markers) < MAX_MARKERS:
        progress.markers.append(Marker(_name(code), offset, len(payload) + 4, holds))
    if code == DQT and not _read_tables(payload, progress.tables):
        reading.note(f"the quantisation tables at byte {offset} are cut off")
    if code in FRAMES and progress.frame is None:
        progress.frame = code, payload


def _read_tables(payload: bytes, tables: dict[int, tuple[int, ...]]) -> bool:
    """Tables of one DQT (B.2.4.1); False where the last of them is not whole."""
    position = 0
    while position < len(payload):
        precision, number = payload[position] >> 4, payload[position] & 15
        width = 2 if precision else 1
        raw = payload[position + 1 : position + 1 + 64 * width]
        if len(raw) < 64 * width:
            return False
        tables[number] = zigzag_to_rows(tuple(int(v) for v in np.frombuffer(raw, ">u2" if precision else "u1")))
        position += 1 + 64 * width
    return True


def _facts(reading: JpegReading, progress: _Progress, is_ended: bool) -> JpegFacts | None:
    if progress.frame is None or len(progress.frame[1]) < 6:
        return None
    code, payload = progress.frame
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    raw = payload[6 : 6 + 3 * payload[5]]
    layers = [(raw[i], raw[i + 1] >> 4, raw[i + 1] & 15, raw[i + 2]) for i in range(0, len(raw) - 2, 3)]
    used = list(dict.fromkeys(layer[3] for layer in layers))
    tables = tuple(progress.tables[number] for number in used if number in progress.tables)
    quality, misfit = (None, None) if not tables else quality_of_table(_array(tables[0]))
    return JpegFacts(
        width=width,
        height=height,
        tables=tables,
        quality=quality,
        misfit=misfit,
        subsampling=subsampling_of(layers),
        is_progressive=code in PROGRESSIVE,
        markers=tuple(progress.markers),
        trailing_bytes=len(reading.trailing),
        end_markers=int(is_ended) + reading.trailing.count(b"\xff\xd9"),
    )


def _array(table: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array(table, np.int64)


def _name(code: int) -> str:
    if code in FRAMES:
        return f"SOF{code - 0xC0}"
    if 0xE0 <= code <= 0xEF:
        return f"APP{code - 0xE0}"
    return NAMES.get(code, "SOS" if code == SOS else f"0x{code:02X}")
