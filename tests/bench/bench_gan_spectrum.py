"""How well spectral detectors tell generators' samples from reals, for two ways of up-sampling, say.

    python tests/bench/bench_gan_spectrum.py --data faces/manifest.csv \\
        --model transposed=runs/dcgan --model resize=runs/dcgan-resize [--n 500]

For each model a set to fit on (split train) and one to test on (split test, other latents, people that are in neither the
generator's nor the detector's data) are drawn; reals go through the fakes' crop, resizing and encoder. Each detector is
fitted on the first alone and scores the second: as PNG, as JPEG of quality 75 when it was fitted on PNG, and as JPEG when
it was fitted on JPEG. AUC with a 95 % interval by bootstrap over sources.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from forensics.common.manifest import read_manifest
from forensics.common.metrics import auc_with_interval
from forensics.common.progress import Progress
from forensics.detectors.durall import DurallDetector
from forensics.detectors.frank import FrankDetector
from forensics.detectors.spectrum import SpectrumDetector
from forensics.media.image import read_image
from forensics.training.calibrate import balanced_weights
from forensics.training.crops import Crops
from forensics.training.linear_fit import fit_durall, fit_frank
from forensics.training.spectrum_fit import features_of, fit_spectrum
from generators.checkpoint import find_model, load_generator
from generators.sampling import Reals, write_samples

JPEG = "jpeg:75"
# What is said of it, encoding of the set to fit on, encoding of the set to test on.
CONDITIONS = (
    ("PNG", "png", "png"),
    ("JPEG 75, fitted on PNG", "png", JPEG),
    ("JPEG 75, fitted on JPEG 75", JPEG, JPEG),
)
QUIET = Progress(quiet=True)


def spectrum(crops):
    labels = np.array([item.label for item in crops.items], np.int64)
    return SpectrumDetector(fit_spectrum(features_of(crops, QUIET), labels, balanced_weights(crops.items)))


def durall(crops):
    return DurallDetector(fit_durall(crops, QUIET)[0])


def frank(crops):
    return FrankDetector(fit_frank(crops, QUIET)[0])


DETECTORS = {"spectrum": spectrum, "durall": durall, "frank": frank}


def drawn(loaded, folder, options, split, seed, encoding):
    """Fakes and reals of one split in one encoding."""
    reals = Reals((options.data,), split)
    manifest = write_samples(loaded, folder, options.n, seed, split, picture_format=encoding, reals=reals)
    items = tuple(read_manifest(manifest))
    pictures = [read_image(item.path) for item in items]
    sides = np.array([len(picture) for picture in pictures], np.int64)
    offsets = np.concatenate([[0], np.cumsum(3 * sides**2)[:-1]])
    places = np.stack([offsets, sides, offsets, sides], 1)
    landmarks = np.zeros((len(items), 5, 2), np.float32)  # no pseudo-fakes are made here
    return Crops(items, places, landmarks, np.concatenate([picture.ravel() for picture in pictures]), {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="MANIFEST", help="reals with splits train and test")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=MODEL", help="may be repeated")
    parser.add_argument("--n", type=int, default=500, help="fakes, and reals, of each set")
    parser.add_argument("--seed", type=int, default=11, help="of the set to fit on; the other has the next")
    options = parser.parse_args()
    print(f"{options.n} fakes and as many reals to fit on, and to test on.\n")
    print(f"| model | px | step | pictures | {' | '.join(DETECTORS)} |\n|{'---|' * (4 + len(DETECTORS))}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for number, (name, model) in enumerate(text.split("=", 1) for text in options.model):
            loaded = load_generator(find_model(model), torch.device("cpu"))
            sets = {
                (split, encoding): drawn(
                    loaded,
                    Path(temporary, f"{number}-{split}-{encoding[:3]}"),
                    options,
                    split,
                    options.seed + k,
                    encoding,
                )
                for k, split in enumerate(("train", "test"))
                for encoding in ("png", JPEG)
            }
            fitted = {
                (kind, encoding): fit(sets["train", encoding])
                for kind, fit in DETECTORS.items()
                for encoding in ("png", JPEG)
            }
            for said, fitted_on, tested_on in CONDITIONS:
                tested = sets["test", tested_on]
                crops = [tested[k] for k in range(len(tested))]
                labels, sources = zip(*((item.label, item.source) for item in tested.items), strict=True)
                cells = []
                for kind in DETECTORS:
                    found = auc_with_interval(labels, fitted[kind, fitted_on].score(crops), sources)
                    cells.append(f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]")
                print(
                    f"| {name} | {loaded.config.image_px} | {loaded.step} | {said} | {' | '.join(cells)} |", flush=True
                )


if __name__ == "__main__":
    main()
