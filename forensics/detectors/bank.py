"""The detectors of one run, fused and calibrated: crops in, calibrated logits per opinion out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import DetectorError, ForensicsError, UsageError, WeightsError
from forensics.common.operating_point import OperatingPoint
from forensics.detectors.model_set import DEFAULT_DETECTOR, Calibration, ModelSet
from forensics.detectors.peer_weights import shown_name
from forensics.detectors.protocol import Crop, Detector, Explainer, logit
from forensics.detectors.registry import load_detector


@dataclass(frozen=True)
class Opinion:
    """One line of the report: a detector or the fusion of several."""

    name: str
    description: str
    is_calibrated: bool
    weight: float | None  # coefficient in the fusion that is asked for, None if it is not part of it


class DetectorBank:
    """Loads what `names` ask for; `default` stands for the fusion and brings its members along.

    A detector with a file of its own, `meso4@path/Meso4_DF.h5`, gives the opinion `meso4@Meso4_DF`, never calibrated.
    `primary` is the first calibrated opinion that was asked for: the one that the verdict rests on; None without any.
    Raises UsageError for unknown names or two files of one name, and WeightsError for weights that do not fit.
    """

    def __init__(self, names: Sequence[str], model_set: ModelSet, folder: Path, device: torch.device) -> None:
        fusion = model_set.calibrations.get(DEFAULT_DETECTOR) if DEFAULT_DETECTOR in names else None
        if DEFAULT_DETECTOR in names and fusion is None:
            raise WeightsError(
                f"the weights in {folder} have no fusion '{DEFAULT_DETECTOR}'", "name a --detector, or train again"
            )
        members = list(fusion.coefficients) if fusion else []
        wanted = _by_shown_name([*members, *(name for name in names if name != DEFAULT_DETECTOR)])
        self._detectors: dict[str, Detector] = {
            shown: load_detector(name, model_set, folder, device) for shown, name in wanted.items()
        }
        self._calibrations: dict[str, Calibration] = {
            name: calibration
            for name, calibration in model_set.calibrations.items()
            if wanted.get(name) == name or (fusion and name == DEFAULT_DETECTOR)
        }
        self.opinions = [
            *(
                [Opinion(DEFAULT_DETECTOR, f"calibrated fusion of {' and '.join(members)}", True, None)]
                if fusion
                else []
            ),
            *(
                Opinion(name, detector.description, name in self._calibrations, _weight(fusion, name))
                for name, detector in self._detectors.items()
            ),
        ]
        self.primary = next((name for name in names if name in self._calibrations), None)
        self._points = model_set.operating_points

    @property
    def operating_point(self) -> OperatingPoint | None:
        """Thresholds of the primary opinion."""
        return self._points.get(self.primary) if self.primary else None

    def calibrated_logits(self, crops: Sequence[Crop]) -> dict[str, NDArray[np.float64]]:
        """(N,) logits per opinion, calibrated where it can be, else the logit of the raw score.

        Raises DetectorError where a detector fails or gives anything but scores.
        """
        raw = {name: logit(_scores(name, detector, crops)) for name, detector in self._detectors.items()}
        return {
            opinion.name: self._calibrations[opinion.name].fuse(raw) if opinion.is_calibrated else raw[opinion.name]
            for opinion in self.opinions
        }

    def explain(self, crops: Sequence[Crop]) -> list[NDArray[np.float32] | None]:
        """Heatmap per crop by the first detector that can explain itself; None without one, or where it fails to."""
        for detector in self._detectors.values():
            if isinstance(detector, Explainer):
                return _heatmaps(detector, crops)
        return [None] * len(crops)


def _by_shown_name(names: Sequence[str]) -> dict[str, str]:
    """What each detector is called in reports -> its name; each once. Raises UsageError where two would be called alike."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        shown = shown_name(name)
        if shown in found:
            raise UsageError(f"{found[shown]} and {name} would both be reported as {shown}", "rename one of the files")
        found[shown] = name
    return found


def _scores(name: str, detector: Detector, crops: Sequence[Crop]) -> NDArray[np.float64]:
    """Scores as they must be, whoever wrote the detector. Raises DetectorError."""
    try:
        found = np.asarray(detector.score(crops), np.float64)
    except (MemoryError, ForensicsError):
        raise
    except Exception as error:  # another author's code may raise anything: the item has no score, others may have
        raise DetectorError(
            f"detector {name} failed: {type(error).__name__}: {error}", "see the detector's own package"
        ) from error
    if found.shape != (len(crops),) or not np.all((found >= 0) & (found <= 1)):
        raise DetectorError(f"detector {name} gave no score in [0, 1] for a crop", "see the detector's own package")
    return found


def _heatmaps(detector: Explainer, crops: Sequence[Crop]) -> list[NDArray[np.float32] | None]:
    """One per crop, or none at all: the score stands without the picture of it."""
    try:
        found = [np.asarray(heat, np.float32) for heat in detector.explain(crops)]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (another author's code, as above)
        return [None] * len(crops)
    is_shown = len(found) == len(crops) and all(
        heat.ndim == 2 and heat.size and np.all((heat >= 0) & (heat <= 1)) for heat in found
    )
    return [*found] if is_shown else [None] * len(crops)


def _weight(fusion: Calibration | None, name: str) -> float | None:
    return fusion.coefficients.get(name) if fusion else None
