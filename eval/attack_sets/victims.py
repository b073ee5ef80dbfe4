"""A detector as the attacker has it: its calibrated logit as a differentiable function of the pixels of a crop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from eval.attacks import Logits
from eval.scoring import shown_name
from forensics.common.errors import UsageError, WeightsError
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.model_set import DEFAULT_DETECTOR, Calibration, ModelSet
from forensics.detectors.protocol import Crop, Detector, Differentiable, logit
from forensics.detectors.registry import BUILT_IN, load_detector


def nothing_else(crops: Sequence[Crop]) -> NDArray[np.float64]:
    """What is left out adds (N,) zeros where nothing is."""
    return np.zeros(len(crops))


@dataclass(frozen=True)
class Victim:
    """Whose gradient is followed. members: the detectors that take part; left_out: those of a fusion without a gradient.

    logits: (N, 3, H, W) in [0, 1] -> (N,) calibrated as in a scan, but for what is left out. left_out_logits: what that
    adds to them, (N,), for crops (S, S, 3) uint8; an attacker who has no gradient of it takes it to stay as it is. The sum
    of both is on the scale of the victim's threshold. Of a noisy or, what is left out is taken to find nothing.
    """

    name: str
    members: tuple[str, ...]
    left_out: tuple[str, ...]
    fingerprint: str
    logits: Logits
    left_out_logits: Callable[[Sequence[Crop]], NDArray[np.float64]] = nothing_else


def load_victim(spec: str, model_set: ModelSet, folder: Path, device: torch.device) -> Victim:
    """A victim by name, NAME@FILE or `default`; of a fusion the members that have a gradient, put together as in a scan.

    Raises UsageError for a detector without one, WeightsError for weights that do not fit.
    """
    if spec.endswith(".py"):
        raise _refusal(shown_name(spec), "it gives scores only", model_set, folder, device)
    calibration = model_set.calibrations.get(spec)
    if calibration is None:
        if spec == DEFAULT_DETECTOR:
            raise WeightsError(f"the weights in {folder} have no fusion 'default'", "name a --detector, or train again")
        calibration = Calibration(coefficients={spec: 1.0}, intercept=0.0)
    offsets = calibration.offsets
    terms: list[tuple[float, float, Callable[[torch.Tensor], torch.Tensor]]] = []
    constants: list[tuple[float, Detector]] = []
    members, left_out = [], []
    for name, weight in calibration.coefficients.items():
        if weight == 0.0:  # adds nothing
            continue
        detector = load_detector(name, model_set, folder, device)
        if isinstance(detector, Differentiable):
            terms.append((weight, offsets.get(name, 0.0), detector.logits))
            members.append(shown_name(name))
        else:
            constants.append((weight, detector))
            left_out.append(shown_name(name))
    if not terms:
        raise _refusal(shown_name(spec), "it has no logits(x)", model_set, folder, device)

    def logits(x: torch.Tensor) -> torch.Tensor:
        parts = torch.stack([weight * of_member(x).to(device) + offset for weight, offset, of_member in terms])
        if not offsets:
            return parts.sum(0) + calibration.intercept
        # As `forensics.detectors.model_set.log_odds_of_any`.
        total = softplus(parts).sum(0)
        return total + torch.log(-torch.expm1(-total.clamp(min=1e-30)))

    def left_out_logits(crops: Sequence[Crop]) -> NDArray[np.float64]:
        total = np.zeros(len(crops))
        for weight, of_member in [] if offsets else constants:
            total += weight * logit(np.asarray(of_member.score(crops), np.float64))
        return total

    fingerprint = detector_fingerprint(spec, model_set, folder)
    return Victim(shown_name(spec), tuple(members), tuple(left_out), fingerprint, logits, left_out_logits)


def attackable(model_set: ModelSet, folder: Path, device: torch.device) -> list[str]:
    """Names in a set of weights that `load_victim` accepts."""
    own = [name for name in BUILT_IN if name in model_set.weights]
    found = [name for name in own if isinstance(load_detector(name, model_set, folder, device), Differentiable)]
    fusion = model_set.calibrations.get(DEFAULT_DETECTOR)
    if fusion is not None and any(fusion.coefficients.get(name) for name in found):
        found.append(DEFAULT_DETECTOR)
    return found


def parts_of(name: str, model_set: ModelSet) -> frozenset[str]:
    """The detectors whose scores a detector's score depends on."""
    fusion = model_set.calibrations.get(name)
    if name != DEFAULT_DETECTOR or fusion is None:
        return frozenset([name])
    return frozenset(part for part, weight in fusion.coefficients.items() if weight != 0.0)


def _refusal(name: str, why: str, model_set: ModelSet, folder: Path, device: torch.device) -> UsageError:
    known = ", ".join(attackable(model_set, folder, device)) or "none in this set of weights"
    return UsageError(
        f"detector '{name}' cannot be attacked by gradient: {why}",
        f"those that can: {known}; craft on one of them and add --target {name} to see what carries over",
    )
