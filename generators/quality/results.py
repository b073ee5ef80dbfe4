"""results.json of `forensics generate quality`: the figures, and all that they are figures of."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from forensics import __version__
from generators.quality.metrics import FID_PICTURES, MIN_PICTURES, Estimate
from generators.quality.neighbours import Memorisation

LIBRARIES = ("torch", "numpy", "scipy", "torch-fidelity", "timm", "opencv-python-headless")


class Part(BaseModel):
    """What all parts share."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Part):
    """A figure with its 95 % interval, and how many pictures of each kind it is of."""

    value: float
    low: float
    high: float
    n_fake: int
    n_real: int


class ExtractorPart(Part):
    """What saw the pictures: figures of another name, hash or size are not comparable."""

    name: str
    sha256: str
    input_px: int


class FakePart(Part):
    """The samples: of a model (which checkpoint, which seed), or of files (hash of their names and pixels)."""

    kind: Literal["model", "samples"]
    given: str
    n: int
    system: str = ""
    checkpoint: str = ""
    step: int | None = None
    seed: int | None = None
    sha256: str = ""


class DataPart(Part):
    """Real pictures. seen_in_training: how many of them have the pixels of a training picture, where those are known."""

    data: tuple[str, ...]
    split: str
    n: int
    sha256: str
    missed: dict[str, int]
    seen_in_training: int | None = None


class MemorisationPart(Part):
    """Distances of samples to the nearest training picture, against those of held-out reals, in one space."""

    space: str
    threshold: float
    near_share: float
    expected_share: float
    expected_share_low: float
    expected_share_high: float
    nearer: float
    expected_nearer: float = 0.5
    median_fake: float
    median_real: float


class QualityResults(Part):
    """results.json. floor_*: reals against training pictures, what a perfect generator would have."""

    format: Literal["forensics-quality-1"] = "forensics-quality-1"
    version: str = __version__
    versions: dict[str, str]
    device: str
    seed: int
    image_px: int
    view: str
    extractor: ExtractorPart
    fake: FakePart
    real: DataPart
    train: DataPart | None
    kid: Figure
    fid: Figure
    precision: Figure
    recall: Figure
    floor_kid: Figure | None
    floor_fid: Figure | None
    memorisation: tuple[MemorisationPart, ...]
    notes: tuple[str, ...]


def library_versions() -> dict[str, str]:
    """Of Python and of the libraries that figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def figure(estimate: Estimate, n_fake: int, n_real: int) -> Figure:
    """An estimate with its numbers of pictures."""
    return Figure(value=estimate.value, low=estimate.low, high=estimate.high, n_fake=n_fake, n_real=n_real)


def memorisation_part(space: str, found: Memorisation) -> MemorisationPart:
    """The figures of one space."""
    return MemorisationPart(
        space=space,
        threshold=found.threshold,
        near_share=found.near_share,
        expected_share=found.expected.value,
        expected_share_low=found.expected.low,
        expected_share_high=found.expected.high,
        nearer=found.nearer,
        median_fake=found.median_fake,
        median_real=found.median_real,
    )


def notes_of(
    extractor: str, n_fake: int, n_real: int, train: DataPart | None, seen: int | None, limit: int
) -> tuple[str, ...]:
    """What a reader must know before quoting a figure."""
    notes = []
    n = min(n_fake, n_real)
    if n < FID_PICTURES:
        notes.append(f"fid of {n} pictures is biased upwards: compare it at this number only (kid is not biased)")
    if extractor == "pixels":
        notes.append("the extractor 'pixels' sees layout and colour at 16 x 16, no detail")
    if train is None:
        notes.append("no training pictures apart from the reals: no floor, no search for copies (--train-data)")
    if train is not None and train.n < MIN_PICTURES:
        notes.append(f"no floor: training pictures {train.n}, needed {MIN_PICTURES}")
    if train is not None and train.n == limit:
        notes.append(f"copies were looked for among {limit} training pictures drawn at random: --reals N for more")
    if seen:
        notes.append(f"{seen} of the {n_real} reals are training pictures: a generator that copies would look good")
    return tuple(notes)


def summary_lines(results: QualityResults, output: Path | None) -> list[str]:
    """What the table's figures are of, and what to know of them."""
    extractor, fake, real = results.extractor, results.fake, results.real
    made = f"{fake.system} {fake.checkpoint[:12]}".strip() or fake.given
    lines = [
        f"extractor {extractor.name} at {extractor.input_px} px, weights {extractor.sha256[:12]}; "
        f"pictures {results.image_px} px; samples of {made}; reals of split {real.split}",
        *(f"note: {note}" for note in results.notes),
    ]
    return lines if output is None else [*lines, f"results and nearest training pictures in {output}"]


def table_rows(results: QualityResults) -> list[tuple[str, str, str, str]]:
    """(figure, value with interval, numbers of pictures, what it says) for a person."""
    name = results.extractor.name
    rows = [_row(f"kid[{name}]", results.kid, "distance to the reals; 0 = alike")]
    if results.floor_kid is not None:
        rows.append(_row("  floor", results.floor_kid, "training pictures against the reals"))
    rows.append(_row(f"fid[{name}]", results.fid, "distance to the reals"))
    if results.floor_fid is not None:
        rows.append(_row("  floor", results.floor_fid, "training pictures against the reals"))
    rows.append(_row(f"precision[{name}]", results.precision, "samples that look real; 1 = all"))
    rows.append(_row(f"recall[{name}]", results.recall, "reals that could be sampled; 1 = all"))
    for part in results.memorisation:
        numbers = f"{results.fake.n} fake, {results.train.n if results.train else 0} train"
        unsuspicious = f"{part.expected_share:.3f} [{part.expected_share_low:.3f}, {part.expected_share_high:.3f}]"
        rows.append(
            (f"near copies[{part.space}]", f"{part.near_share:.3f}", numbers, f"{unsuspicious} if nothing is copied")
        )
    return rows


def _row(name: str, found: Figure, says: str) -> tuple[str, str, str, str]:
    digits = 1 if found.value >= 10 else 4
    shown = f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return (
        name,
        shown,
        f"{found.n_fake} fake, {found.n_real} real"
        if "floor" not in name
        else (f"{found.n_fake} train, {found.n_real} real"),
        says,
    )
