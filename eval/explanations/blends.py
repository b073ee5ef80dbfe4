"""Real faces blended with themselves, and the masks of that: what a detector's heatmaps should show, from reals alone.

Self-blended images: Shiohara and Yamasaki 2022, arXiv 2204.08376, through `forensics.training.blending`. One per item, from
the seed and the item's place. They are not compressed again: a detector sees them as clean as they were made.
"""

import numpy as np
from numpy.typing import NDArray

from eval.explanations.faces import MaskedFace, cut, placed_faces
from forensics.common.errors import MediaError
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.seeds import rng_for
from forensics.detectors.protocol import Crop
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.still import detect_in_stills
from forensics.faces.types import FaceDetector
from forensics.media.reader import MediaReader
from forensics.media.types import Sampling
from forensics.training.blending import self_blend

GENERATOR = "self-blend"
# Keeps these draws apart from every other purpose of the same seed.
STREAM = 0x5B1


def blended_faces(
    item: Item, place: int, reader: MediaReader, detector: FaceDetector | None, sampling: Sampling, seed: int
) -> list[list[MaskedFace]]:
    """The first face of a real item, blended with itself; empty where no face is found. Raises MediaError."""
    found: tuple[Crop, NDArray[np.float32]] | None = None
    with reader.open(item.path, sampling) as stream:
        for sample, places in placed_faces(iter(stream), item.view, detector, stream.info.kind == "video"):
            if found is None and places:
                found = cut(sample.pixels, places[0]), places[0].landmarks
    if found is None:
        return []
    crop, landmarks = found
    landmarks = landmarks if len(landmarks) else crop_landmarks(crop, detector)
    try:
        return [[blended(crop, landmarks, rng_for(seed, STREAM, place))]]
    except ValueError as error:  # landmarks of no face
        raise MediaError(f"the face cannot be blended: {error}", outcome=Outcome.NO_FACE) from error


def blended(crop: Crop, landmarks: NDArray[np.float32], rng: np.random.Generator) -> MaskedFace:
    """A crop blended with itself; altered is where the blend weighs at least one grey level of 255."""
    blend = self_blend(crop, landmarks, rng)
    return MaskedFace(blend.fake, np.rint(np.asarray(blend.mask, np.float64) * 255) > 0)


def crop_landmarks(crop: Crop, detector: FaceDetector | None) -> NDArray[np.float32]:
    """Five landmarks (5, 2) of a face crop: of the largest face found in it, else where they lie at the median."""
    faces = detect_in_stills(detector, [crop])[0] if detector else []
    if not faces:
        return np.asarray(REFERENCE_LANDMARKS * crop.shape[0], np.float32)
    return np.asarray(max(faces, key=lambda face: face.size_px).landmarks, np.float32)
