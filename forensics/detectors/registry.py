"""Detectors by name: built-in ones, and those that installed packages offer under the entry point `forensics.detectors`.

A built-in detector whose authors published weights may be named with a file of them: `meso4@path/Meso4_DF.h5`.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import torch

from forensics.common.errors import ForensicsError, UsageError
from forensics.detectors.engines.choice import TORCH, Accelerable, EngineChoice
from forensics.detectors.model_set import ModelSet
from forensics.detectors.peer_weights import split_name
from forensics.detectors.protocol import Detector

ENTRY_POINT_GROUP = "forensics.detectors"

# Name -> module:function(model_set, folder, device) -> Detector. Imported when asked for.
BUILT_IN = {
    "cnn": "forensics.detectors.cnn:load",
    "texture": "forensics.detectors.texture:load",
    "spectrum": "forensics.detectors.spectrum:load",
    "durall": "forensics.detectors.durall:load",
    "frank": "forensics.detectors.frank:load",
    "meso4": "forensics.detectors.mesonet:load_meso4",
    "mesoinception4": "forensics.detectors.mesonet:load_mesoinception4",
}


def detector_names() -> list[str]:
    """All names that `load_detector` knows."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def load_detector(
    name: str, model_set: ModelSet, folder: Path, device: torch.device, engine: EngineChoice = TORCH
) -> Detector:
    """A detector by name or NAME@FILE; `engine` is what runs its network, where it has one.

    Raises UsageError for an unknown name, a file that is not there or an entry point that fails to load, WeightsError for
    weights that do not fit.
    """
    detector = _load(name, model_set, folder, device)
    if engine != TORCH and isinstance(detector, Accelerable):
        detector.use_engine(engine)
    return detector


def _load(name: str, model_set: ModelSet, folder: Path, device: torch.device) -> Detector:
    kind, file = split_name(name)
    if file is not None:
        from forensics.detectors.mesonet import load_published

        return load_published(kind, file, device)
    if name in BUILT_IN:
        module, function = BUILT_IN[name].split(":")
        load: Callable[[ModelSet, Path, torch.device], Detector] = getattr(import_module(module), function)
        return load(model_set, folder, device)
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            detector = point.load()()
        except (MemoryError, ForensicsError):
            raise
        except Exception as error:  # another author's package: one that is broken or lacks a library of its own
            raise UsageError(
                f"the entry point {name} cannot be loaded: {type(error).__name__}: {error}",
                "see the detector's own package, or leave it out",
            ) from error
        if not isinstance(detector, Detector):
            raise UsageError(f"the entry point {name} does not give a detector", "see forensics.detectors.protocol")
        return detector
    known = ", ".join(["default", *detector_names()])
    raise UsageError(f"there is no detector '{name}'", f"known: {known}; or a file FILE.py with predict(path) -> float")
