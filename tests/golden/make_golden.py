"""Pin the golden scores anew: python tests/golden/make_golden.py [--accept "why they may change"]

Measures everything, prints what differs from the pinned values, and writes nothing. With --accept and a reason it writes
scores.json, with that reason, the weights' hash and the libraries in it. Needs scikit-image. Exit status: 0 nothing
differs, or it was accepted; 1 something differs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import skimage.data
from golden_measures import SCORES, differences, measure_all, pins_text, read_pins

from forensics.common.files import sha256_of_file, write_atomic
from forensics.detectors.model_set import DEFAULT_FOLDER, DESCRIPTION
from forensics.environment import library_versions


def main() -> int:
    """Measure, compare, and write where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", metavar="REASON", help="write the new values, and why they may change")
    reason = parser.parse_args().accept
    if reason is not None and not reason.strip():
        parser.error("--accept needs a reason, such as: new weights, trained with ...")
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(skimage.data.astronaut(), Path(folder))
    lines = differences(read_pins(), found)
    for name, stage, text in lines:
        sys.stdout.write(f"{name}: {stage}: {text}\n")
    if not lines:
        sys.stdout.write(f"{len(found)} files are as pinned\n")
        return 0
    if reason is None:
        sys.stdout.write(f"{len(lines)} differences; nothing was written. If they are meant: --accept REASON\n")
        return 1
    about = {
        "reason": reason,
        "model_json_sha256": sha256_of_file(DEFAULT_FOLDER / DESCRIPTION),
        "libraries": library_versions(),
    }
    write_atomic(SCORES, pins_text(about, found))
    sys.stdout.write(f"{len(lines)} differences accepted, {len(found)} files pinned\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
