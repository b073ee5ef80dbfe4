"""The two pictures of a planned pair, before augmentation: as they are stored, or a pseudo-fake made here of a real one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from forensics.detectors.protocol import Seen
from forensics.faces.types import Frame
from forensics.training.blending import Blend, face_blend, part_blend, pose_distance, self_blend, warp_blend
from forensics.training.crops import Crops
from forensics.training.plan import Blending, Pair

_Landmarks = NDArray[np.float32]
OF_ONE: dict[Blending, Callable[[Frame, _Landmarks, np.random.Generator], Blend]] = {
    "self": self_blend,
    "warp": warp_blend,
}
OF_TWO: dict[Blending, Callable[[Frame, _Landmarks, Frame, _Landmarks, np.random.Generator], Blend]] = {
    "part": part_blend,
    "face": face_blend,
}


def pictures_of(crops: Crops, pair: Pair, sees: Seen, rng: np.random.Generator) -> list[tuple[Frame, int]]:
    """The halves of a pair with their labels, (S, S, 3) uint8 each; one where the other is missing.

    A pseudo-fake's real may be changed with it (both share a colour transform): the pair differs by the forgery alone.
    Faces whose landmarks allow no blending are shown as they are, without a fake.
    """
    if pair.blending is not None and pair.real is not None:
        return _blended(crops, pair, pair.real, pair.blending, rng)
    return [(crops.seen(index, sees), label) for label, index in enumerate((pair.real, pair.fake)) if index is not None]


def _blended(
    crops: Crops, pair: Pair, real: int, blending: Blending, rng: np.random.Generator
) -> list[tuple[Frame, int]]:
    target = crops[real], crops.landmarks[real]
    try:
        if blending in OF_ONE:
            made = OF_ONE[blending](*target, rng)
        else:
            donor = min(pair.donors, key=lambda index: _distance(target[1], crops.landmarks[index]), default=real)
            made = OF_TWO[blending](*target, crops[donor], crops.landmarks[donor], rng)
    except ValueError:  # landmarks that coincide, or a crop without any detail
        return [(target[0], 0)]
    return [(made.real, 0), (made.fake, 1)]


def _distance(landmarks: _Landmarks, donor_landmarks: _Landmarks) -> float:
    try:
        return pose_distance(landmarks, donor_landmarks)
    except ValueError:  # landmarks that coincide: the last that is chosen
        return float("inf")
