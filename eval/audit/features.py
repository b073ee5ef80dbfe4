"""Groups of features of files that say nothing about a face: numbers that a shortcut could be built on.

Every group is a matrix (N, F) float32 with NaN where a file has no such trait, and says which files it applies to: JPEG
settings are compared among JPEG files only, so that a difference of format is reported as one, and once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from forensics.media.sniff import extension_fits
from forensics.media.traits import FileTraits

ALL = "all"
COLOUR_BATCH = 4096
PERCENTILES = (5, 25, 50, 75, 95)
# Values of a trait that get a column of their own; rarer ones share none.
MAX_VALUES = 32
CHANNELS = ("red", "green", "blue", "saturation")
Column = tuple[str, NDArray[np.float32]]
P = TypeVar("P")


@dataclass(frozen=True, eq=False)
class FeatureGroup:
    """values (N, F) float32, NaN = has none; applies (N,) bool; `columns` names the F features."""

    name: str
    title: str  # as the subject of "... predicts the label"
    columns: tuple[str, ...]
    values: NDArray[np.float32]
    applies: NDArray[np.bool_]
    applies_to: str


def feature_groups(traits: Sequence[FileTraits]) -> list[FeatureGroup]:
    """All groups over N files, the last one being all of them together."""
    anything = np.ones(len(traits), bool)
    groups = [
        _group("format", "the file format", _format_columns(traits), anything, "files"),
        _group("size", "the size of file and picture", _size_columns(traits), anything, "files"),
        _group("jpeg", "the JPEG encoder's settings", _jpeg_columns(traits), _has(traits, "jpeg"), "JPEG files"),
        _group("metadata", "metadata", _metadata_columns(traits), _has(traits, "metadata"), "pictures"),
        _group("colour", "colour statistics at 32 x 32 pixels", _colour_columns(traits), anything, "files"),
        _group("clip", "frame rate, length, bit rate and sound", _clip_columns(traits), _has(traits, "clip"), "clips"),
    ]
    together = FeatureGroup(
        ALL,
        "all of these together",
        tuple(f"{group.name}: {column}" for group in groups for column in group.columns),
        np.concatenate([group.values for group in groups], axis=1),
        anything,
        "files",
    )
    return [*groups, together]


def is_yes_or_no(column: str) -> bool:
    """Whether a feature is one of two things: its mean is a share."""
    return "=" in column or column.rpartition(": ")[2].startswith(("has ", "is "))


def _format_columns(traits: Sequence[FileTraits]) -> list[Column]:
    return [
        *_one_hot("container", [one.container for one in traits]),
        *_one_hot("codec", [one.codec for one in traits]),
        *_one_hot("suffix", [one.suffix for one in traits]),
        *_one_hot("pixel format", [one.mode for one in traits]),
        _numbers("is named by its format", [extension_fits(one.suffix, one.container) for one in traits]),
    ]


def _size_columns(traits: Sequence[FileTraits]) -> list[Column]:
    frames = [one.clip.frames if one.clip else 1 for one in traits]
    return [
        _numbers("file bytes", [one.size_bytes for one in traits]),
        _numbers("width", [one.width for one in traits]),
        _numbers("height", [one.height for one in traits]),
        _numbers("pixels", [one.width * one.height for one in traits]),
        _numbers("width / height", [one.width / one.height for one in traits]),
        _numbers(
            "bytes per pixel",
            [one.size_bytes / (one.width * one.height * n) for one, n in zip(traits, frames, strict=True)],
        ),
    ]


def _jpeg_columns(traits: Sequence[FileTraits]) -> list[Column]:
    jpegs = [one.jpeg for one in traits]
    return [
        _of_part("quality", jpegs, lambda jpeg: jpeg.quality),
        _of_part("chroma quality", jpegs, lambda jpeg: jpeg.chroma_quality),
        _of_part("distance to a standard table", jpegs, lambda jpeg: jpeg.misfit),
        _of_part("quantisation tables", jpegs, lambda jpeg: jpeg.n_tables),
        _of_part("is progressive", jpegs, lambda jpeg: jpeg.is_progressive),
        *_one_hot("chroma subsampling", [jpeg.subsampling if jpeg else None for jpeg in jpegs]),
    ]


def _metadata_columns(traits: Sequence[FileTraits]) -> list[Column]:
    parts = [one.metadata for one in traits]
    kinds = sorted({kind for part in parts if part for kind in part.kinds})
    return [
        *(_numbers(f"has {kind}", [kind in part.kinds if part else None for part in parts]) for kind in kinds),
        _of_part("EXIF bytes", parts, lambda part: part.exif_bytes),
        _of_part("ICC bytes", parts, lambda part: part.icc_bytes),
        _of_part("XMP bytes", parts, lambda part: part.xmp_bytes),
    ]


def _clip_columns(traits: Sequence[FileTraits]) -> list[Column]:
    clips = [one.clip for one in traits]
    return [
        _of_part("frames per second", clips, lambda clip: clip.fps),
        _of_part("seconds", clips, lambda clip: clip.duration_s),
        _of_part("frames", clips, lambda clip: clip.frames),
        _of_part("bits per second", clips, lambda clip: clip.bit_rate_bps),
        _of_part("has sound", clips, lambda clip: clip.has_audio),
        _of_part("is of variable rate", clips, lambda clip: clip.is_variable_rate),
        _numbers("clip width", [one.width if one.clip else None for one in traits]),
        _numbers("clip height", [one.height if one.clip else None for one in traits]),
    ]


def _colour_columns(traits: Sequence[FileTraits]) -> list[Column]:
    values = np.concatenate(
        [
            colour_statistics(np.stack([one.thumbnail for one in traits[start : start + COLOUR_BATCH]]))
            for start in range(0, len(traits), COLOUR_BATCH)
        ]
    )
    measures = ("mean", "deviation", *(f"percentile {q}" for q in PERCENTILES))
    names = [f"{measure} of {channel}" for channel in CHANNELS for measure in measures]
    return list(zip(names, values.T, strict=True))


def colour_statistics(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, H, W, 3) uint8 RGB -> (n, 28): mean, standard deviation and percentiles of red, green, blue and saturation.

    Saturation is that of HSV, scaled to [0, 255]; 0 for black.
    """
    pixels = thumbnails.reshape(len(thumbnails), -1, 3).astype(np.float32)  # (n, H * W, 3)
    greatest, least = pixels.max(axis=2), pixels.min(axis=2)
    saturation = 255 * (greatest - least) / np.maximum(greatest, 1)
    channels = np.stack([*np.moveaxis(pixels, 2, 0), saturation], axis=1)  # (n, 4, H * W)
    percentiles = np.moveaxis(np.percentile(channels, PERCENTILES, axis=2), 0, 2)  # (n, 4, 5)
    parts = [channels.mean(axis=2)[:, :, None], channels.std(axis=2)[:, :, None], percentiles]
    return np.concatenate(parts, axis=2).reshape(len(pixels), -1).astype(np.float32)


def _group(
    name: str, title: str, columns: Sequence[Column], applies: NDArray[np.bool_], applies_to: str
) -> FeatureGroup:
    values = np.stack([values for _, values in columns], axis=1)
    return FeatureGroup(name, title, tuple(name for name, _ in columns), values, applies, applies_to)


def _has(traits: Sequence[FileTraits], part: str) -> NDArray[np.bool_]:
    return np.array([getattr(one, part) is not None for one in traits], bool)


def _numbers(name: str, values: Sequence[float | bool | None]) -> Column:
    return name, np.array([np.nan if value is None else float(value) for value in values], np.float32)


def _of_part(name: str, parts: Sequence[P | None], number_of: Callable[[P], float | bool | None]) -> Column:
    """A number of a part that some files do not have."""
    return _numbers(name, [None if part is None else number_of(part) for part in parts])


def _one_hot(name: str, values: Sequence[str | None]) -> list[Column]:
    """A column per value, the most frequent ones first in line, in the order of their names."""
    counts = Counter(value for value in values if value is not None)
    frequent = sorted(sorted(counts), key=lambda value: -counts[value])[:MAX_VALUES]
    return [
        _numbers(f"{name}={value or 'none'}", [None if one is None else one == value for one in values])
        for value in sorted(frequent)
    ]
