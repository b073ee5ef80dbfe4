"""Tags: what a test writes into a file is read, bounded and printable, and what is broken is said."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from forensics.media.facts_types import MAX_TAG_CHARACTERS, MAX_TAGS, tag_text
from forensics.media.tags import MAX_TEXT_BYTES, Tags, add_encoder_tags, name_trailing, read_picture_tags, read_xmp

PICTURE = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
XMP = (
    b'<rdf:Description xmp:CreatorTool="Adobe Photoshop 25.0" xmpMM:DocumentID="xmp.did:1" '
    b'xmpMM:OriginalDocumentID="xmp.did:0"><xmpMM:DerivedFrom stRef:documentID="xmp.did:7"/>'
    b'<rdf:li stEvt:softwareAgent="Camera Raw"/><rdf:li stEvt:softwareAgent="Photoshop"/>'
    b"<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/digitalsourcetype/trainedAlgorithmicMedia"
    b"</Iptc4xmpExt:DigitalSourceType></rdf:Description>"
)


def saved(name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, name, **options)
    return buffer.getvalue()


def exif_block() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131], exif[0x0112] = "Maker", "Model", "Software 1.0", 6
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a cat, Steps: 20, Sampler: Euler a"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_of_every_format_that_has_it(name):
    tags = read_picture_tags(saved(name, exif=exif_block()), name)
    assert tags.texts["exif.Make"] == "Maker"
    assert tags.texts["exif.Software"] == "Software 1.0"
    assert tags.orientation == 6
    assert tags.problems == []
    if name != "TIFF":  # to which Pillow writes no further directory
        assert tags.texts["exif.DateTimeOriginal"] == "2020:01:02 03:04:05"
        assert tags.texts["exif.GPS"] == "present"
        assert tags.texts["generation.settings"] == "Steps: 20, Sampler: Euler a"


def test_the_preview_is_found_in_the_second_directory():
    preview = saved("JPEG", quality=40)
    # One empty directory, then one with the preview's offset and length (type 4: a 32-bit number).
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(preview), 0)
    block = b"II*\0" + struct.pack("<IHI", 8, 0, 14) + second
    assert len(block) == 44
    tags = read_picture_tags(saved("JPEG", exif=b"Exif\0\0" + block + preview), "JPEG")
    assert tags.thumbnail == preview


def test_texts_of_png_before_and_behind_the_pixels():
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "GIMP")
    info.add_text("parameters", "x" * 900 + ", Steps: 30, CFG scale: 7", zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    data = saved("PNG", pnginfo=info)
    late = b"Late\0text"
    chunk = struct.pack(">I", len(late)) + b"tEXt" + late + struct.pack(">I", zlib.crc32(b"tEXt" + late))
    tags = read_picture_tags(data[:-12] + chunk + data[-12:] + b"PK\x03\x04" + bytes(20), "PNG")
    assert tags.texts["png.Software"] == "GIMP"
    assert tags.texts["png.Late"] == "text"
    assert len(tags.texts["png.parameters"]) == MAX_TAG_CHARACTERS
    assert tags.texts["generation.settings"] == "Steps: 30, CFG scale: 7"
    assert tags.texts["xmp.CreatorTool"] == "Adobe Photoshop 25.0"
    assert tags.texts["png.trailing"] == "24 bytes, archive"


def test_attributes_and_elements_of_xmp():
    tags = Tags()
    read_xmp(XMP, tags)
    assert tags.texts == {
        "xmp.CreatorTool": "Adobe Photoshop 25.0",
        "xmp.softwareAgent": "Camera Raw; Photoshop",
        "xmp.DocumentID": "xmp.did:1",
        "xmp.OriginalDocumentID": "xmp.did:0",
        "xmp.DerivedFrom": "xmp.did:7",
        "xmp.DigitalSourceType": "http://cv.iptc.org/digitalsourcetype/trainedAlgorithmicMedia",
    }


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "raw", [b":CreatorTool=" * 20_000, b":DocumentID " * 30_000, b"<a" * 100_000, b":Credit<" * 40_000]
)
def test_xmp_that_nearly_matches_takes_no_time(raw):
    tags = Tags()
    read_xmp(raw, tags)
    assert len(tags.texts) <= 7


def test_a_packed_text_is_unpacked_up_to_a_limit():
    packed = b"Comment\0\0" + zlib.compress(b"a" * 50_000_000)
    chunk = struct.pack(">I", len(packed)) + b"zTXt" + packed + bytes(4)
    data = saved("PNG")
    tags = read_picture_tags(data[:33] + chunk + data[33:], "PNG")
    assert tags.texts["png.Comment"].startswith("aaa")
    assert MAX_TEXT_BYTES < 50_000_000


def test_tags_are_bounded_and_printable():
    tags = Tags()
    for number in range(3 * MAX_TAGS):
        tags.add(f"name\n{number}", "\x1b[0m\u202e" + "x" * 1000)
    assert len(tags.texts) == MAX_TAGS
    assert all(name.isprintable() and text.isprintable() for name, text in tags.texts.items())
    assert all(len(text) <= MAX_TAG_CHARACTERS for text in tags.texts.values())
    assert tag_text(b"\xff\xfe\0a") == "\N{REPLACEMENT CHARACTER}" * 2 + " a"
    assert tag_text("\ud800").isprintable()


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_what_is_no_such_picture_is_said(name):
    tags = read_picture_tags(b"\x89PNG\r\n\x1a\n" + bytes(60), name)
    assert tags.problems
    assert tags.texts == {}
    assert tags.orientation == 1


def test_broken_exif_is_said_and_costs_nothing_else():
    tags = read_picture_tags(saved("JPEG", exif=b"Exif\0\0XX*\0" + bytes(30), comment=b"kept"), "JPEG")
    assert any("EXIF" in words for words in tags.problems)
    assert tags.texts["jpeg.comment"] == "kept"


def test_signatures_of_encoders():
    tags = Tags()
    head = (
        b"\0\0\1\6\5"
        + b"x264 - core 164 r3108 31e19f9 - H.264/MPEG-4 AVC codec - options: keyint=12 bframes=3 crf=23.0\0rest"
    )
    add_encoder_tags(head, tags)
    assert tags.texts["video.signature"] == "x264 - core 164 r3108 31e19f9"
    assert (tags.texts["video.x264.crf"], tags.texts["video.x264.keyint"], tags.texts["video.x264.bframes"]) == (
        "23.0",
        "12",
        "3",
    )
    other = Tags()
    add_encoder_tags(bytes(100) + b"Lavc61.19.100\0", other)
    assert other.texts == {"video.signature": "Lavc61.19.100"}
    add_encoder_tags(bytes(1000), none := Tags())
    assert none.texts == {}


@pytest.mark.parametrize(
    ("raw", "name"),
    [(b"\0" * 40, "zeros"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"PK\x03\x04", "archive"), (b"...SEFT", "Samsung trailer"),
     (b"\0\0\0\x18ftypmp42", "video"), (b"anything", "unknown")],
)  # fmt: skip
def test_what_trailing_bytes_are(raw, name):
    assert name_trailing(raw) == name
