"""What an analysis is, what it is given, and what it says: a Finding.

An analysis never opens a file: the decoding child has read it, and what came of it is handed on as arrays and typed facts.
It never says "fake": it says whether what it measured is what an unaltered file would show, how that was measured, and
what else, quite harmless, would look the same.

Words: SWGDE, Best Practices for Digital Forensic Video and Image Analysis; ENFSI, Best Practice Manual for Digital Image
Authentication (2021): *consistent*, *inconsistent*, *inconclusive*.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from forensics.media.facts_types import FileFacts, JpegFacts, Provenance

Rgb = NDArray[np.uint8]  # (H, W, 3)
# What a file says of itself is the sender's: in our sentences it is short, and in quotation marks that it cannot close.
MAX_QUOTED = 60
Measure = float | int | str | bool | None
State = Literal["consistent", "suspicious", "inconsistent", "inconclusive", "not applicable"]
# Findings of one family rest on the same traces: they do not corroborate each other.
Family = Literal["file", "compression", "sensor", "geometry", "content", "motion", "physiology"]


@dataclass(frozen=True, eq=False)
class Map:
    """A picture of where: values (h, w) float32 in [0, 1], 1 = most unusual, over the whole picture as it was given."""

    name: str  # of its file: letters, digits, hyphens
    values: NDArray[np.float32]
    caption: str


@dataclass(frozen=True, eq=False)
class Plot:
    """A curve: x (n,) and one or more y (n,), finite; marks are places on the x axis with their words."""

    name: str
    x: NDArray[np.float64]
    curves: Mapping[str, NDArray[np.float64]]
    x_label: str
    y_label: str
    caption: str
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Finding:
    """What an analysis says of one input.

    observation: what was measured, in one to three sentences with numbers. measures: the same numbers by name, finite.
    statistic: one number that grows with how unusual the input is, what `state` was decided by; None where there is none.
    """

    state: State
    observation: str
    measures: Mapping[str, Measure] = field(default_factory=dict)
    statistic: float | None = None
    maps: tuple[Map, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A still, as its file stores it: pixels (H, W, 3) uint8 RGB before any rotation that EXIF asks for, since block grids
    begin at the stored corner. jpeg: None for other formats."""

    pixels: Rgb
    jpeg: JpegFacts | None


@dataclass(frozen=True, eq=False)
class File:
    """The file itself, without its pixels. thumbnail: (h, w, 3) uint8 RGB, the preview inside it; shown: (H, W, 3) uint8
    RGB, its picture reduced to 256 pixels at most, both as stored; None where there is none. provenance: its C2PA
    manifests; no_provenance: why they were not validated, where there are some.
    """

    facts: FileFacts
    name: str
    thumbnail: Rgb | None = None
    shown: Rgb | None = None
    provenance: Provenance | None = None
    no_provenance: str = ""


@dataclass(frozen=True, eq=False)
class FaceThroughTime:
    """One face in successive frames: `frames` (n,) are indices into the clip's, times_s (n,) theirs; landmarks (n, 5, 2)
    float32 in pixels of the decoded frame, as `forensics.faces.types.Face` has them; faces (n, 64, 64, 3) uint8 RGB,
    laid on the mean face by a similarity; around (n, 3) float32, mean RGB of the ring between the face's box and 1.6
    times it.
    """

    id: int
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]
    landmarks: NDArray[np.float32]
    faces: NDArray[np.uint8]
    around: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """The decoded frames of a clip, or of its first part: times_s (n,) presentation times in seconds, strictly rising; gray
    (n, h, w) uint8 luma of each, reduced (w = 96 or h = 96, the longer); scale: decoded pixels per pixel of `gray`.
    is_complete: whether it is all of the clip."""

    times_s: NDArray[np.float64]
    gray: NDArray[np.uint8]
    scale: float
    tracks: tuple[FaceThroughTime, ...]
    is_complete: bool


Subject = TypeVar("Subject", Picture, File, Clip)
Needs = Literal["picture", "file", "clip"]


@dataclass(frozen=True, eq=False)
class Analysis(Generic[Subject]):
    """One analysis: what a report says of it, and the function that does it.

    question: what it asks of the file. method: how, in one or two sentences, for a reader who is no specialist; citation:
    authors, year, title, venue. limits: where it fails. benign: harmless causes of the same observation. parameters: every
    number that decides, by name. examine raises nothing for what a file shows: what cannot be judged is `not applicable`
    (the file lacks what it looks at) or `inconclusive` (too little of it).
    """

    name: str  # of its module, with hyphens
    title: str
    family: Family
    needs: Needs
    question: str
    method: str
    citation: str
    limits: str
    benign: tuple[str, ...]
    parameters: Mapping[str, Measure]
    examine: Callable[[Subject], Finding]


def not_applicable(why: str) -> Finding:
    """There is nothing here for it to look at."""
    return Finding("not applicable", why)


def inconclusive(why: str, measures: Mapping[str, Measure] | None = None) -> Finding:
    """There is something, but too little to say anything."""
    return Finding("inconclusive", why, measures or {})


def quoted(text: str) -> str:
    """A text of the file, as our sentences have it."""
    inner = text.replace('"', "'")
    return f'"{inner}"' if len(inner) <= MAX_QUOTED else f'"{inner[:MAX_QUOTED]}..."'
