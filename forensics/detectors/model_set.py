"""A set of weights that belong together: a folder with `model.json` and the files that it pins by SHA-256.

The description holds everything that a score depends on beside pixels: architecture and input size, fusion and
calibration, thresholds with their measured error rates, and the range of inputs that these were measured on.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from forensics.common.aggregation import Aggregation
from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.common.operating_point import OperatingPoint
from forensics.features.tiles import MIN_PICTURE_PX

DEFAULT_FOLDER = Path(__file__).parent.parent / "weights"
DESCRIPTION = "model.json"
SELFTEST_PICTURE = DEFAULT_FOLDER / "selftest.jpg"
DEFAULT_DETECTOR = "default"
# The fusion that judges pictures as a whole, from the same detectors' scores of tiles.
WHOLE_IMAGE = "whole-image"
FUSIONS = (DEFAULT_DETECTOR, WHOLE_IMAGE)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# How a network's weights are written.
STORED_AS = ("float16", "int8")
# Of one detector: more would make a scan slower than anyone waits for.
MAX_NETWORKS = 16
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class WeightFile(_Strict):
    """What a detector is read from, and what it takes to use it.

    more_files: where the detector is the mean of several networks, the files of all but the first, with their SHA-256; the
    settings are the same. Not written where there are none: such a set stays what it was before there could be.
    """

    file: FileName
    sha256: str
    settings: dict[str, str | int | float] = {}
    more_files: dict[FileName, str] = Field({}, max_length=MAX_NETWORKS - 1)

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        if self.file in self.more_files:
            raise ValueError(f"{self.file} is listed twice")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        fields: dict[str, object] = handler(self)
        return fields if self.more_files else {key: value for key, value in fields.items() if key != "more_files"}

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 per file, the first one first."""
        return {self.file: self.sha256, **self.more_files}


class Calibration(_Strict):
    """How raw logits become a probability, fitted on held-out data. A detector with the coefficient 0 has no part in it.

    Without offsets: sigmoid(intercept + sum of coefficient x logit). With offsets, one per detector: the probability that
    any of them is right, 1 - product of (1 - sigmoid(coefficient x logit + offset)) (noisy or; Pearl, Probabilistic
    Reasoning in Intelligent Systems, 1988, section 4.3.2), and `intercept` is 0: for detectors with different blind spots,
    where one that finds nothing is no witness against one that does.
    """

    coefficients: dict[str, float]
    intercept: float
    offsets: dict[str, float] = {}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.offsets and (self.offsets.keys() != self.coefficients.keys() or self.intercept != 0):
            raise ValueError("an offset for each coefficient, and no intercept")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        fields: dict[str, object] = handler(self)
        return fields if self.offsets else {key: value for key, value in fields.items() if key != "offsets"}

    def fuse(self, logits: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Calibrated logits (N,) of raw logits (N,) per detector."""
        terms = {
            name: weight * logits[name] for name, weight in self.coefficients.items() if weight or not self.offsets
        }
        if not self.offsets:
            return np.asarray(self.intercept + sum(terms.values()), np.float64)
        return log_odds_of_any([term + self.offsets[name] for name, term in terms.items()])

    def formula(self) -> str:
        """The calibrated logit in words, with the numbers that it has."""
        if not self.offsets:
            terms = [f"{weight:.3f} × {name}" for name, weight in self.coefficients.items()]
            return " + ".join([*terms, f"{self.intercept:.3f}"]).replace("+ -", "- ")
        terms = [f"{w:.3f} × {name} + {self.offsets[name]:.3f}" for name, w in self.coefficients.items() if w]
        return f"any of ({'; '.join(terms)})".replace("+ -", "- ")


def log_odds_of_any(log_odds: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(N,) log odds that at least one of independent causes holds, of their log odds, each (N,)."""
    # log of the product of (1 + odds), then minus 1: softplus and its inverse, which overflow nowhere.
    total = np.sum([np.logaddexp(0, np.asarray(one, np.float64)) for one in log_odds], axis=0)
    return np.asarray(total + np.log(-np.expm1(-np.maximum(total, 1e-300))), np.float64)


class Domain(_Strict):
    """Inputs outside this range were not part of what the error rates were measured on."""

    min_crop_px: int
    min_sharpness: float


class ModelSet(_Strict):
    """The contents of model.json."""

    format: int = 1
    name: str
    version: str
    licence: str
    trained_on: str
    weights: dict[str, WeightFile]
    calibrations: dict[str, Calibration]
    operating_points: dict[str, OperatingPoint]
    domain: Domain
    aggregations: dict[
        str, Aggregation
    ] = {}  # of a clip's faces, per opinion; the top track's mean logit for any other
    whole_image_domain: Domain | None = None  # of whole pictures; None: no range was measured
    selftest_logit: float | None = None  # of the default opinion on the built-in picture, for `forensics doctor`

    def domain_of(self, whole: bool) -> Domain:
        """The range of inputs that were validated: of faces, or of pictures as a whole."""
        if not whole:
            return self.domain
        return self.whole_image_domain or Domain(min_crop_px=MIN_PICTURE_PX, min_sharpness=0.0)

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 per file."""
        return {file: sha256 for part in self.weights.values() for file, sha256 in part.hashes.items()}


def load_model_set(folder: Path | None = None) -> tuple[ModelSet, Path]:
    """Read and check the description; files are checked by `checked_files` when they are loaded. Raises WeightsError."""
    folder = folder or DEFAULT_FOLDER
    path = folder / DESCRIPTION
    try:
        model_set = ModelSet.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WeightsError(
            f"no weights in {folder}: {error.strerror}", "reinstall the package, or name --weights DIR"
        ) from error
    except (ValueError, ValidationError) as error:
        raise WeightsError(
            f"{path} is not a description of weights", "reinstall the package, or train again"
        ) from error
    return model_set, folder


def checked_file(model_set: ModelSet, folder: Path, name: str) -> Path:
    """Path of the one file of a detector, whose bytes are the pinned ones. Raises WeightsError."""
    first, *others = checked_files(model_set, folder, name)
    if others:
        raise WeightsError(f"{name} is one file, {folder / DESCRIPTION} lists several", "train again")
    return first


def checked_files(model_set: ModelSet, folder: Path, name: str) -> list[Path]:
    """Paths of a detector's files, whose bytes are the pinned ones. Raises WeightsError."""
    part = model_set.weights.get(name)
    if part is None:
        raise WeightsError(
            f"{folder / DESCRIPTION} holds no weights of the detector '{name}'",
            f"it has: {', '.join(model_set.weights)}; name one of these, or other --weights",
        )
    for file, pinned in part.hashes.items():
        try:
            found = sha256_of_file(folder / file)
        except OSError as error:
            raise WeightsError(
                f"weights file {file} is missing", "reinstall the package, or name --weights DIR"
            ) from error
        if found != pinned:
            raise WeightsError(
                f"weights file {file} has SHA-256 {found[:12]}…, {pinned[:12]}… is pinned",
                "the file was changed or damaged: reinstall the package, or train again",
            )
    return [folder / file for file in part.hashes]
