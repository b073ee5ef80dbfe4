"""The loop of the project, closed: our generator's fakes are told from reals that neither it nor the detector has seen.

Reals and fakes go through one crop, one resizing and one encoder (`write_samples`), so that what tells them apart is not
the history of the files.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from forensics.common.manifest import Item, read_manifest
from forensics.common.metrics import auc
from forensics.detectors.spectrum import SpectrumDetector
from forensics.features.spectrum import spectrum_features
from forensics.media.image import read_image
from forensics.training.calibrate import balanced_weights
from forensics.training.spectrum_fit import fit_spectrum
from generators.checkpoint import find_model, load_generator
from generators.sampling import Reals, write_samples

MODEL = "dcgan"  # ships with the package; up-samples by transposed convolutions
PICTURES = 500
FIT_SEED, TEST_SEED = 11, 12
LEAST_AUC = 0.98

Set = tuple[list[Item], list[np.ndarray]]


def drawn(folder: Path, manifest: Path, split: str, seed: int) -> Set:
    """As many fakes and reals of a split, as they lie in their files."""
    loaded = load_generator(find_model(MODEL), torch.device("cpu"))
    assert loaded.config.upsampling == "transposed"
    written = write_samples(loaded, folder, PICTURES, seed, split, reals=Reals((manifest,), split))
    items = read_manifest(written)
    return items, [read_image(item.path) for item in items]


@pytest.mark.timeout(120)
def test_the_spectrum_tells_our_samples_from_reals_that_it_never_saw(tmp_path: Path, data_folder: Path) -> None:
    manifest = data_folder / "dfdc" / "manifest.csv"
    items, crops = drawn(tmp_path / "fit", manifest, "train", FIT_SEED)
    features = np.stack([spectrum_features(crop) for crop in crops])
    labels = np.array([item.label for item in items], np.int64)
    detector = SpectrumDetector(fit_spectrum(features, labels, balanced_weights(items)))

    unseen, others = drawn(tmp_path / "test", manifest, "test", TEST_SEED)
    known = {item.source for item in items} | {item.identity for item in items} - {""}
    assert not known & ({item.source for item in unseen} | {item.identity for item in unseen} - {""})
    truth = np.array([item.label for item in unseen], np.int64)
    assert min(np.bincount(truth)) >= PICTURES // 2
    assert {crop.shape for crop in [*crops, *others]} == {crops[0].shape}  # size tells nothing
    assert auc(truth, detector.score(others)) >= LEAST_AUC
