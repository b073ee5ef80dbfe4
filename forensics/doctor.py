"""Checks of an installation, each with a hint for its fault."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forensics.common.errors import ForensicsError

# The self-test's score may differ by this much between processors and library versions.
SELFTEST_TOLERANCE = 0.25


@dataclass(frozen=True)
class Check:
    """A line of the doctor's report."""

    name: str
    value: str
    is_ok: bool = True
    hint: str = ""


def run_checks(weights: Path | None) -> Iterator[Check]:
    """All checks in order: software, devices, decoders, weights, self-test."""
    from forensics import __version__
    from forensics.environment import library_versions

    yield Check("deepfake-forensics", __version__)
    yield Check("Python", sys.version.split()[0], sys.version_info >= (3, 11), "Python 3.11 or newer is needed")
    for name, found in library_versions().items():
        yield Check(name, found, found != "missing", f"pip install {name}")
    yield from _devices()
    yield from _decoders()
    yield from _weights(weights)


def _devices() -> Iterator[Check]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check("CPU", f"{cores} cores, {torch.get_num_threads()} threads in use")
    if torch.cuda.is_available():
        yield Check("GPU", torch.cuda.get_device_name(0))
    elif torch.backends.mps.is_available():
        yield Check("GPU", "Apple MPS")
    else:
        yield Check("GPU", "none; everything runs on the CPU")


def _decoders() -> Iterator[Check]:
    from forensics.environment import ffmpeg_versions
    from forensics.media.build import missing_decoders

    versions = ffmpeg_versions()
    yield Check("FFmpeg", ", ".join(f"{name} {version}" for name, version in versions.items()))
    missing = missing_decoders()
    yield Check(
        "video decoders",
        "h264, hevc, vp9, av1, mpeg4" if not missing else f"missing: {', '.join(missing)}",
        not missing,
        "reinstall PyAV from its wheel: pip install --force-reinstall av",
    )


def _weights(folder: Path | None) -> Iterator[Check]:
    from forensics.detectors.model_set import SELFTEST_PICTURE, checked_files, load_model_set

    try:
        model_set, found = load_model_set(folder)
        yield Check("weights", f"{model_set.name} {model_set.version}, trained on {model_set.trained_on}")
        for name, part in model_set.weights.items():
            checked_files(model_set, found, name)
            for file, sha256 in part.hashes.items():
                yield Check(f"weights/{file}", f"SHA-256 {sha256}")
    except ForensicsError as error:
        yield Check("weights", error.message, False, error.hint)
        return
    yield _selftest(folder, SELFTEST_PICTURE, model_set.selftest_logit)


def _selftest(folder: Path | None, picture: Path, expected: float | None) -> Check:
    from forensics.config import ScanConfig
    from forensics.scan import Scanner

    try:
        with Scanner(ScanConfig(weights=folder, device="cpu")) as scanner:
            result = scanner.scan(picture, explain=False)
    except ForensicsError as error:
        return Check("self-test", error.message, False, error.hint)
    record = result.record
    if len(record.tracks) != 1:
        reason = record.message or f"{len(record.tracks)} faces"
        return Check(
            "self-test", f"one face was expected: {reason}", False, "reinstall facenet-pytorch==2.5.3 and PyAV"
        )
    score = result.top_logits["default"]
    shown = f"one face found, logit {score:.3f}, decoded in a child process in {record.clock.wall_s:.1f} s"
    if expected is not None and abs(score - expected) > SELFTEST_TOLERANCE:
        hint = "a library computes something else: compare the versions above with those of the model card"
        return Check("self-test", f"{shown}; {expected:.3f} was expected", False, hint)
    return Check("self-test", shown)
