"""Checkpoints: one .safetensors file each, whole or not at all, with everything that the next step depends on.

Tensors are named by what they belong to (`generator.`, `discriminator.`, `average.`, `optimizer.generator.` ...);
all else is JSON in the file's metadata. Nothing is pickled, so a stranger's checkpoint runs no code. Randomness needs
no state of its own: every draw is a function of (seed, rollbacks, step), which are in the metadata.
A file of a generator alone, as ships with the package, holds `average.` only, in float16.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file, write_atomic
from forensics.common.manifest import VIEWS
from forensics.common.text import printable
from generators.config import GanConfig, checked
from generators.system import System, system_named
from generators.translator import BACK_AVERAGE, TRANSLATORS

FORMAT = "forensics-generator-1"
META_KEY = "forensics"
SHIPPED = Path(__file__).parent / "weights"
BEST = "best.safetensors"
CHECKPOINTS = "checkpoints"
AVERAGE = "average."
META_LIMIT_BYTES = 1 << 22
# What a generator alone has no use for.
TRAINING_ONLY = frozenset({"game", "warm_ups", "is_warm"})

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class LoadedGenerator:
    """A generator ready to draw: averaged weights, float32, in eval mode."""

    system: System
    config: GanConfig
    network: nn.Module
    sha256: str
    step: int
    class_names: tuple[str, ...]
    view: str
    meta: Mapping[str, Any]


def write_checkpoint(path: Path, tensors: Tensors, meta: Mapping[str, Any]) -> None:
    """Write tensors and metadata as one file, atomically."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomic(path, save(plain, {META_KEY: json.dumps({"format": FORMAT, **meta}, sort_keys=True)}))


def read_meta(path: Path) -> dict[str, Any]:
    """A checkpoint's metadata. Raises WeightsError for a file that is none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(META_KEY, "")
        meta = json.loads(text) if 0 < len(text) <= META_LIMIT_BYTES else {}
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as a checkpoint: {error}", "is it whole?") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise WeightsError(f"{path} is not a generator's checkpoint", "give a run folder, or a file of its checkpoints")
    return meta


def read_checkpoint(path: Path, prefix: str = "") -> tuple[Tensors, dict[str, Any]]:
    """The tensors whose names begin with `prefix`, under their full names, on the CPU, and the metadata."""
    meta = read_meta(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as a checkpoint: {error}", "is it whole?") from error
    return tensors, meta


def load_generator(path: Path, device: torch.device) -> LoadedGenerator:
    """The averaged generator of a checkpoint. Raises WeightsError for what does not fit the network it names."""
    tensors, meta = read_checkpoint(path, AVERAGE)
    if str(meta.get("system")) in TRANSLATORS:
        raise WeightsError(
            f"{path} draws pictures from pictures, not from noise", "`forensics generate translate` applies it"
        )
    try:
        system = system_named(str(meta["system"]))
        config = checked(GanConfig, dict(meta["config"]), "the checkpoint is of another version, or damaged")
        with torch.device("meta"):  # what the file says is believed only as far as its tensors bear it out
            network = system.generator(config)
        weights = {name.removeprefix(AVERAGE): value for name, value in tensors.items()}
        floats = {name: v.float() if v.is_floating_point() else v for name, v in weights.items()}
        expected = {name: _kind(value) for name, value in network.state_dict().items()}
        found = {name: _kind(value) for name, value in floats.items()}
        if expected != found:
            wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise WeightsError(f"{path}: weights that do not fit {system.name}: {', '.join(wrong[:3])}")
        network.load_state_dict(floats, assign=True)
        class_names = tuple(printable(str(name)) for name in meta.get("class_names", ()))
        step, view = int(meta["step"]), str(meta.get("view", "scene"))
        if system.condition == "class" and len(class_names) not in (0, config.classes):
            raise ValueError(f"{len(class_names)} names of {config.classes} classes")
        if view not in VIEWS:
            raise ValueError(f"view is '{printable(view)}', not one of {', '.join(VIEWS)}")
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, UsageError) as error:
        raise WeightsError(f"{path}: {error}", "the checkpoint is of another version, or damaged") from error
    network = network.to(device).eval().requires_grad_(False)
    return LoadedGenerator(system, config, network, sha256_of_file(path), step, class_names, view, meta)


def _kind(value: torch.Tensor) -> tuple[tuple[int, ...], bool, bool]:
    """What must agree between a network and its weights: the shape, and which kind of numbers."""
    return tuple(value.shape), value.is_floating_point(), value.is_complex()


def find_model(spec: str, shipped: Path = SHIPPED) -> Path:
    """The checkpoint that a person means: a run's best (its latest where none is best), a file, or one of a folder of
    shipped ones."""
    path = Path(spec)
    if path.is_file():
        return path
    if path.is_dir():
        found = path / BEST if (path / BEST).is_file() else latest_checkpoint(path)
        if found is None:
            raise UsageError(f"{path} holds no checkpoint", "give the --output folder of a training run")
        return found
    named = shipped / f"{spec}.safetensors"
    if named.parent == shipped and named.is_file():
        return named
    names = ", ".join(sorted(file.stem for file in shipped.glob("*.safetensors")))
    raise UsageError(f"there is no model '{spec}'", f"a run folder, a .safetensors file, or one of: {names or 'none'}")


def checkpoints_of(run: Path) -> list[Path]:
    """A run's checkpoints, oldest first, `best` not among them."""
    return sorted((run / CHECKPOINTS).glob("step-*.safetensors"))


def latest_checkpoint(run: Path) -> Path | None:
    """The newest of `checkpoints_of`."""
    return checkpoints_of(run)[-1] if checkpoints_of(run) else None


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / CHECKPOINTS / f"step-{step:08d}.safetensors"


def step_of(path: Path) -> int:
    """The step of a path that `checkpoint_path` made."""
    return int(path.stem.removeprefix("step-"))


def keep_as(path: Path, kept: Path) -> None:
    """Let `kept` be the file at `path`, atomically and without a copy where the file system can."""
    temporary = kept.with_name(f".{kept.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    temporary.replace(kept)


def export_generator(path: Path, output: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write the averaged generator of a checkpoint alone, in float16, with its metadata: small enough to hand on."""
    tensors, meta = read_checkpoint(path)
    tensors = {name: value for name, value in tensors.items() if name.startswith((AVERAGE, BACK_AVERAGE))}
    half = {name: v.half() if v.is_floating_point() else v for name, v in tensors.items()}
    kept: dict[str, Any] = {k: v for k, v in meta.items() if k not in TRAINING_ONLY}
    write_checkpoint(output, half, {**kept, **(extra or {})})
