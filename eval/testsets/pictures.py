"""Pictures of a set: can they be decoded whole, have both classes one file history, and how are they written.

A detector that reads the container, the quantisation tables or the metadata needs no face where reals are JPEGs of one
camera and fakes PNGs of a generator (Grommelt et al. 2024, arXiv 2403.17608, measure what this does to published figures).
One shared encoding takes that away from the file; what earlier compressions left in the pixels stays.
Limits: pictures are decoded in this process, with a format allow-list and a pixel limit; clips in the decoding child.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from eval.laundering import AnyCondition
from eval.testsets.balance import stream_number
from eval.testsets.inputs import UNREADABLE, Row
from eval.testsets.options import SHARED_JPEG_QUALITY
from forensics.common.errors import MediaError, UsageError
from forensics.common.seeds import rng_for
from forensics.media.child import open_regular
from forensics.media.image import decode_image
from forensics.media.reader import MediaReader
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.traits import read_traits
from forensics.media.types import MediaLimits, Sampling
from forensics.perturb.picture import Picture

PERTURBATION_STREAM = 3
DAMAGED = "damaged: not all of it can be decoded"
TOO_SMALL = "a picture of less than 16 pixels on a side"
# Below this no perturbation or detector has anything to work on.
MIN_SIDE_PX = 16
# A picture's bytes are read at once; the largest sensible ones (64 megapixels, uncompressed, 4 bytes) fit.
MAX_PICTURE_BYTES = 1 << 28
ONE_FRAME = Sampling(max_frames=1)
# Two classes are alike in a trait if knowing it gives at most this much more than guessing: the total variation distance
# D of its two distributions, with which the best rule has the balanced accuracy (1 + D) / 2.
ALIKE_DISTANCE = 0.1
SUFFIXES = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif", "GIF": ".gif", "AVIF": ".avif",
    "mov": ".mp4", "matroska": ".mkv", "avi": ".avi", "mpegts": ".ts", "mpeg": ".mpg", "flv": ".flv", "ogg": ".ogv",
    "asf": ".wmv",
}  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """How pictures are written: `keep` (copied), `png`, or `jpeg` of a quality with 4:2:0 chroma."""

    name: str
    quality: int | None = None

    def __str__(self) -> str:
        return self.name if self.quality is None else f"{self.name}:{self.quality}"

    @property
    def of_copies(self) -> "Encoding":
        """How perturbed copies are written: where files are kept, losslessly."""
        return Encoding("png") if self.name == "keep" else self

    @property
    def suffix(self) -> str:
        return ".jpg" if self.name == "jpeg" else ".png"

    def encode(self, picture: Picture) -> bytes:
        """Bytes of a (H, W, 3) uint8 RGB picture."""
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        if self.name == "jpeg":
            sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
            quality = SHARED_JPEG_QUALITY if self.quality is None else self.quality
            flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
        else:
            flags = []
        done, data = cv2.imencode(self.suffix, bgr, flags)
        if not done:
            raise ValueError(f"the {self.name} encoder gave nothing")
        return bytes(data)


@dataclass(frozen=True)
class Checked:
    """What decoding a file showed. `problem` is "" where it is whole; traits are those that `auto` compares."""

    suffix: str = ""
    width: int = 0
    height: int = 0
    traits: tuple[tuple[str, Hashable], ...] = ()
    problem: str = ""


class Decoder:
    """Decodes files in several threads; each has a decoding child of its own for clips. A context manager."""

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self._limits = limits or MediaLimits()
        self._own = threading.local()
        self._readers: list[MediaReader] = []

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.close()

    def check(self, row: Row, with_traits: bool) -> Checked:
        """Decode all of a picture, one frame of a clip. Never raises for what is wrong with the file."""
        try:
            return self._checked_clip(row) if row.kind == "clip" else self._checked_picture(row, with_traits)
        except (MediaError, OSError):
            return Checked(problem=UNREADABLE)

    def read(self, row: Row) -> Picture:
        """(H, W, 3) uint8 RGB. Raises MediaError."""
        return self._decoded(row)[1]

    def _decoded(self, row: Row) -> tuple[str, Picture, bool]:
        with open_regular(row.item.path) as file:
            data = file.read(MAX_PICTURE_BYTES + 1)
        if len(data) > MAX_PICTURE_BYTES:
            raise MediaError(f"{row.item.path.name} is larger than a picture can be")
        found = sniff(data[:HEAD_BYTES])
        if found.kind != "image":
            raise MediaError(f"{row.item.path.name} is a clip, a picture was expected")
        _, pixels, summary = decode_image(data, found, self._limits)
        return SUFFIXES[found.name], pixels, summary.is_complete

    def _checked_picture(self, row: Row, with_traits: bool) -> Checked:
        suffix, pixels, is_complete = self._decoded(row)
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            return Checked(problem=TOO_SMALL)
        if not is_complete:
            return Checked(problem=DAMAGED)
        return Checked(suffix, width, height, self._traits(row) if with_traits else ())

    def _traits(self, row: Row) -> tuple[tuple[str, Hashable], ...]:
        traits = read_traits(row.item.path, limits=self._limits)
        jpeg, metadata = traits.jpeg, traits.metadata
        return (
            ("file format", traits.container),
            ("JPEG quality", jpeg and (jpeg.quality, jpeg.chroma_quality)),
            ("JPEG chroma subsampling", jpeg and jpeg.subsampling),
            ("JPEG coding", jpeg and (jpeg.n_tables, jpeg.is_progressive)),
            ("metadata", metadata and metadata.kinds),
        )

    def _checked_clip(self, row: Row) -> Checked:
        reader = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = MediaReader(self._limits)
            self._readers.append(reader)
        with open_regular(row.item.path) as file:
            suffix = SUFFIXES[sniff(file.read(HEAD_BYTES)).name]
        with reader.open(row.item.path, ONE_FRAME) as stream:
            info, n = stream.info, sum(1 for _ in stream)
        is_complete = n > 0 and stream.summary is not None and stream.summary.is_complete
        return Checked(suffix, info.width, info.height, problem="" if is_complete else DAMAGED)


def decide_encoding(
    asked: tuple[str, int | None], size: int | None, pictures: Sequence[tuple[int, Checked]]
) -> tuple[Encoding, str]:
    """How all pictures are written, and why. pictures: label (1 = fake) and check of each."""
    name, quality = asked
    if name != "auto":
        return Encoding(name, quality), "asked for"
    shared = Encoding("jpeg", SHARED_JPEG_QUALITY)
    if size is not None:
        return shared, "pictures are reduced, so all are written anew"
    different = differing_trait(pictures)
    if different:
        return shared, f"files as they are would tell the label: {different}"
    return Encoding("keep"), "file format, JPEG tables and metadata of both classes are alike"


def differing_trait(pictures: Sequence[tuple[int, Checked]]) -> str:
    """What a file alone would tell of its label, in words; "" where both classes are alike and of one format."""
    traits = [(label, dict(checked.traits)) for label, checked in pictures]
    formats = Counter(own["file format"] for _, own in traits)
    if len(formats) > 1:
        return f"{len(formats)} file formats ({', '.join(sorted(map(str, formats)))})"
    for name in traits[0][1] if traits else ():
        by_class = [Counter(own[name] for own_label, own in traits if own_label == label) for label in (0, 1)]
        distance = total_variation(*by_class)
        if distance > ALIKE_DISTANCE:
            return f"{name} alone is right for {100 * (1 + distance) / 2:.0f} % of the pictures"
    return ""


def total_variation(first: Counter[Hashable], second: Counter[Hashable]) -> float:
    """Distance of two distributions given as counts: 0 = equal, 1 = nothing in common; 0 where one is empty."""
    n_first, n_second = first.total(), second.total()
    if not n_first or not n_second:
        return 0.0
    return sum(abs(first[value] / n_first - second[value] / n_second) for value in first | second) / 2


def reduced(picture: Picture, size: int | None) -> Picture:
    """Longest side `size` pixels at most, by area averaging; smaller pictures stay as they are."""
    height, width = picture.shape[:2]
    if size is None or max(height, width) <= size:
        return picture
    scale = size / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, target, interpolation=cv2.INTER_AREA), np.uint8)


def perturbed(picture: Picture, condition: AnyCondition, sha256: str, seed: int) -> Picture:
    """A copy whose random part depends on the seed, the file and the condition alone.

    Raises UsageError where the perturbation cannot be applied to this picture.
    """
    rng = rng_for(seed, PERTURBATION_STREAM, stream_number(sha256), stream_number(str(condition)))
    try:
        return condition.apply(picture, rng)
    except ValueError as error:
        height, width = picture.shape[:2]
        raise UsageError(
            f"{condition} cannot be applied to a picture of {width} x {height} pixels: {error}",
            "leave this perturbation out, or such pictures",
        ) from error
