"""What an inspection costs: each analysis of a still at twelve megapixels, and all analyses of clips against their scan.

    python tests/bench/bench_inspect.py [--clip FILE ...] [--rounds 3]

The picture is photographs that scikit-image ships, tiled to 4000 x 3000 pixels with sensor noise of its own over each, as
a JPEG of quality 92; its baseline is decoding it, in the same process. A clip's baseline is its scan with default
options, in the same process, the two taking turns. A first round of each warms up and does not count. Memory is that of a
whole `forensics inspect` with its decoding child (proportional set size), start-up and libraries included.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from bench_process import FORENSICS, peak_mb
from PIL import Image
from skimage import data

from forensics.config import InspectConfig, ScanConfig
from forensics.inspection import Inspector
from forensics.scan import Scanner

TILE_PX, COLUMNS, ROWS = 1000, 4, 3
NOISE = 3.0


def twelve_megapixels(path: Path) -> None:
    """Several photographs side by side, none of them twice at the same scale."""
    rng = np.random.default_rng(0)
    picture = np.empty((ROWS * TILE_PX, COLUMNS * TILE_PX, 3), np.uint8)
    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    for number in range(ROWS * COLUMNS):
        top, left = TILE_PX * (number // COLUMNS), TILE_PX * (number % COLUMNS)
        side = TILE_PX + 37 * number
        tile = cv2.resize(sources[number % len(sources)], (side, side), interpolation=cv2.INTER_CUBIC)
        picture[top : top + TILE_PX, left : left + TILE_PX] = tile[:TILE_PX, :TILE_PX]
    noisy = picture + rng.normal(0, NOISE, picture.shape)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=92)


def still(path: Path, rounds: int) -> None:
    """A line per analysis, and all of them."""
    stages: dict[str, list[float]] = {}
    walls = []
    with Inspector(InspectConfig()) as inspector:
        for number in range(rounds + 1):
            clock = inspector.inspect(path).record.clock
            if not number:
                continue
            walls.append(clock.wall_s)
            for name, seconds in clock.stages_s.items():
                stages.setdefault(name, []).append(seconds)
    decoding = statistics.median(stages["decoding"])
    print(f"\n| {COLUMNS * TILE_PX} x {ROWS * TILE_PX} JPEG | s | x decoding |\n|---|---|---|")
    for name, values in stages.items():
        print(f"| {name} | {statistics.median(values):.2f} | {statistics.median(values) / decoding:.1f} |")
    print(f"| all | {statistics.median(walls):.2f} | {statistics.median(walls) / decoding:.1f} |")
    print(f"\npeak memory: {peak_mb([*FORENSICS, 'inspect', str(path), '--quiet']):.0f} MiB")


def clips(paths: list[Path], rounds: int) -> None:
    """Inspection against scan, the two taking turns."""
    print("\n| clip | scan s | inspection s | inspection / scan | lowest to highest |\n|---|---|---|---|---|")
    with Scanner(ScanConfig()) as scanner, Inspector(InspectConfig()) as inspector:
        for path in paths:
            scans, inspections = [], []
            for number in range(rounds + 1):
                started = time.perf_counter()
                scanner.scan(path, explain=True)
                between = time.perf_counter()
                inspector.inspect(path)
                if number:
                    scans.append(between - started)
                    inspections.append(time.perf_counter() - between)
            ratios = [one / other for one, other in zip(inspections, scans, strict=True)]
            print(
                f"| {path.name} | {statistics.median(scans):.2f} | {statistics.median(inspections):.2f} "
                f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
            )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        twelve_megapixels(path)
        still(path, options.rounds)
    if options.clip:
        clips(options.clip, options.rounds)


if __name__ == "__main__":
    main()
