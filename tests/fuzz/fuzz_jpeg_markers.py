"""Fuzz target of the JPEG segment reader: `python tests/fuzz/fuzz_jpeg_markers.py [corpus folder]`, where there is atheris.

`test_fuzz_targets.py` runs the same target on seeded mutations, without atheris.
"""

import io
import math

from fuzzer import run_fuzzer
from PIL import Image

from forensics.media import jpeg_markers
from forensics.media.facts_types import MAX_MARKERS
from forensics.media.jpeg_markers import read_jpeg


def seeds() -> list[bytes]:
    """Small pictures with every kind of segment, below 2 KB each."""
    pictures = []
    for options in ({"quality": 60}, {"progressive": True}, {"restart_marker_blocks": 1, "comment": b"text"}):
        buffer = io.BytesIO()
        Image.effect_noise((24, 17), 40).convert("RGB").save(buffer, "JPEG", **options)
        pictures.append(buffer.getvalue())
    extra = b"\xff\xeb\0\x1aJP\0\1\0\0\0\1\0\0\0\x10jumb\0\0\0\x08c2pa" + b"\xff\xed\0\x10Photoshop 3.0\0"
    return [*pictures, pictures[0][:2] + extra + pictures[0][2:] + b"behind\xff\xd9"]


def target(data: bytes) -> None:
    """What must hold for any bytes."""
    reading = read_jpeg(data)
    assert len(reading.trailing) <= len(data)
    assert 0 <= reading.c2pa_bytes <= len(data)
    facts = reading.facts
    if facts is None:
        return
    assert len(facts.markers) <= MAX_MARKERS
    assert all(0 <= marker.offset < marker.offset + marker.size <= len(data) for marker in facts.markers)
    assert all(len(table) == 64 and min(table) >= 0 for table in facts.tables)
    assert facts.trailing_bytes == len(reading.trailing)
    if facts.quality is not None:
        assert 1 <= facts.quality <= 100
        assert math.isfinite(facts.misfit or 0.0)


if __name__ == "__main__":
    run_fuzzer(target, seeds(), jpeg_markers)
