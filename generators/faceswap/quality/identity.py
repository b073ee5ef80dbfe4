"""Whose face is it: vectors of aligned faces, near each other for one person, and what share of faces changed person.

The one embedding known here is dlib's: a residual network of 29 layers for chips of 150 px, 99.38 % on LFW (King: Dlib-ml,
JMLR 10, 2009; weights of 2017, CC0). It is optional: packages `dlib-bin` and `face-recognition-models`. The weights are
pinned by hash, since a program in C++ parses them.
The chip is cut by where the aligned face's template puts eyes and mouth, without landmarks of the picture itself: a badly
drawn face is not helped by an alignment of its own. On real faces of 16 people it separates as well as dlib's own
predictors (AUC of one person against two .989, of those .987).
Limits: trained on web photographs, mostly of celebrities, it errs more for people unlike them; a similarity says which of
two people a face is nearer to, not that anyone would be deceived.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.faces.similarity import similarity
from generators.faceswap.alignment import ALIGNED_PX, TEMPLATE

Vectors = NDArray[np.float32]  # (N, D), each of length 1
Faces = NDArray[np.uint8]  # (N, 256, 256, 3) RGB, aligned

NOT_MEASURED = "identity not measured: install the extra 'identity' (dlib-bin, face-recognition-models)"
CHIP_PX = 150
# dlib's mean face (image_transforms/interpolation.h, Boost licence) in its chip with the usual margin of a quarter: centres
# of the eyes, corners of the mouth.
MEAN_FACE = np.array([[0.224152, 0.211947], [0.756101, 0.211947], [0.254149, 0.780233], [0.726104, 0.780233]])
CHIP_PADDING = 0.25
CHIP_POINTS = (MEAN_FACE + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_PX
EYES_AND_MOUTH = [0, 1, 3, 4]
WEIGHTS_PACKAGE, WEIGHTS_FILE = "face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
BATCH = 16


class Embedder(Protocol):
    """Gives faces of one person vectors that are near each other."""

    name: str

    def embed(self, pictures: Faces) -> Vectors:
        """(N, 256, 256, 3) uint8 aligned faces -> (N, D) float32 of unit length; N may be 0."""
        ...


class DlibEmbedder:
    """dlib's descriptor of 128 numbers, scaled to unit length."""

    name = "dlib"

    def __init__(self, weights: Path) -> None:
        """Raises WeightsError for a file that is not the published one."""
        try:
            digest = sha256_of_file(weights)
        except OSError as error:
            raise WeightsError(f"cannot read {weights}: {error.strerror}", "install face-recognition-models") from error
        if digest != WEIGHTS_SHA256:
            raise WeightsError(f"{weights} is not the published model", "install face-recognition-models anew")
        self._network: Any = importlib.import_module("dlib").face_recognition_model_v1(str(weights))

    def embed(self, pictures: Faces) -> Vectors:
        """As in `Embedder`. About 80 ms a face on one core."""
        if pictures.ndim != 4 or pictures.shape[1:] != (ALIGNED_PX, ALIGNED_PX, 3) or pictures.dtype != np.uint8:
            raise ValueError(f"aligned faces (N, {ALIGNED_PX}, {ALIGNED_PX}, 3) uint8 are needed, not {pictures.shape}")
        chips = [face_chip(picture) for picture in pictures]
        found = [
            np.asarray(vector, np.float32)
            for start in range(0, len(chips), BATCH)
            for vector in self._network.compute_face_descriptor(chips[start : start + BATCH])
        ]
        return unit(np.stack(found)) if found else np.empty((0, 128), np.float32)


def face_chip(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(150, 150, 3) as dlib cuts faces, from an aligned face (256, 256, 3). It shrinks by 0.72: linear needs no filter."""
    matrix = similarity(TEMPLATE[EYES_AND_MOUTH], CHIP_POINTS)
    chip = cv2.warpAffine(picture, matrix, (CHIP_PX, CHIP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(chip, np.uint8)


def embedder_named(name: str) -> Embedder | None:
    """auto: what is installed, or None (say NOT_MEASURED); none; dlib, which raises UsageError where it is missing."""
    if name not in ("auto", "none", "dlib"):
        raise UsageError(f"there is no embedding '{name}'", "auto, dlib or none")
    weights = _weights() if name != "none" else None
    if weights is not None:
        return DlibEmbedder(weights)
    if name == "dlib":
        raise UsageError("dlib's face recognition is not installed", "pip install dlib-bin face-recognition-models")
    return None


def _weights() -> Path | None:
    # The package's own __init__ wants setuptools' pkg_resources, which is gone: find the file without importing it.
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if importlib.util.find_spec("dlib") is None or found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / WEIGHTS_FILE
    return path if path.is_file() else None


# -- figures of vectors


def unit(vectors: NDArray[np.float32]) -> Vectors:
    """(N, D) scaled to length 1; a vector of zeros stays."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def centre(vectors: Vectors) -> NDArray[np.float32]:
    """The direction (D,) of the mean of (N, D). Raises ValueError for none."""
    if not len(vectors):
        raise ValueError("no faces to take the mean of")
    return np.asarray(unit(vectors.mean(0, keepdims=True))[0])


@dataclass(frozen=True, eq=False)
class Likeness:
    """Cosines (N,) of faces to the mean vector of either person, in [-1, 1]; 1 = the same direction."""

    to_source: NDArray[np.float64]
    to_target: NDArray[np.float64]

    @property
    def is_source(self) -> NDArray[np.bool_]:
        """Whether each face is nearer to the source than to the target (on the fence is not)."""
        return np.asarray(self.to_source > self.to_target)


def joined(parts: Sequence[Likeness]) -> Likeness:
    """Several as one, in their order."""
    return Likeness(
        np.concatenate([part.to_source for part in parts]), np.concatenate([part.to_target for part in parts])
    )


def likeness_of(embed: Callable[[Faces], Vectors], faces: Faces, source: Vectors, target: Vectors) -> Likeness:
    """How like either person faces (N, 256, 256, 3) are. source, target: (D,) as from `centre`."""
    vectors = embed(faces).astype(np.float64)
    return Likeness(vectors @ source.astype(np.float64), vectors @ target.astype(np.float64))
