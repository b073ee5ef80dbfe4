"""What can be said of a file without looking at what it shows: container, size, JPEG tables, metadata, clip properties.

Such traits say nothing about a face, so where they predict a label, a data set can be solved without seeing one; an audit
asks that. A 32 x 32 thumbnail comes along, since the file is open anyway: colour statistics and perceptual hashes need it.

Quantisation tables: ITU-T T.81 (1992), Annex K.1 and K.2, scaled as the Independent JPEG Group's library does
(`jpeg_quality_scaling`). The estimated quality is the one whose table is nearest; `misfit` says how near. Encoders with
tables of their own (Photoshop, cameras) get a nearest quality too, with a misfit above zero.
Limits: pictures are decoded in this process, as for every data set that a researcher trusts; clips in the decoding child.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_file
from forensics.media.child import open_regular
from forensics.media.image import decode_image
from forensics.media.reader import MediaReader
from forensics.media.sniff import HEAD_BYTES, Format, sniff
from forensics.media.tolerance import strict
from forensics.media.types import MediaLimits, Sampling

# Side that colour statistics and the DCT hash (Zauner 2010, section 3.2.1) are taken from.
THUMBNAIL_PX = 32
# The one frame that stands for a clip is the one on screen at half its duration.
MIDDLE_FRAME = Sampling(max_frames=1)
EXIF_SOFTWARE, EXIF_MAKE, EXIF_MODEL = 0x0131, 0x010F, 0x0110

# ITU-T T.81, tables K.1 and K.2, in row order.
IJG_LUMA = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
     87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
     72, 92, 95, 98, 112, 100, 103, 99]
)  # fmt: skip
IJG_CHROMA = np.array(
    [17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
     99, 99, 99, *[99] * 32]
)  # fmt: skip
SUBSAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


@dataclass(frozen=True)
class JpegTraits:
    """What the encoder chose. Qualities are 1 to 100, None where the file has no such table."""

    quality: int | None
    chroma_quality: int | None
    misfit: float | None  # mean absolute difference of the luma table to the nearest scaled one, in table units
    subsampling: str  # "4:2:0" ..., "grey", or "other"
    n_tables: int  # distinct quantisation tables
    is_progressive: bool


@dataclass(frozen=True)
class MetadataTraits:
    """What lies beside the pixels of a picture. Sizes in bytes; `kinds` are short names, e.g. exif, icc, jfif, text."""

    exif_bytes: int
    icc_bytes: int
    xmp_bytes: int
    kinds: frozenset[str]


@dataclass(frozen=True)
class ClipTraits:
    """What a clip's packets show. Bits per second are those of the whole file, sound included."""

    fps: float | None
    duration_s: float
    frames: int
    bit_rate_bps: float | None
    has_audio: bool
    is_variable_rate: bool


@dataclass(frozen=True, eq=False)
class FileTraits:
    """One file. width and height are pixels of the upright picture; thumbnail is (32, 32, 3) uint8 RGB."""

    sha256: str
    size_bytes: int
    suffix: str  # of its name, lower case
    kind: str  # "image" or "video"
    container: str  # by its bytes
    codec: str
    mode: str  # Pillow's name of the pixel format; empty for a clip
    width: int
    height: int
    jpeg: JpegTraits | None
    metadata: MetadataTraits | None
    clip: ClipTraits | None
    thumbnail: NDArray[np.uint8]


def read_traits(path: Path, reader: MediaReader | None = None, limits: MediaLimits | None = None) -> FileTraits:
    """Traits of a picture or clip; of a clip, one frame is decoded: the middle one.

    reader: decodes clips, in its child; without one, a child is started for this file alone. limits: of pictures; a
    reader has its own. Raises MediaError for a file that cannot be read, is in no known format, or is beyond the limits.
    """
    limits = limits or MediaLimits()
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
            found = sniff(head)
            data = head + file.read() if found.kind == "image" else b""
    except (OSError, ValueError) as error:  # a name with a NUL byte in it, a disk that fails
        raise MediaError(f"cannot be read: {error}", "check the path") from error
    if found.kind == "image":
        return _picture(path, data, found, limits)
    if reader is not None:
        return _clip(path, reader)
    with MediaReader(limits) as own:
        return _clip(path, own)


def quality_of_table(table: NDArray[np.int64], base: NDArray[np.int64] = IJG_LUMA) -> tuple[int, float]:
    """The quality whose scaled table is nearest, and the mean absolute difference to it.

    table, base: (64,) in row order. Of equally near ones the greatest, since all low qualities share the value 255.
    """
    distances = np.abs(_scaled_tables(base) - table).mean(axis=1)
    quality = len(distances) - int(np.argmin(distances[::-1]))
    return quality, float(distances[quality - 1])


def _scaled_tables(base: NDArray[np.int64]) -> NDArray[np.int64]:
    """(100, 64): the base table at qualities 1 to 100, as `jpeg_quality_scaling` and `jpeg_add_quant_table` make it."""
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((base[None, :] * percent[:, None] + 50) // 100, 1, 255)


def _picture(path: Path, data: bytes, found: Format, limits: MediaLimits) -> FileTraits:
    info, pixels, _ = decode_image(data, found, limits)
    with strict(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=[found.name]) as picture:
            metadata = _metadata(picture)
            jpeg = _jpeg(picture) if isinstance(picture, JpegImageFile) else None
            mode = picture.mode
    return FileTraits(
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        suffix=path.suffix.lower(),
        kind="image",
        container=info.container,
        codec=info.codec,
        mode=mode,
        width=info.width,
        height=info.height,
        jpeg=jpeg,
        metadata=metadata,
        clip=None,
        thumbnail=_thumbnail(pixels),
    )


def _clip(path: Path, reader: MediaReader) -> FileTraits:
    with reader.open(path, MIDDLE_FRAME) as stream:
        info = stream.info
        samples = list(stream)
    if not samples:
        raise MediaError("not one frame could be decoded", "the file may be damaged or cut off")
    size_bytes = path.stat().st_size
    return FileTraits(
        sha256=sha256_of_file(path),
        size_bytes=size_bytes,
        suffix=path.suffix.lower(),
        kind="video",
        container=info.container,
        codec=info.codec,
        mode="",
        width=info.width,
        height=info.height,
        jpeg=None,
        metadata=None,
        clip=ClipTraits(
            fps=info.mean_fps,
            duration_s=info.duration_s,
            frames=info.frames_found,
            bit_rate_bps=8 * size_bytes / info.duration_s if info.duration_s > 0 else None,
            has_audio=info.has_audio,
            is_variable_rate=info.is_variable_rate,
        ),
        thumbnail=_thumbnail(samples[0].pixels),
    )


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) -> (32, 32, 3), by averaging over areas; the aspect ratio is not kept."""
    small = cv2.resize(pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _jpeg(picture: JpegImageFile) -> JpegTraits:
    tables = {key: np.array(table) for key, table in picture.quantization.items() if len(table) == 64}
    layers = picture.layer  # per component: id, horizontal and vertical sampling, table
    luma = tables.get(layers[0][3]) if layers else None
    chroma = tables.get(layers[1][3]) if len(layers) == 3 else None
    quality, misfit = (None, None) if luma is None else quality_of_table(luma)
    return JpegTraits(
        quality=quality,
        chroma_quality=None if chroma is None else quality_of_table(chroma, IJG_CHROMA)[0],
        misfit=misfit,
        subsampling=subsampling_of(layers),
        n_tables=len({table.tobytes() for table in tables.values()}),
        is_progressive="progressive" in picture.info,
    )


def subsampling_of(layers: list[tuple[int, int, int, int]]) -> str:
    """How much coarser chroma is than luma, in the usual notation."""
    if len(layers) == 1:
        return "grey"
    if len(layers) != 3 or layers[1][1:3] != layers[2][1:3]:
        return "other"
    (luma_h, luma_v), (chroma_h, chroma_v) = layers[0][1:3], layers[1][1:3]
    if not (chroma_h and chroma_v) or luma_h % chroma_h or luma_v % chroma_v:
        return "other"
    return SUBSAMPLINGS.get((luma_h // chroma_h, luma_v // chroma_v), "other")


def _metadata(picture: Image.Image) -> MetadataTraits:
    if isinstance(picture, PngImageFile):
        _load_the_end(picture)
    info = picture.info
    text = {key for key, value in info.items() if isinstance(key, str) and isinstance(value, str)}
    tags = _exif_tags(picture)
    present = {
        "exif": bool(info.get("exif")) or bool(tags),
        "icc": bool(info.get("icc_profile")),
        "xmp": bool(info.get("xmp")) or "XML:com.adobe.xmp" in info,
        "comment": bool(info.get("comment")),
        "jfif": "jfif" in info,
        "adobe": "adobe" in info,
        "photoshop": bool(info.get("photoshop")),
        "text": isinstance(picture, PngImageFile) and bool(text),
        "density": "dpi" in info or bool(info.get("jfif_unit")),
        "gamma": "gamma" in info or "srgb" in info,
        "software": EXIF_SOFTWARE in tags or "software" in {key.lower() for key in text},
        "camera": EXIF_MAKE in tags or EXIF_MODEL in tags,
    }
    return MetadataTraits(
        exif_bytes=_length(info.get("exif")),
        icc_bytes=_length(info.get("icc_profile")),
        xmp_bytes=_length(info.get("xmp")) or _length(info.get("XML:com.adobe.xmp")),
        kinds=frozenset(kind for kind, is_there in present.items() if is_there),
    )


def _load_the_end(picture: PngImageFile) -> None:
    """PNG may carry metadata behind the pixels; what a damaged file loses there is not missed."""
    try:
        picture.load()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, S110  (its pixels were decoded before, with every error accounted for)
        pass


def _exif_tags(picture: Image.Image) -> frozenset[int]:
    """Tags of the first EXIF directory; none where it cannot be parsed (its bytes still count)."""
    try:
        return frozenset(picture.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (EXIF is whatever the sender wrote)
        return frozenset()


def _length(value: object) -> int:
    return len(value) if isinstance(value, bytes | str) else 0
