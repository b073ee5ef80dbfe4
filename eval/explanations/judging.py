"""A detector that explains itself, and what its heatmaps are worth on one item."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eval.explanations.faces import MaskedFace
from eval.explanations.measures import Agreement, Heat, agreement, centred, chance
from eval.scoring import shown_name, threshold_of
from forensics.common.errors import DetectorError, ForensicsError, UsageError
from forensics.common.outcomes import Outcome
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.model_set import DEFAULT_DETECTOR, Calibration, ModelSet
from forensics.detectors.protocol import Detector, Explainer, logit, sigmoid
from forensics.detectors.registry import load_detector

MEASURED = "measured"
NOTHING_ALTERED = "nothing_altered"
ALL_ALTERED = "all_altered"
HINT = "name one that gives heatmaps, such as --detector cnn"
# Where several places tie for the hottest, half of them in the mask is a hit.
EVEN = 0.5
# Why an item has no figures, in words; others are outcomes of a scan.
OUTCOMES = {
    MEASURED: "measured",
    NOTHING_ALTERED: "the face that the detector found most suspicious holds no altered pixel",
    ALL_ALTERED: "the whole crop is altered: every map agrees",
    "mask_unreadable": "the mask could not be read",
    "mask_mismatch": "the mask has another size, other times, or is of another kind",
    str(Outcome.NO_FACE): "no face was found",
    str(Outcome.DETECTOR_ERROR): "the detector failed",
    str(Outcome.UNREADABLE): "the file could not be decoded",
}
MASK_FAILURES = {"mask_unreadable", "mask_mismatch"}


def could_not_be_measured(outcome: str) -> bool:
    """Whether an outcome is a failure of file, mask or detector: that there was nothing to measure is none."""
    return outcome in MASK_FAILURES or (outcome in set(Outcome) and not Outcome(outcome).analysed)


@dataclass(frozen=True)
class Judgement:
    """What one item says of one detector's heatmaps; the figures are means over its frames, None unless measured.

    score: in [0, 1], 1 = fake, of the measured faces. area: the mask's share of the crop. has_heat: some map was not blank.
    """

    outcome: str
    message: str = ""
    score: float | None = None
    n_faces: int = 0
    area: float = 0.0
    has_heat: bool = True
    heatmap: Agreement | None = None
    chance: Agreement | None = None
    centred: Agreement | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """A face for the sheet."""

    face: MaskedFace
    heat: Heat
    is_hit: bool  # by `pointing`


@dataclass(frozen=True, eq=False)
class Explained:
    """One detector that explains itself, with its calibration (None: its scores are taken as they are) and threshold."""

    name: str
    threshold: float
    threshold_origin: str
    fingerprint: str
    detector: Detector
    calibration: Calibration | None = None

    @classmethod
    def load(cls, spec: str, model_set: ModelSet, folder: Path, device: torch.device) -> "Explained":
        """A detector by name or NAME@FILE.

        Raises UsageError for one that gives no heatmaps of face crops, WeightsError for weights that do not fit.
        """
        if spec == DEFAULT_DETECTOR or spec.endswith(".py"):
            what = "the fusion" if spec == DEFAULT_DETECTOR else Path(spec).name
            raise UsageError(f"{what} gives no heatmap of its own", HINT)
        detector = load_detector(spec, model_set, folder, device)
        if not isinstance(detector, Explainer):
            raise UsageError(f"the detector {spec} gives no heatmaps", HINT)
        if getattr(detector, "sees", "face") != "face":
            raise UsageError(f"the heatmaps of {spec} show more than the face, which masks are not cropped for", HINT)
        fingerprint = detector_fingerprint(spec, model_set, folder)
        origin = threshold_of(spec, model_set)
        return cls(shown_name(spec), *origin, fingerprint, detector, model_set.calibrations.get(spec))

    def judge(self, frames: Iterable[Sequence[MaskedFace]]) -> tuple[Judgement, Shown | None]:
        """Look at the most suspicious face of each frame. Raises DetectorError where the detector fails."""
        logits: list[float] = []
        parts: list[tuple[float, bool, Agreement, Agreement, Agreement]] = []
        lacking: list[str] = []
        shown: Shown | None = None
        for faces in frames:
            if not faces:
                continue
            scores = self._logits(faces)
            face = faces[int(np.argmax(scores))]
            if not face.altered.any() or face.altered.all():
                lacking.append(ALL_ALTERED if face.altered.any() else NOTHING_ALTERED)
                continue
            heat = self._heat(face)
            found = agreement(heat, face.altered)
            logits.append(float(scores.max()))
            controls = chance(face.altered), centred(face.altered)
            parts.append((float(face.altered.mean()), bool(heat.any()), found, *controls))
            shown = shown or Shown(face, heat, found.pointing >= EVEN)
        if not parts:
            return Judgement(lacking[0] if lacking else str(Outcome.NO_FACE)), None
        areas, heats, *agreements = zip(*parts, strict=True)
        judgement = Judgement(
            MEASURED, "", float(sigmoid(np.array(np.mean(logits)))), len(parts), float(np.mean(areas)), any(heats),
            *(_mean(one) for one in agreements),
        )  # fmt: skip
        return judgement, shown

    def _logits(self, faces: Sequence[MaskedFace]) -> NDArray[np.float64]:
        """(N,) as a scan gives them."""
        try:
            scores = np.asarray(self.detector.score([face.crop for face in faces]), np.float64)
        except (MemoryError, ForensicsError):
            raise
        except Exception as error:  # another author's code may raise anything: the item has no figures, others may have
            raise DetectorError(f"detector {self.name} failed: {type(error).__name__}: {error}") from error
        if scores.shape != (len(faces),) or not np.all((scores >= 0) & (scores <= 1)):
            raise DetectorError(f"detector {self.name} gave no score in [0, 1] for a crop")
        raw = logit(scores)
        return self.calibration.fuse({self.name: raw}) if self.calibration else raw

    def _heat(self, face: MaskedFace) -> Heat:
        assert isinstance(self.detector, Explainer)  # noqa: S101  (`load` refuses others)
        try:
            heat = np.asarray(self.detector.explain([face.crop])[0], np.float32)
        except (MemoryError, ForensicsError):
            raise
        except Exception as error:  # as above
            raise DetectorError(f"detector {self.name} gave no heatmap: {type(error).__name__}: {error}") from error
        if heat.ndim != 2 or not heat.size or not np.all((heat >= 0) & (heat <= 1)):
            raise DetectorError(f"detector {self.name} gave no heatmap in [0, 1] for a crop")
        return heat


def _mean(agreements: Sequence[Agreement]) -> Agreement:
    return Agreement(*(float(np.mean(column)) for column in zip(*(a.values() for a in agreements), strict=True)))
