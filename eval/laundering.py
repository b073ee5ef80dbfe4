"""Trained networks as perturbations: cleaning a fake with one is how its traces are hidden.

A network is named by its system and what it does: `restore:denoise`, `restore:deblock`, `srgan:x2`. Its checkpoint ships
with `generators`, or is given: `restore:denoise=RUN`, a run of `forensics generate train-translator` or a .safetensors
file. `restore` stands for the restorations whose checkpoints ship, `srgan` for `srgan:x2`. What one checkpoint made
is never taken for what another one made: `pinned` names its SHA-256, and `restore:denoise@SHA256` asks for that very
checkpoint, as does `restore:denoise=RUN@SHA256`; recipes have it so.

Enlarged pictures keep their size: sides are filled up to even ones by reflection, halved by area averaging and enlarged
again by the network, and what was filled up is cut off.
Limits: networks run on the CPU in float32, so that devices do not differ; other processors and versions of torch may
round a level otherwise. There is no strength: a network does what it does.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.perturb.grid import GRID, Condition
from forensics.perturb.picture import Picture

if TYPE_CHECKING:
    from generators.translation.loaded import LoadedTranslator

PIN = re.compile(r"@([0-9a-f]{64})$")
SHORT_DIGITS = 12  # of a SHA-256, for people
UNIT = "checkpoint"
# There is one strength; tables show the checkpoint in its place.
STRENGTH = 1.0


@dataclass(frozen=True)
class Network:
    """What a network is called in tables, and which shipped checkpoint serves where none is given."""

    title: str
    shipped: str


NETWORKS = {
    "restore:denoise": Network("Denoised by a network", "restore-denoise"),
    "restore:deblock": Network("Deblocked by a network", "restore-deblock"),
    "srgan:x2": Network("Halved and super-resolved", "srgan-x2"),
}
SYSTEMS = tuple(dict.fromkeys(name.partition(":")[0] for name in NETWORKS))
HINT = f"there are: {', '.join(NETWORKS)}; with a checkpoint of your own: restore:denoise=RUN"


class Checkpoint:
    """A file that is loaded when it is first needed, once, whichever thread needs it."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._sha256 = path, sha256
        self._lock = threading.Lock()
        self._loaded: LoadedTranslator | None = None

    def get(self) -> "LoadedTranslator":
        """The network. Raises WeightsError for a damaged file, UsageError for one that was replaced meanwhile."""
        import torch

        from generators.translation.loaded import load_translator

        with self._lock:
            if self._loaded is None:
                loaded = load_translator(str(self._path), torch.device("cpu"))
                if loaded.sha256 != self._sha256:
                    raise UsageError(f"{self._path} changed while it was used", "run the command again")
                self._loaded = loaded
            return self._loaded


@dataclass(frozen=True)
class LaunderingCondition:
    """A network, with one checkpoint; used as `forensics.perturb.grid.Condition` is. `str()` is the name alone.

    given: what was written after `=`; empty for the shipped checkpoint.
    """

    name: str
    sha256: str
    checkpoint: Checkpoint = field(compare=False, repr=False)
    given: str = field(default="", compare=False)
    strength: float = STRENGTH
    keeps_size: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def recipe(self) -> str:
        """What `laundering_of` reads back, and only as this very checkpoint."""
        return f"{self.name}{f'={self.given}' if self.given else ''}@{self.sha256}"

    def apply(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """The (H, W, 3) uint8 RGB picture as the network gives it, of the same size; `rng` is not drawn from.

        Safe in several threads. Raises ValueError for anything but such a picture, UsageError for a network whose
        outputs are not finite, and what `Checkpoint.get` raises.
        """
        from generators.translation.tiles import translate

        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(f"(H, W, 3) uint8 RGB is expected, not {picture.shape} {picture.dtype}")
        network = self.checkpoint.get()
        height, width = picture.shape[:2]
        reduced = reduced_by(picture, network.config.scale)
        return np.ascontiguousarray(translate(network, reduced)[:height, :width])


AnyCondition = Condition | LaunderingCondition


def reduced_by(picture: Picture, scale: int) -> Picture:
    """1 / scale of each side by area averaging; sides that are no multiple are filled up by reflection, below and right."""
    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    filled = np.pad(picture, ((0, -height % scale), (0, -width % scale), (0, 0)), mode="symmetric")
    size = filled.shape[1] // scale, filled.shape[0] // scale
    return np.asarray(cv2.resize(filled, size, interpolation=cv2.INTER_AREA), np.uint8)


def is_network(text: str) -> bool:
    """Whether a `--perturb` means a network, known or not."""
    return re.split("[:=@]", text.strip())[0] in SYSTEMS


def laundering_of(text: str) -> list[LaunderingCondition]:
    """The networks that a `--perturb` names; none where it names something else.

    Raises UsageError, naming what there is, for a network that is not known, has no checkpoint, or has another one than
    was asked for; WeightsError for a file that is no translator's.
    """
    if not is_network(text):
        return []
    text = text.strip()
    pin = PIN.search(text)
    name, equals, given = text.removesuffix(pin[0] if pin else "").partition("=")
    if ":" not in name and not equals and not pin:
        own = [full for full in NETWORKS if full.startswith(f"{name}:")]
        found = [_condition(full, "", None) for full in own if _is_shipped(full)]
        return found or [_condition(own[0], "", None)]
    if name not in NETWORKS:
        raise UsageError(f"no network is called {name!r}", HINT)
    if equals and not given:
        raise UsageError(f"{name}= names no checkpoint", f"{name}=RUN, or {name} for the one that ships")
    return [_condition(name, given, pin[1] if pin else None)]


def check_one_each(conditions: Sequence[AnyCondition]) -> None:
    """Raise UsageError where a network is named with two checkpoints: results tell them apart by name."""
    known: dict[str, AnyCondition] = {}
    for condition in conditions:
        if isinstance(condition, LaunderingCondition) and known.setdefault(condition.name, condition) != condition:
            raise UsageError(f"{condition.name} is given with two checkpoints", "give one at a time, to two outputs")


def pinned(condition: AnyCondition) -> str:
    """The condition, and of a network the SHA-256 of its checkpoint: all that a changed copy depends on but its seed."""
    return f"{condition}@{condition.sha256}" if isinstance(condition, LaunderingCondition) else str(condition)


def title_and_unit(perturbation: str) -> tuple[str, str]:
    """What tables call a perturbation of the grid, or a network, and its strength. Raises KeyError for neither."""
    if perturbation in NETWORKS:
        return NETWORKS[perturbation].title, UNIT
    return GRID[perturbation].title, GRID[perturbation].unit


def networks_of(conditions: Sequence[AnyCondition]) -> dict[str, str]:
    """Network -> SHA-256 of its checkpoint."""
    return {one.name: one.sha256 for one in conditions if isinstance(one, LaunderingCondition)}


def _is_shipped(name: str) -> bool:
    from generators.checkpoint import SHIPPED

    return (SHIPPED / f"{NETWORKS[name].shipped}.safetensors").is_file()


def _condition(name: str, given: str, pin: str | None) -> LaunderingCondition:
    from generators.checkpoint import SHIPPED, find_model
    from generators.translation.loaded import what_of_file

    if not given and not _is_shipped(name):
        raise UsageError(f"no checkpoint of {name} ships with this installation", f"train one: {name}=RUN")
    path = find_model(given) if given else SHIPPED / f"{NETWORKS[name].shipped}.safetensors"
    sha256 = sha256_of_file(path)
    if pin is not None and sha256 != pin:
        raise UsageError(
            f"{name}: {path} is another checkpoint ({sha256[:SHORT_DIGITS]}) than was asked for ({pin[:SHORT_DIGITS]})",
            "put the same file there",
        )
    what = what_of_file(path)
    if what != name:
        raise UsageError(f"{path} is {what}, not {name}", HINT)
    given = str(Path(given).absolute()) if given and Path(given).exists() else given
    return LaunderingCondition(name, sha256, Checkpoint(path, sha256), given)
