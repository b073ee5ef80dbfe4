"""Fuzz target of the box reader: `python tests/fuzz/fuzz_boxes.py [corpus folder]`, where atheris is installed.

`test_fuzz_targets.py` runs the same target on seeded mutations, without atheris.
"""

import io
import json
import struct

from fuzzer import run_fuzzer

from forensics.media import boxes
from forensics.media.boxes import read_boxes
from forensics.media.facts_types import MAX_BOXES


def seeds() -> list[bytes]:
    """Small files that reach every reader of fields, below 2 KB each."""

    def box(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(payload), kind) + payload

    media = box(b"mdhd", bytes(4) + struct.pack(">IIII", 9, 8, 1000, 5000) + bytes(4))
    media += box(b"hdlr", bytes(8) + b"vide" + bytes(12) + b"Handler\0")
    media += box(b"minf", box(b"stbl", box(b"stsd", bytes(4) + struct.pack(">I", 1) + box(b"avc1", bytes(90)))))
    edits = box(b"edts", box(b"elst", bytes(4) + struct.pack(">IIiI", 1, 5, 0, 65536)))
    track = box(b"trak", box(b"tkhd", bytes(84)) + edits + box(b"mdia", media))
    text = box(b"\xa9too", box(b"data", struct.pack(">II", 1, 0) + b"Lavf"))
    keys = box(b"keys", bytes(4) + struct.pack(">I", 1) + box(b"mdta", b"com.name"))
    meta = box(b"meta", bytes(4) + box(b"hdlr", bytes(25)) + keys + box(b"ilst", text))
    header = box(b"mvhd", b"\1\0\0\0" + struct.pack(">QQIQ", 9, 8, 1000, 5000) + bytes(80))
    movie = box(b"moov", header + track + box(b"udta", box(b"\xa9swr", b"\0\4\0\0Tool") + meta))
    users = box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(20))
    start = box(b"ftyp", b"isom\0\0\2\0isomavc1")
    large = struct.pack(">I4sQ", 1, b"mdat", 24) + bytes(8)
    return [start + movie + large, start + users + struct.pack(">I4s", 0, b"mdat") + bytes(30)]


def target(data: bytes) -> None:
    """What must hold for any bytes."""
    reading = read_boxes(io.BytesIO(data))
    assert len(reading.boxes) <= MAX_BOXES
    for found in reading.boxes:
        assert 0 <= found.offset < found.offset + found.size <= len(data)
        assert found.path.isprintable()
        assert all(text.isprintable() for text in found.fields.values())
    json.dumps([found.fields for found in reading.boxes]).encode("utf-8")


if __name__ == "__main__":
    run_fuzzer(target, seeds(), boxes)
