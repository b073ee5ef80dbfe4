"""Scoring of randomly re-encoded and resized copies: an attack that was fitted to one path through the pixels meets others.

Random resizing and compression at inference (Xie et al. 2018, arXiv 1711.01991; Das et al. 2018, arXiv 1802.06816) break
perturbations that follow a network's gradient without regard to them; an attack that takes the expectation over such
changes (Athalye et al. 2018, arXiv 1707.07397) still works, so this raises the price and promises nothing.
What is drawn follows from the pixels themselves: the same picture has the same score on every machine, and one that is
changed by a grey level meets other copies.
Limits: calibration and thresholds were measured without it, and forgeries whose traces are finer than what the copies keep
score lower.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forensics.common.seeds import rng_for
from forensics.detectors.bank import DetectorBank
from forensics.detectors.protocol import Crop, Subject
from forensics.perturb import jpeg, resize_and_restore

# What a platform does to a picture: a smaller copy, and a JPEG quality of everyday.
SHARE_RANGE = (0.6, 0.95)
JPEG_RANGE = (50, 91)


def randomised_logits(bank: DetectorBank, subjects: Sequence[Subject], n_copies: int) -> dict[str, NDArray[np.float64]]:
    """(N,) calibrated logits per opinion: of the subjects as they are without copies, else the mean over their copies.

    Calibrations are linear in logits, so the mean of fused logits is the fusion of mean logits.
    """
    if n_copies == 0:
        return bank.calibrated_logits(subjects)
    seeds = [_seed(subject) for subject in subjects]
    sums: dict[str, NDArray[np.float64]] = {}
    for number in range(n_copies):
        copies = [randomised(subject, seed, number) for subject, seed in zip(subjects, seeds, strict=True)]
        for name, logits in bank.calibrated_logits(copies).items():
            sums[name] = sums.get(name, 0.0) + logits
    return {name: total / n_copies for name, total in sums.items()}


def randomised(subject: Subject, seed: int, number: int) -> Subject:
    """One copy, made smaller and back, then compressed; crop and surroundings meet the same."""
    return subject.changed(lambda picture: _changed(picture, rng_for(seed, number)))


def _changed(picture: Crop, rng: np.random.Generator) -> Crop:
    smaller = resize_and_restore(picture, float(rng.uniform(*SHARE_RANGE)))
    return jpeg(smaller, int(rng.integers(*JPEG_RANGE)))


def _seed(subject: Subject) -> int:
    return int.from_bytes(hashlib.sha256(np.ascontiguousarray(subject.crop).tobytes()).digest()[:8], "big")
