"""The detectors of one run, fused and calibrated: subjects in, calibrated logits per opinion out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.aggregation import Aggregation
from forensics.common.errors import DetectorError, ForensicsError, UsageError, WeightsError
from forensics.common.operating_point import OperatingPoint
from forensics.detectors.engines.choice import TORCH, EngineChoice
from forensics.detectors.model_set import DEFAULT_DETECTOR, FUSIONS, WHOLE_IMAGE, Calibration, ModelSet
from forensics.detectors.peer_weights import shown_name
from forensics.detectors.protocol import Crop, Detector, Explainer, Subject, judges_pictures, logit, seen_by
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

    whole: subjects are tiles of pictures in which no face was looked for. `default` then stands for the fusion
    `whole-image`, the only calibration of such scores, and a detector that judges faces alone is refused.
    A detector with a file of its own, `meso4@path/Meso4_DF.h5`, gives the opinion `meso4@Meso4_DF`, never calibrated.
    `engine` runs the networks.
    `primary` is the first calibrated opinion that was asked for: the one that the verdict rests on; None without any.
    `judges_pictures`: whether the set of weights could judge pictures without a face too.
    Raises UsageError for unknown or unfit names or two files of one name, and WeightsError for weights that do not fit.
    """

    def __init__(
        self,
        names: Sequence[str],
        model_set: ModelSet,
        folder: Path,
        device: torch.device,
        whole: bool = False,
        engine: EngineChoice = TORCH,
    ) -> None:
        fused = WHOLE_IMAGE if whole else DEFAULT_DETECTOR
        names = [fused if name == DEFAULT_DETECTOR else name for name in names]
        if not whole and WHOLE_IMAGE in names:
            raise UsageError(f"the fusion '{WHOLE_IMAGE}' judges pictures as a whole", "add --whole-image")
        self.judges_pictures = WHOLE_IMAGE in model_set.calibrations
        fusion = model_set.calibrations.get(fused) if fused in names else None
        if fused in names and fusion is None:
            raise _no_fusion(fused, folder)
        members = list(fusion.coefficients) if fusion else []
        wanted = _by_shown_name([*members, *(name for name in names if name not in FUSIONS)])
        self._detectors: dict[str, Detector] = {
            shown: load_detector(name, model_set, folder, device, engine) for shown, name in wanted.items()
        }
        if whole:
            for shown, detector in self._detectors.items():
                _check_judges_pictures(shown, detector)
        self._sees = {shown: seen_by(detector) for shown, detector in self._detectors.items()}
        self._calibrations: dict[str, Calibration] = {
            name: calibration
            for name, calibration in model_set.calibrations.items()
            # Those of single detectors were fitted on faces.
            if (wanted.get(name) == name and not whole) or (fusion and name == fused)
        }
        self.opinions = [
            *([Opinion(fused, f"calibrated fusion of {' and '.join(members)}", True, None)] if fusion else []),
            *(
                Opinion(name, detector.description, name in self._calibrations, _weight(fusion, name))
                for name, detector in self._detectors.items()
            ),
        ]
        self.primary = next((name for name in names if name in self._calibrations), None)
        self._points = model_set.operating_points
        # A picture that is judged as a whole is one track of tiles: nothing of what holds for faces.
        self._aggregations = (
            {} if whole else {n: a for n, a in model_set.aggregations.items() if n in self._calibrations}
        )

    @property
    def operating_point(self) -> OperatingPoint | None:
        """Thresholds of the primary opinion."""
        return self._points.get(self.primary) if self.primary else None

    def aggregations(self, is_clip: bool) -> dict[str, Aggregation]:
        """Per opinion, what makes one logit of a face's samples; of a picture, only what several faces take off."""
        found = self._aggregations.items()
        return {name: aggregation if is_clip else aggregation.of_pictures() for name, aggregation in found}

    def calibrated_logits(self, subjects: Sequence[Subject]) -> dict[str, NDArray[np.float64]]:
        """(N,) logits per opinion, calibrated where it can be, else the logit of the raw score.

        Each detector is given what it sees of the subjects. Raises DetectorError where one fails or gives anything but
        scores.
        """
        raw = {
            name: logit(_scores(name, detector, [subject.seen(self._sees[name]) for subject in subjects]))
            for name, detector in self._detectors.items()
        }
        return {
            opinion.name: self._calibrations[opinion.name].fuse(raw) if opinion.is_calibrated else raw[opinion.name]
            for opinion in self.opinions
        }

    def explain(self, subjects: Sequence[Subject]) -> list[NDArray[np.float32] | None]:
        """Heatmap over each subject's crop; None without a detector that can explain itself, or where it fails to.

        By the first that sees the crop; a map of the surroundings would be drawn over what it does not show.
        """
        for name, detector in self._detectors.items():
            if isinstance(detector, Explainer) and self._sees[name] == "face":
                return _heatmaps(detector, [subject.crop for subject in subjects])
        return [None] * len(subjects)


def _no_fusion(name: str, folder: Path) -> WeightsError:
    if name == WHOLE_IMAGE:
        return WeightsError(
            f"the weights in {folder} have no calibration '{name}' for pictures as a whole",
            "name --weights that were trained with one, or leave out --whole-image",
        )
    return WeightsError(f"the weights in {folder} have no fusion '{name}'", "name a --detector, or train again")


def _check_judges_pictures(name: str, detector: Detector) -> None:
    if not judges_pictures(detector):
        raise UsageError(
            f"detector {name} judges faces, with these weights at least, not pictures as a whole",
            "with --whole-image: default, spectrum, texture with weights that see surroundings, or FILE.py",
        )


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
