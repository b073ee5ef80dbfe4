"""One hash per detector over everything that its scores depend on beside the pixels: for provenance and for caches."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from forensics import __version__
from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file, sha256_of_text
from forensics.detectors.model_set import DEFAULT_DETECTOR, FUSIONS, ModelSet, checked_files
from forensics.detectors.peer_weights import split_name
from forensics.detectors.registry import BUILT_IN, ENTRY_POINT_GROUP, detector_names


def detector_fingerprint(name: str, model_set: ModelSet, folder: Path) -> str:
    """SHA-256 of a detector as 64 hexadecimal digits.

    Covers, for a built-in detector: this package's version, the pinned hash and settings of its file, its calibration
    and its aggregation over a clip; for `default` and `whole-image`: the fusion and the files of its members; for NAME@FILE
    and FILE.py: the file's bytes (what FILE.py imports is not covered); for an entry point: its distribution's name and
    version.
    Raises UsageError for an unknown name, WeightsError for weights that are missing or not the pinned ones.
    """
    parts = _parts(name, model_set, folder)
    if not name.endswith(".py"):
        parts["domain"] = model_set.domain.model_dump()
        if model_set.whole_image_domain is not None:
            parts["whole_image_domain"] = model_set.whole_image_domain.model_dump()
        if name in model_set.aggregations:  # sets without any keep the fingerprints that they had
            parts["aggregation"] = model_set.aggregations[name].model_dump()
    return sha256_of_text(json.dumps(parts, sort_keys=True))


def _parts(name: str, model_set: ModelSet, folder: Path, is_calibrated: bool = True) -> dict[str, Any]:
    if name.endswith(".py"):
        return {"kind": "script", "sha256": _hash(Path(name))}
    detector, file = split_name(name)
    if file is not None:
        return {"kind": "file", "package": __version__, "name": detector, "sha256": _hash(file)}
    calibration = model_set.calibrations.get(name) if is_calibrated else None
    shared = {"package": __version__, "name": name, "calibration": calibration.model_dump() if calibration else None}
    if name in FUSIONS:
        if calibration is None:
            raise WeightsError(f"the weights in {folder} have no fusion '{name}'", "name a --detector, or train again")
        # The fusion takes the members' raw logits.
        members = [
            _parts(member, model_set, folder, is_calibrated=False) for member in sorted(calibration.coefficients)
        ]
        return {"kind": "fusion", **shared, "members": members}
    if name in BUILT_IN:
        checked_files(model_set, folder, name)
        return {"kind": "built-in", **shared, "weights": model_set.weights[name].model_dump()}
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        found = point.dist
        return {
            "kind": "entry point",
            **shared,
            "object": point.value,
            "distribution": [found.name, found.version] if found else None,
        }
    known = ", ".join([DEFAULT_DETECTOR, *detector_names()])
    raise UsageError(f"there is no detector '{name}'", f"known: {known}; or a file FILE.py with predict(path) -> float")


def _hash(file: Path) -> str:
    try:
        return sha256_of_file(file)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "check the path after --detector") from error
