"""Detectors by name: built-in ones, and those that installed packages offer under the entry point `forensics.detectors`."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import torch

from forensics.common.errors import UsageError
from forensics.detectors.model_set import ModelSet
from forensics.detectors.protocol import Detector

ENTRY_POINT_GROUP = "forensics.detectors"

# Name -> module with `load(model_set, folder, device) -> Detector`. Imported when asked for.
BUILT_IN = {
    "cnn": "forensics.detectors.cnn",
    "texture": "forensics.detectors.texture",
    "spectrum": "forensics.detectors.spectrum",
}


def detector_names() -> list[str]:
    """All names that `load_detector` knows."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def load_detector(name: str, model_set: ModelSet, folder: Path, device: torch.device) -> Detector:
    """A detector by name. Raises UsageError for an unknown name, WeightsError for weights that do not fit."""
    if name in BUILT_IN:
        load: Callable[[ModelSet, Path, torch.device], Detector] = import_module(BUILT_IN[name]).load
        return load(model_set, folder, device)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        detector = point.load()()
        if not isinstance(detector, Detector):
            raise UsageError(f"the entry point {name} does not give a detector", "see forensics.detectors.protocol")
        return detector
    known = ", ".join(["default", *detector_names()])
    raise UsageError(f"there is no detector '{name}'", f"known: {known}; or a file FILE.py with predict(path) -> float")
