"""What is pinned of a file, stage by stage, so that a failure says where a change is.

Fingerprints are means of 4 x 4 blocks per channel, in [0, 1]: coarse, comparable with a tolerance, and readable. Scores are
the scan's own calibrated logits, by every built-in detector that the set of weights has; float32, one thread, on the CPU.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from golden_pictures import golden_pictures

from forensics.config import ScanConfig
from forensics.detectors.cnn_network import load_network
from forensics.detectors.devices import to_tensor
from forensics.detectors.model_set import DEFAULT_DETECTOR, load_model_set
from forensics.detectors.registry import BUILT_IN
from forensics.media.types import Sampling
from forensics.scan import Scanner

SCORES = Path(__file__).parent / "scores.json"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
CLIPS = ("fake", "real")
TOLERANCE = 1e-3
# A box is rounded to a tenth of a pixel in a record: the last digit may turn over.
BOX_TOLERANCE_PX = 0.11
BLOCKS = 4
SAMPLE_FPS = 1.0  # of a clip: four samples say as much as sixteen
STAGES = ("drawn", "decoded", "faces", "crop", "framed", "logits")
Pins = dict[str, dict[str, Any]]  # stage -> what is pinned


def measure_all(portrait: np.ndarray, folder: Path) -> dict[str, Pins]:
    """Every picture and clip by its name; files of the pictures are written to the folder."""
    found: dict[str, Pins] = {}
    with _one_thread():
        model_set, weights = load_model_set()
        detectors = (DEFAULT_DETECTOR, *(name for name in BUILT_IN if name in model_set.weights))
        networks = {
            name: (load_network(model_set, weights, name, folded=False), file.settings.get("sees", "face"))
            for name, file in model_set.weights.items()
            if "framing" in file.settings
        }
        pictures = golden_pictures(portrait)
        for view in ("scene", "face"):
            config = ScanConfig(detector=detectors, view=view, device="cpu", threads=1, stability=False, sample_fps=1.0)
            one = config.model_copy(update={"max_frames": 1})
            with Scanner(config) as scanner, Scanner(one) as single:
                for picture in pictures:
                    if picture.view == view:
                        pins = _pins_of(scanner, scanner, picture.write(folder), networks)
                        found[picture.name] = {"drawn": {"blocks": block_means(picture.pixels)}, **pins}
                for name in CLIPS if view == "scene" else ():
                    found[f"clip-{name}"] = _pins_of(scanner, single, EXAMPLES / f"{name}.mp4", networks)
    return found


def block_means(picture: np.ndarray) -> list[float]:
    """(H, W, 3) uint8 or float in [0, 1] -> means of BLOCKS x BLOCKS equal areas per channel, row by row."""
    values = picture.astype(np.float32) / (255.0 if picture.dtype == np.uint8 else 1.0)
    return [round(float(v), 5) for v in cv2.resize(values, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA).ravel()]


def differences(pinned: dict[str, Pins], found: dict[str, Pins]) -> list[tuple[str, str, str]]:
    """(name, stage, what differs) in the order of the stages; empty where all is as pinned."""
    lines = []
    for name in dict.fromkeys((*pinned, *found)):
        if name not in pinned or name not in found:
            lines.append((name, "drawn", "is not pinned" if name in found else "is pinned, and no longer measured"))
            continue
        for stage in STAGES:
            before, now = pinned[name].get(stage, {}), found[name].get(stage, {})
            lines += [(name, stage, text) for text in _changes(before, now)]
    return lines


def read_pins() -> dict[str, Pins]:
    """What is pinned; empty where nothing is yet."""
    return json.loads(SCORES.read_text(encoding="utf-8"))["pins"] if SCORES.is_file() else {}


def pins_text(about: dict[str, Any], pins: dict[str, Pins]) -> str:
    """scores.json with a line per stage, so that a difference of two versions can be read."""
    files = []
    for name, stages in pins.items():
        lines = [f"{json.dumps(stage)}: {json.dumps(pinned)}" for stage, pinned in stages.items()]
        files.append(f"{json.dumps(name)}: {{\n  " + ",\n  ".join(lines) + "\n }")
    return f'{{"about": {json.dumps(about)},\n"pins": {{\n ' + ",\n ".join(files) + "\n}}\n"


def _pins_of(scanner: Scanner, single: Scanner, path: Path, networks: dict[str, Any]) -> Pins:
    """single: scans one sample. A scan keeps the crops that score highest, so that weights would choose what is pinned."""
    with scanner.reader.open(path, Sampling(SAMPLE_FPS, 240)) as stream:
        frames = [sample.pixels.copy() for sample in stream]
    result = scanner.scan(path, explain=False)
    assert result.logs, f"{path.name}: {result.record.outcome} {result.record.message}"
    log = max(result.logs, key=lambda log: len(log.samples))
    shown = single.scan(path, explain=False).logs if len(frames) > 1 else result.logs
    (kept,) = max(shown, key=lambda log: len(log.samples)).kept
    subject = kept.subjects[0]
    return {
        "decoded": {"frames": len(frames), "first": block_means(frames[0]), "last": block_means(frames[-1])},
        "faces": {
            "tracks": len(result.logs),
            "samples": len(log.samples),
            "boxes_px": [value for sample in log.samples for value in sample.box],
        },
        "crop": {
            "sides_px": [sample.crop_px for sample in log.samples],
            "first": block_means(subject.crop),
            "surroundings": block_means(subject.surroundings),
        },
        "framed": {
            name: block_means(network.frame(to_tensor(subject.seen(sees))[None])[0].permute(1, 2, 0).numpy())
            for name, (network, sees) in networks.items()
        },
        "logits": {name: round(float(log.logit(name)), 6) for name in log.logits},
    }


def _changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*before, *now)):
        if key not in before or key not in now:
            yield f"{key}: {'new' if key in now else 'gone'}"
            continue
        old, new = np.atleast_1d(np.asarray(before[key], np.float64)), np.atleast_1d(np.asarray(now[key], np.float64))
        if old.shape != new.shape:
            yield f"{key}: {len(old)} values became {len(new)}"
            continue
        tolerance = BOX_TOLERANCE_PX if key == "boxes_px" else TOLERANCE
        gap = np.abs(old - new)
        if not np.all(gap <= tolerance):  # also where a value is not a number
            worst = int(np.argmax(np.nan_to_num(gap, nan=np.inf)))
            yield f"{key}: {old[worst]:.6g} became {new[worst]:.6g} (tolerance {tolerance:g})"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: float32 on one thread repeats bit by bit on one machine."""
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv2_threads)
