"""Box files that a test writes byte by byte."""

import struct


def box(kind: bytes, payload: bytes = b"", size: int | None = None) -> bytes:
    """One box; `size` is what its header says where that is not the truth."""
    return struct.pack(">I4s", 8 + len(payload) if size is None else size, kind) + payload


def full(kind: bytes, payload: bytes, version: int = 0) -> bytes:
    """A box with version and flags."""
    return box(kind, bytes([version, 0, 0, 0]) + payload)


def movie_header(created: int, modified: int, timescale: int = 1000, duration: int = 4000) -> bytes:
    return full(b"mvhd", struct.pack(">IIII", created, modified, timescale, duration) + bytes(80))


def small_movie() -> bytes:
    """A file with every kind of box whose fields are read."""
    handler = full(b"hdlr", bytes(4) + b"vide" + bytes(12) + b"VideoHandler\0")
    media_header = full(b"mdhd", struct.pack(">QQIQ", 3_700_000_000, 3_700_000_060, 12800, 51200) + bytes(4), 1)
    entry = box(b"avc1", bytes(42) + bytes([7]) + b"encoder" + bytes(24) + bytes(4))
    samples = full(b"stsd", struct.pack(">I", 1) + entry)
    edits = box(b"edts", full(b"elst", struct.pack(">I", 1) + struct.pack(">IiI", 4000, 1024, 1 << 16)))
    track_header = full(
        b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, 4000) + bytes(52) + struct.pack(">II", 64 << 16, 48 << 16)
    )
    media = box(b"mdia", media_header + handler + box(b"minf", box(b"stbl", samples)))
    tool = box(b"\xa9too", box(b"data", struct.pack(">II", 1, 0) + b"Lavf61.7.100"))
    tags = full(b"meta", full(b"hdlr", bytes(4) + b"mdir" + bytes(13)) + box(b"ilst", tool))
    quick = box(b"\xa9swr", struct.pack(">HH", 6, 0) + b"QuickT")
    movie = box(
        b"moov",
        movie_header(3_600_000_000, 3_600_000_000)
        + box(b"trak", track_header + edits + media)
        + box(b"udta", quick + tags),
    )
    return box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomavc1") + movie + box(b"mdat", bytes(50))
