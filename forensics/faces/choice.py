"""Which face detector a run takes, by its name."""

from pathlib import Path

import torch

from forensics.common.errors import UsageError
from forensics.faces.types import FaceDetector


def load_face_detector(name: str, model: Path | None, device: torch.device) -> FaceDetector:
    """`mtcnn`, whose weights come with a package, or `yunet`, whose ONNX file is the user's. Raises UsageError,
    WeightsError.
    """
    if name == "yunet":
        from forensics.faces.yunet import YunetDetector

        if model is None:
            raise UsageError("--face-detector yunet needs its model", "--face-model FILE.onnx")
        return YunetDetector(model)
    from forensics.faces.mtcnn import MtcnnDetector

    # MPS lacks operators that the cascade needs; it is small, and the CPU does it well.
    return MtcnnDetector(device if device.type == "cuda" else torch.device("cpu"))
