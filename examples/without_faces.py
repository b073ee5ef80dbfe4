"""Pictures of manifests, cropped so that no face is left: a set to judge `forensics scan --whole-image` by.

    python examples/without_faces.py ffhq_stylegan/manifest.csv --output no_face

Of each still picture the largest strip along an edge (a half of it, or less, down to a quarter) is kept in which the face
detector finds nothing, which of the edges first is drawn by the picture's place in its manifest. Pixels are copied, and
written as PNG; strips begin at whole blocks of 8 pixels, so that the blocks of a JPEG file lie alike in all of them. The
manifest has view `whole`, the data set's name with `_no_face`, and everything else as it was. Pictures in which every strip
shows a face are left out, and counted.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from forensics.common.errors import ForensicsError, MediaError
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.faces.mtcnn import MtcnnDetector
from forensics.faces.still import detect_in_stills
from forensics.faces.types import FaceDetector, Frame
from forensics.features.tiles import BLOCK, MIN_PICTURE_PX
from forensics.media.image import read_image

SHARES = (1 / 2, 3 / 8, 1 / 4)
EDGES = ("top", "bottom", "left", "right")


def strips(picture: Frame, rng: np.random.Generator) -> Iterator[Frame]:
    """Strips along the edges of a picture (H, W, 3), the large ones first; none whose short side is too small to judge."""
    height, width = picture.shape[:2]
    for share in SHARES:
        for edge in rng.permutation(EDGES):
            length = height if edge in ("top", "bottom") else width
            kept = int(length * share) // BLOCK * BLOCK
            start = 0 if edge in ("top", "left") else (length - kept) // BLOCK * BLOCK
            part = slice(start, start + kept)
            strip = picture[part] if edge in ("top", "bottom") else picture[:, part]
            if min(strip.shape[:2]) >= MIN_PICTURE_PX:
                yield strip


def without_face(picture: Frame, detector: FaceDetector, rng: np.random.Generator) -> Frame | None:
    """The first strip in which no face is found; None where there is one in each."""
    for strip in strips(picture, rng):
        (faces,) = detect_in_stills(detector, [strip])
        if not faces:
            return strip
    return None


def make_set(items: list[Item], output: Path, detector: FaceDetector, progress: Progress) -> Counter[str]:
    """Write the strips and their manifest; returns how many pictures were kept, and why others were not."""
    outcomes: Counter[str] = Counter()
    rows: list[Item] = []
    (output / "images").mkdir(parents=True, exist_ok=True)
    with progress.task("cropping", len(items)) as advance:
        for number, item in enumerate(items):
            advance(1)
            try:
                strip = without_face(read_image(item.path), detector, rng_for(0, number))
            except MediaError:
                outcomes["unreadable"] += 1
                continue
            if strip is None:
                outcomes["no strip without a face"] += 1
                continue
            outcomes["kept"] += 1
            file = output / "images" / f"{number:06d}.png"
            Image.fromarray(strip).save(file)
            rows.append(replace(item, path=file, view="whole", dataset=f"{item.dataset}_no_face", mask=""))
    write_manifest(output / "manifest.csv", rows)
    return outcomes


def main() -> None:
    """Read the command line, make the set, say what became of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--split", choices=("train", "dev", "test"), action="append", help="only these; may be repeated"
    )
    arguments = parser.parse_args()
    try:
        items = [item for path in arguments.manifests for item in read_manifest(path)]
        items = [item for item in items if not arguments.split or item.split in arguments.split]
        outcomes = make_set(items, arguments.output, MtcnnDetector(torch.device("cpu")), Progress())
    except ForensicsError as error:
        sys.exit(str(error))
    print(", ".join(f"{reason}: {n}" for reason, n in outcomes.most_common()), "->", arguments.output / "manifest.csv")


if __name__ == "__main__":
    main()
