"""What a detector is. Adding one is one file that satisfies this and one line in `forensics.detectors.registry`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError

Crop = NDArray[np.uint8]  # (S, S, 3) RGB, canonical frame, native resolution
Seen = Literal["face", "surroundings"]

# Scores are turned into logits for averaging and fusion; beyond this they are certain enough.
MAX_LOGIT = 30.0


@dataclass(frozen=True, eq=False)
class Subject:
    """What is judged, as detectors may see it.

    crop: the face in the canonical frame, at native resolution. surroundings: the face with what is around it
    (`forensics.faces.canonical.crop_surroundings`). Both are (S, S, 3) uint8 RGB; the same array where there is only one.
    """

    crop: Crop
    surroundings: Crop

    @classmethod
    def of_crop(cls, crop: Crop) -> Self:
        """A square of which nothing around it is known, such as a tile of a picture."""
        return cls(crop, crop)

    def changed(self, change: Callable[[Crop], Crop]) -> Self:
        """Both of them changed alike; what is one array stays one, and is changed once."""
        crop = change(self.crop)
        return type(self)(crop, crop if self.surroundings is self.crop else change(self.surroundings))

    def seen(self, sees: Seen) -> Crop:
        """What a detector that sees this is given."""
        return self.crop if sees == "face" else self.surroundings


@runtime_checkable
class Detector(Protocol):
    """Scores face crops. `score` is required; the protocols below are what some detectors can do beside it.

    Two attributes may be absent. `sees`: "face" (where absent) or "surroundings", what `score` and `explain` are given of a
    subject. `judges_pictures`: whether its scores mean something for tiles of a picture without a face; where absent, it
    does if it sees surroundings.
    """

    name: str
    description: str

    def score(self, crops: Sequence[Crop]) -> NDArray[np.float64]:
        """(N,) in [0, 1], 1 = fake, one per crop, each independent of the others in the call."""
        ...


@runtime_checkable
class Explainer(Protocol):
    """A detector that can say where it looked."""

    def explain(self, crops: Sequence[Crop]) -> list[NDArray[np.float32]]:
        """One (h, w) map per crop in [0, 1], over the crop's own area: greater = spoke more for fake."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A detector that attacks can differentiate through."""

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 RGB in [0, 1] -> (N,) logits, differentiable in x."""
        ...


def seen_by(detector: Detector) -> Seen:
    """What a detector is given of a subject. Raises UsageError for an attribute `sees` that is neither."""
    sees: Seen = getattr(detector, "sees", "face")
    if sees not in get_args(Seen):
        raise UsageError(
            f"detector {detector.name} says that it sees {sees!r}", f"`sees` is one of {', '.join(get_args(Seen))}"
        )
    return sees


def judges_pictures(detector: Detector) -> bool:
    """Whether a detector may be given tiles of a whole picture."""
    return bool(getattr(detector, "judges_pictures", seen_by(detector) == "surroundings"))


def logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of scores in [0, 1], cut off at MAX_LOGIT."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(np.log(scores) - np.log1p(-scores), -MAX_LOGIT, MAX_LOGIT))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT))))
