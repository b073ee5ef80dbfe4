"""Pictures per second of the shipped networks by engine and precision, against eager torch; ratios in one process.

    python tests/bench/bench_engines.py [--data MANIFEST] [--threads 2] [--batch 16] [--rounds 7] [--pictures 128]

(a) eager          the network as its module defines it: float32, NCHW, norms not folded
(b) channels_last  what `forensics scan` runs by default: norms folded, float32, channels_last
    bf16           the same under autocast to bfloat16
    openvino f32 / bf16, onnx f32     `--engine` and `--precision`

All are given the same framed batches, and none averages mirror images. Rounds are interleaved; a round times every batch
once. Medians, the ratio of medians to (a), and the largest difference of a score from (a) over all pictures are printed.
Without --data the pictures are crops of photographs in the public domain that come with scikit-image.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from skimage import data

from forensics.common.manifest import read_manifest
from forensics.common.seeds import rng_for
from forensics.detectors.cnn_network import load_network
from forensics.detectors.devices import to_tensor
from forensics.detectors.engines.choice import EngineChoice, missing_packages
from forensics.detectors.engines.loading import load_engine
from forensics.detectors.model_set import load_model_set
from forensics.detectors.protocol import sigmoid
from forensics.faces.canonical import middle_square
from forensics.media.image import read_image

CPU = torch.device("cpu")
ENGINES = {
    "channels_last": EngineChoice("torch", "f32"),
    "channels_last bf16": EngineChoice("torch", "bf16"),
    "openvino f32": EngineChoice("openvino", "f32"),
    "openvino bf16": EngineChoice("openvino", "bf16"),
    "onnx f32": EngineChoice("onnx", "f32"),
}
# Detector, input side in pixels.
NETWORKS = (("cnn", 160), ("cnn", 224), ("texture", 160))


def pictures_of(options):
    """Squares (S, S, 3) uint8, at least 256 on a side where drawn from photographs."""
    if options.data:
        paths = [item.path for item in read_manifest(options.data)]
        chosen = rng_for(0, 0).permutation(len(paths))[: options.pictures]
        return [middle_square(read_image(paths[i])) for i in chosen]
    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    draws, found = rng_for(0, 1), []
    for number in range(options.pictures):
        picture = photographs[number % len(photographs)]
        top, left = (int(draws.integers(side - 256)) for side in picture.shape[:2])
        found.append(np.ascontiguousarray(picture[top : top + 256, left : left + 256]))
    return found


def framed_batches(network, pictures, batch):
    """Batches of one shape each, as the network sees them."""
    by_shape = {}
    for picture in pictures:
        framed = network.frame(to_tensor(picture)[None])
        by_shape.setdefault(framed.shape, []).append(framed)
    return [torch.cat(one[i : i + batch]) for one in by_shape.values() for i in range(0, len(one), batch)]


def eager(network):
    """(a) as an engine."""

    def run(framed):
        with torch.inference_mode():
            return network.head(network.features(framed))

    return run


def compare(name, side, pictures, options):
    """Print one table."""
    model_set, folder = load_model_set(options.weights)
    plain = load_network(model_set, folder, name, folded=False).eval().requires_grad_(False)
    folded = load_network(model_set, folder, name).eval().requires_grad_(False)
    plain.input_px = folded.input_px = side
    batches = framed_batches(plain, pictures, options.batch)
    folded = folded.to(memory_format=torch.channels_last)
    runs, seconds_to_load = {"eager": eager(plain)}, {"eager": 0.0}
    for label, choice in ENGINES.items():
        if missing_packages(choice.name):
            print(f"{label}: not installed")
            continue
        started = time.perf_counter()
        runs[label] = load_engine(folded, False, CPU, choice)
        seconds_to_load[label] = time.perf_counter() - started
    scores = {
        label: np.concatenate([sigmoid(run(batch).numpy().astype(np.float64)) for batch in batches])
        for label, run in runs.items()
    }
    rates = {label: [] for label in runs}
    for _ in range(options.rounds):
        for label, run in runs.items():
            started = time.perf_counter()
            for batch in batches:
                run(batch)
            rates[label].append(len(pictures) / (time.perf_counter() - started))
    base = statistics.median(rates["eager"])
    print(f"\n{name}, {side} px, batch {options.batch}, {len(pictures)} pictures, {options.threads} threads, "
          f"{options.rounds} rounds, torch {torch.__version__}; scores of eager from {scores['eager'].min():.3f} to "
          f"{scores['eager'].max():.3f}\n")  # fmt: skip
    print("| engine | pictures/s (lowest to highest) | x eager | largest difference of a score | s to load |")
    print("|---|---|---|---|---|")
    for label, found in rates.items():
        gap = float(np.abs(scores[label] - scores["eager"]).max())
        spread = f"{statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})"
        ratio = statistics.median(found) / base
        print(f"| {label} | {spread} | {ratio:.2f} | {gap:.1e} | {seconds_to_load[label]:.1f} |")


def main():
    """Compare all networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="manifest of pictures")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures = pictures_of(options)
    for name, side in NETWORKS:
        compare(name, side, pictures, options)


if __name__ == "__main__":
    main()
