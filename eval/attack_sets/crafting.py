"""Crafting one set: decode, cut, attack, paste back, save; in chunks, so that memory is bounded and a stopped run goes on.

The same recipe gives the same bytes: chunks are cut by place in the list and made again as a whole, and the random
numbers of a picture come from the seed and its file's hash.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from eval.attack_sets.set_folder import PATCH_FILES, Entry, SetFolder, file_names, png_bytes
from eval.attack_sets.squares import Prepared, chunks, read_picture
from eval.attack_sets.victims import Victim
from eval.attacks import (
    Attack,
    Patch,
    apply_patch,
    craft_pictures,
    largest_change,
    logits_of,
    rms_change,
    train_patch,
)
from eval.attacks.quantisation import Picture
from forensics import __version__
from forensics.common.files import sha256_of_text
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.detectors.protocol import logit, sigmoid
from forensics.environment import library_versions
from forensics.media.reader import MediaReader

# Pictures, and their pixels in sum, that are in memory at a time, as they were, cut, attacked and saved: some 500 MB.
CHUNK, CHUNK_PIXELS = 32, 1 << 25
# A patch is trained on at most this many pictures of a class, and on as many pixels as fit into 400 MB; it is applied to
# all: it is universal.
PATCH_TRAINING, PATCH_PIXELS = 256, 1 << 27
KEY_DIGITS = 12
SAMPLE_STREAM = 21
# Those that the bytes of a set can depend on.
LIBRARIES = ("facenet-pytorch", "numpy", "opencv-python-headless", "pillow", "timm", "torch", "torchvision")


@dataclass(frozen=True)
class Job:
    """One set to be made; `prepared` holds only what can be attacked. threshold: the victim's, a probability."""

    prepared: Sequence[Prepared]
    victim: Victim
    threshold: float
    attack: Attack
    device: torch.device

    @property
    def recipe_sha256(self) -> str:
        """Hash over all that the pictures depend on."""
        squares = [[one.sha256, one.item.label, [asdict(square) for square in one.squares]] for one in self.prepared]
        versions = library_versions()
        recipe = {
            "victim": [self.victim.name, self.victim.fingerprint, list(self.victim.members)],
            "attack": asdict(self.attack),
            "threshold": self.threshold,
            "items": squares,
            "files": file_names([one.item.path for one in self.prepared]),
            "device": self.device.type,
            "tool": __version__,
            "libraries": {name: versions[name] for name in LIBRARIES},
        }
        return sha256_of_text(json.dumps(recipe, sort_keys=True))


def craft_set(job: Job, folder: SetFolder, reader: MediaReader, progress: Progress, title: str) -> None:
    """Make what the folder does not hold yet."""
    cut = chunks([one.area for one in job.prepared], CHUNK, CHUNK_PIXELS)
    lacking = [places for places in cut if any(place not in folder.entries for place in places)]
    if not lacking:
        progress.say(f"{title}: made earlier")
        return
    names = file_names([one.item.path for one in job.prepared])
    folder.claim(names)
    patches = _train_patches(job, folder, reader, progress, title) if job.attack.kind.norm == "area" else {}
    with progress.task(title, sum(map(len, lacking))) as bar:
        for places in lacking:
            pictures = [read_picture(reader, job.prepared[place].item) for place in places]
            made = _attacked(job, [job.prepared[place] for place in places], pictures, patches)
            new = []
            for place, original, (adversarial, score) in zip(places, pictures, made, strict=True):
                one = job.prepared[place]
                data = png_bytes(adversarial)
                pairs = [(square.cut(adversarial), square.cut(original)) for square in one.squares]
                entry = Entry(
                    place=place,
                    file=names[place],
                    sha256=hashlib.sha256(data).hexdigest(),
                    original=one.sha256,
                    score_before=score,
                    largest_change=max(largest_change(a, b) for a, b in pairs),
                    rms_change=round(max(rms_change(a, b) for a, b in pairs), 6),
                    squares=len(pairs),
                )
                new.append((entry, data))
            folder.add(new)
            bar(len(places))


def _attacked(
    job: Job, prepared: Sequence[Prepared], pictures: Sequence[Picture], patches: dict[int, Patch]
) -> list[tuple[Picture, float]]:
    """Each picture with its squares attacked, and the victim's probability in memory: that of its most suspicious face."""
    crops = [square.cut(picture) for one, picture in zip(prepared, pictures, strict=True) for square in one.squares]
    labels = [one.item.label for one in prepared for _ in one.squares]
    keys = [key for one in prepared for key in _keys(one)]
    victim, rest = job.victim.logits, job.victim.left_out_logits(crops)
    if patches:
        changed = [apply_patch(crop, patches[label], key) for crop, label, key in zip(crops, labels, keys, strict=True)]
        logits = logits_of(victim, changed, device=job.device) + rest
    else:
        thresholds = (logit_of(job.threshold) - rest).tolist()
        crafted = craft_pictures(victim, crops, labels, keys, job.attack, thresholds, device=job.device)
        changed, logits = [one.pixels for one in crafted], np.array([one.logit_in_memory for one in crafted]) + rest
    results, at = [], 0
    for one, picture in zip(prepared, pictures, strict=True):
        adversarial, n = picture.copy(), len(one.squares)
        for square, crop in zip(one.squares, changed[at : at + n], strict=True):
            square.paste(adversarial, crop)
        results.append((adversarial, float(sigmoid(np.array(max(logits[at : at + n]))))))
        at += n
    return results


def logit_of(probability: float) -> float:
    """Log odds of one probability."""
    return float(logit(np.array(probability)))


def _train_patches(
    job: Job, folder: SetFolder, reader: MediaReader, progress: Progress, title: str
) -> dict[int, Patch]:
    """One patch per class that is attacked, trained on a seeded sample of it."""
    patches = {}
    for label in sorted({one.item.label for one in job.prepared}):
        own = [one for one in job.prepared if one.item.label == label]
        order = rng_for(job.attack.seed, SAMPLE_STREAM, label).permutation(len(own))
        areas = np.cumsum([sum(square.side**2 for square in own[i].squares) for i in order])
        fitting = max(1, int(np.searchsorted(areas, PATCH_PIXELS, "right")))
        chosen = [own[i] for i in sorted(order[: min(fitting, PATCH_TRAINING)])]
        crops, keys = [], []
        for one in chosen:
            picture = read_picture(reader, one.item)
            crops += [square.cut(picture) for square in one.squares]
            keys += _keys(one)
        with progress.task(f"{title}: patch", job.attack.steps) as bar:
            thresholds = (logit_of(job.threshold) - job.victim.left_out_logits(crops)).tolist()
            patches[label] = train_patch(
                job.victim.logits, crops, label, keys, job.attack, thresholds, device=job.device, on_step=bar
            )
        folder.write_patch(PATCH_FILES[label], png_bytes(patches[label].pixels))
    return patches


def _keys(one: Prepared) -> list[int]:
    """What the random numbers of each square derive from: the file's hash and the square's number."""
    return [int(sha256_of_text(f"{one.sha256} {number}")[:KEY_DIGITS], 16) for number in range(len(one.squares))]
