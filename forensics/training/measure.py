"""Trained weights -> a calibrated set: fusion, calibration and thresholds on dev, error rates on test, all by scanning.

Twice: for faces, and, where the detectors can, for pictures as a whole (`--whole-image`), whose scores are of another
distribution and so have a fusion, thresholds and error rates of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from forensics import __version__
from forensics.common.errors import ManifestError
from forensics.common.files import write_atomic
from forensics.common.manifest import Item
from forensics.common.operating_point import OperatingPoint
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors import spectrum, texture
from forensics.detectors.model_set import (
    DEFAULT_DETECTOR,
    DESCRIPTION,
    SELFTEST_PICTURE,
    WHOLE_IMAGE,
    Calibration,
    Domain,
    ModelSet,
    WeightFile,
)
from forensics.detectors.protocol import sigmoid
from forensics.features.tiles import MIN_PICTURE_PX
from forensics.scan import Scanner
from forensics.training.calibrate import Thresholds, choose_thresholds, fit_calibration, operating_point
from forensics.training.card import card_text
from forensics.training.config import FUSED, TrainConfig
from forensics.training.evaluate import ScoredItems, metrics_of, score_items

# Smaller crops were hardly in the training data; see the median sizes in the card.
MIN_CROP_PX = 64
# Blurrier than this share of the dev split is outside of what the error rates were measured on.
BLUR_QUANTILE = 0.01
NOT_DECIDED = Thresholds(1.0, 0.0)


@dataclass(frozen=True)
class Measured:
    """What measuring gives: figures for metrics.json, the contents of model.json, and the card's tables."""

    metrics: dict[str, object]
    description: str
    card: str


@dataclass(frozen=True)
class _Opinions:
    """Calibrated opinions of one view, with their thresholds on dev and their error rates on test."""

    calibrations: dict[str, Calibration]
    points: dict[str, OperatingPoint]
    domain: Domain
    metrics: dict[str, object]


def measure(
    config: TrainConfig,
    weights: dict[str, WeightFile],
    folder: Path,
    licence: str,
    items: Sequence[Item],
    progress: Progress,
) -> Measured:
    """Calibrate and measure the weights in `folder`, which becomes a set of weights on the way."""
    describe = partial(_description, config, weights, licence, items)
    run = _Run(config, weights, folder, progress, describe)
    faces = run.opinions([item for item in items if item.view != "whole"], None)
    if faces is None:
        raise ManifestError("the dev split gave no scores of both classes", "calibration needs real and fake faces")
    metrics, calibrations, points = dict(faces.metrics), dict(faces.calibrations), dict(faces.points)
    selftest, whole_domain = None, None
    if DEFAULT_DETECTOR in calibrations:
        write_atomic(folder / DESCRIPTION, describe(calibrations, points, faces.domain))
        selftest = _selftest_logit(folder, config)
    whole = run.opinions(_measurable([item for item in items if item.view != "face"]), "whole")
    if whole is not None:
        metrics |= {f"{split} of whole pictures": blocks for split, blocks in whole.metrics.items()}
        calibrations[WHOLE_IMAGE], points[WHOLE_IMAGE] = whole.calibrations[WHOLE_IMAGE], whole.points[WHOLE_IMAGE]
        whole_domain = whole.domain
    description = describe(calibrations, points, faces.domain, selftest, whole_domain)
    return Measured(metrics, description, card_text(metrics, calibrations, points))


@dataclass(frozen=True)
class _Run:
    """What both views share."""

    config: TrainConfig
    weights: dict[str, WeightFile]
    folder: Path
    progress: Progress
    describe: "partial[str]"

    def judges_of(self, view: str | None) -> list[str]:
        """Names of the detectors whose scores mean something in a view."""
        if view is None:
            return list(self.weights)
        return [
            name
            for name, part in self.weights.items()
            if name == spectrum.NAME or (name == texture.NAME and part.settings.get("sees") == "surroundings")
        ]

    def opinions(self, items: Sequence[Item], view: str | None) -> _Opinions | None:
        """Fit on the dev split of items, measure on test; None where no detector judges them, or dev lacks a class."""
        dev, test = ([item for item in items if item.split == split] for split in ("dev", "test"))
        names = self.judges_of(view)
        if not names or not dev:
            return None
        raw = {name: Calibration(coefficients={name: 1.0}, intercept=0.0) for name in names}
        undecided = operating_point(NOT_DECIDED, np.empty(0), [], "none")
        everything = Domain(min_crop_px=1, min_sharpness=0)
        self._write(raw, dict.fromkeys(names, undecided), everything, view)
        scored_dev = score_items(dev, self.folder, tuple(names), self.config.threads, self.progress, view)
        if {item.label for item in scored_dev.items} != {0, 1}:
            return None
        calibrations = {
            opinion: fit_calibration({name: scored_dev.logits[name] for name in members}, scored_dev.items)
            for opinion, members in _members(names, view).items()
        }
        thresholds = {name: self._thresholds(found, scored_dev) for name, found in calibrations.items()}
        domain = Domain(
            min_crop_px=MIN_CROP_PX if view is None else MIN_PICTURE_PX,
            min_sharpness=round(float(np.quantile(scored_dev.sharpness, BLUR_QUANTILE)), 2),
        )
        points = {name: operating_point(found, np.empty(0), [], "none") for name, found in thresholds.items()}
        metrics: dict[str, object] = {
            "dev": metrics_of(_calibrated(scored_dev, calibrations), points, self.config.seed)
        }
        if test:
            self._write(calibrations, points, domain, view)
            asked = tuple(calibrations) if view is None else (DEFAULT_DETECTOR,)
            scored = score_items(test, self.folder, asked, self.config.threads, self.progress, view)
            points = {
                name: operating_point(thresholds[name], sigmoid(scored.logits[name]), scored.items, _test_set(test))
                for name in calibrations
            }
            metrics["test"] = metrics_of(scored, points, self.config.seed)
        return _Opinions(calibrations, points, domain, metrics)

    def _write(
        self, calibrations: dict[str, Calibration], points: dict[str, OperatingPoint], domain: Domain, view: str | None
    ) -> None:
        whole = None if view is None else domain
        write_atomic(self.folder / DESCRIPTION, self.describe(calibrations, points, domain, None, whole))

    def _thresholds(self, calibration: Calibration, scored: ScoredItems) -> Thresholds:
        probabilities = sigmoid(calibration.fuse(scored.logits))
        rates = self.config.false_positive_rate, self.config.false_negative_rate
        return choose_thresholds(probabilities, scored.items, *rates)


def _members(names: Sequence[str], view: str | None) -> dict[str, list[str]]:
    """Each opinion's detectors: the fusion's, and, of faces, those of each detector alone."""
    if view is not None:
        return {WHOLE_IMAGE: list(names)}
    fused: list[str] = [name for name in names if name in FUSED]
    return ({DEFAULT_DETECTOR: fused} if fused else {}) | {name: [name] for name in names}


def _measurable(items: Sequence[Item]) -> list[Item]:
    """Test items, and those of dev whose data set has real and fake ones there."""
    classes: dict[str, set[int]] = {}
    for item in items:
        if item.split == "dev":
            classes.setdefault(item.dataset, set()).add(item.label)
    return [item for item in items if item.split == "test" or classes.get(item.dataset) == {0, 1}]


def _description(
    config: TrainConfig,
    weights: dict[str, WeightFile],
    licence: str,
    items: Sequence[Item],
    calibrations: dict[str, Calibration],
    points: dict[str, OperatingPoint],
    domain: Domain,
    selftest_logit: float | None = None,
    whole_image_domain: Domain | None = None,
) -> str:
    """The contents of model.json, with which a folder is a set of weights."""
    datasets = sorted({item.dataset for item in items if item.split == "train" and item.view != "whole"})
    without = f" without the fakes of {', '.join(sorted(config.left_out))}" if config.left_out else ""
    families = config.texture_families
    expert = f"; {texture.NAME} on the fakes of {', '.join(families)} alone" if families else ""
    model_set = ModelSet(
        name="+".join(weights),
        version=f"{__version__}-seed{config.seed}",
        licence=licence,
        trained_on=f"train splits of {', '.join(datasets)}{without}{expert}",
        weights=weights,
        calibrations=calibrations,
        operating_points=points,
        domain=domain,
        whole_image_domain=whole_image_domain,
        selftest_logit=selftest_logit,
    )
    return model_set.model_dump_json(indent=2) + "\n"


def _selftest_logit(folder: Path, config: TrainConfig) -> float | None:
    with Scanner(ScanConfig(weights=folder, device="cpu", threads=config.threads)) as scanner:
        found = scanner.scan(SELFTEST_PICTURE, explain=False).top_logits.get(DEFAULT_DETECTOR)
    return None if found is None else round(found, 3)


def _calibrated(scored: ScoredItems, calibrations: dict[str, Calibration]) -> ScoredItems:
    logits = {name: calibration.fuse(scored.logits) for name, calibration in calibrations.items()}
    return ScoredItems(scored.items, logits, scored.sharpness, scored.missed)


def _test_set(items: Sequence[Item]) -> str:
    datasets = sorted({item.dataset for item in items})
    return f"test splits of {', '.join(datasets)} ({len(items)} pictures)"
