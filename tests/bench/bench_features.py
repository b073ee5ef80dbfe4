"""Spectral features: pictures a second, and how many times that of the same features written plainly in numpy.

    python tests/bench/bench_features.py [--side 224] [--rounds 9] [--processes 2]

(a) plain     per picture: window, radii and power worked out anew in double precision, logarithms of double precision,
              an 8 x 8 DCT of strided blocks, one mean over both block axes
    features  forensics.features.spectrum.spectrum_features, as detectors call it
(b) together  the same in several processes, one thread each

Rounds of (a) and features are interleaved in this process; the median of each and the ratio of the medians are printed, by
wall clock and by this process's own time (which other load on the machine hardly changes), and the largest difference
between the two results.
"""

import argparse
import statistics
import time
from multiprocessing import get_context

import cv2
import numpy as np
from scipy.fft import dctn

from forensics.features.spectrum import (
    BLOCK,
    FLOOR_DCT,
    FLOOR_POWER,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    PROFILE_BINS,
    spectrum_features,
)
from forensics.perturb import jpeg

PICTURES = 64


def drawn_pictures(side_px, seed=0):
    """Smooth shapes under sensor-like noise, once through JPEG: as rough as a face is."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(PICTURES):
        coarse = rng.uniform(20, 235, (8, 8, 3)).astype(np.float32)
        picture = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
        pictures.append(jpeg(noisy, 85))
    return pictures


def plain_features(crop):
    """(a), for crops up to 256 pixels a side."""
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = gray.shape
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.abs(np.fft.rfft2((gray - gray.mean()) * window)) ** 2 / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    index = np.minimum((radius * 2 * PROFILE_BINS).astype(np.int64), PROFILE_BINS).ravel()
    counts = np.bincount(index, minlength=PROFILE_BINS + 1)[:PROFILE_BINS]
    sums = np.bincount(index, np.log10(power + FLOOR_POWER).ravel(), PROFILE_BINS + 1)[:PROFILE_BINS]
    filled = np.flatnonzero(counts)
    profile = np.interp(np.arange(PROFILE_BINS), filled, 10 * sums[filled] / counts[filled])
    rows, columns = height // BLOCK, width // BLOCK
    blocks = gray[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    coefficients = np.log10(np.abs(dctn(blocks, axes=(2, 3), norm="ortho")) + FLOOR_DCT).mean((0, 1)).ravel()
    coefficients[0] = 0.0
    return np.concatenate([profile - profile.mean(), coefficients])


def time_of(function, pictures):
    """Seconds a picture: by the wall, by this process's own time."""
    wall, own = time.perf_counter(), time.process_time()
    for picture in pictures:
        function(picture)
    return (time.perf_counter() - wall) / len(pictures), (time.process_time() - own) / len(pictures)


def work(side_px, rounds, gate, results):
    """One of several processes: pictures a second while all of them run."""
    cv2.setNumThreads(1)
    pictures = drawn_pictures(side_px)
    spectrum_features(pictures[0])
    gate.wait()
    started = time.perf_counter()
    for _ in range(rounds):
        for picture in pictures:
            spectrum_features(picture)
    results.put(rounds * len(pictures) / (time.perf_counter() - started))


def together(side_px, rounds, processes):
    """Sum of the processes' rates."""
    context = get_context("spawn")
    gate, results = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=work, args=(side_px, rounds, gate, results)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    rates = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=224, metavar="PX", help=f"{MIN_SIDE_PX} to {MAX_SIDE_PX}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if not MIN_SIDE_PX <= options.side <= MAX_SIDE_PX:
        parser.error(f"--side is {MIN_SIDE_PX} to {MAX_SIDE_PX}")
    cv2.setNumThreads(1)  # numpy and scipy.fft use one thread here anyway
    pictures = drawn_pictures(options.side)
    functions = {"plain": plain_features, "features": spectrum_features}
    times = {name: [] for name in functions}
    for function in functions.values():
        time_of(function, pictures)  # what is kept of a size is made once
    for _ in range(options.rounds):
        for name, function in functions.items():
            times[name].append(time_of(function, pictures))
    print(f"{len(pictures)} drawn pictures of {options.side} px, {options.rounds} rounds, one thread")
    print(f"{'':12}{'pictures/s':>14}{'by own time':>14}")
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (wall, own) in medians.items():
        print(f"{name:12}{1 / wall:14.0f}{1 / own:14.0f}")
    wall, own = (plain / fast for plain, fast in zip(medians["plain"], medians["features"], strict=True))
    print(f"{'ratio':12}{wall:14.2f}{own:14.2f}")
    difference = max(float(np.abs(plain_features(p) - spectrum_features(p)).max()) for p in pictures)
    print(f"largest difference of a feature: {difference:.1e}")
    rate = together(options.side, options.rounds, options.processes)
    print(f"{options.processes} processes: {rate:.0f} pictures/s together")


if __name__ == "__main__":
    main()
