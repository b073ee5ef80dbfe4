"""What a system is: networks, game and presets, in one file of `generators.networks` and one line of the registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import torch
from torch import nn

from forensics.common.errors import UsageError
from generators.config import GanConfig, checked
from generators.objectives import OBJECTIVES, Objective

# What the second input y of generator and discriminator is: nothing (None), a class of the data, or which of the
# system's own generators draws (MAD-GAN; the discriminator gets None then).
Condition = Literal["none", "class", "generator"]
Preset = Mapping[str, Any]


def named_objective(config: GanConfig) -> Objective:
    """The objective that the configuration names."""
    return OBJECTIVES[config.objective]()


@dataclass(frozen=True)
class System:
    """One GAN.

    generator(config): a module z (N, latent) float32, y (N,) int64 or None -> pictures (N, 3, image_px, image_px) in
    [-1, 1]. discriminator(config): pictures, y -> logits (N,), high = real. Both draw their first weights from torch's
    global generator, which the trainer seeds. Both raise UsageError that names the field for sizes they cannot have.
    ignores: options that mean nothing to it, and are refused.
    has_batch_statistics: whether D's output for a picture depends on the others of its batch; if not, reals and fakes
    go through it in one pass.
    """

    name: str
    title: str
    reference: str
    presets: Mapping[str, Preset]
    generator: Callable[[GanConfig], nn.Module]
    discriminator: Callable[[GanConfig], nn.Module]
    condition: Condition = "none"
    has_batch_statistics: bool = False
    ignores: frozenset[str] = frozenset()
    objective: Callable[[GanConfig], Objective] = field(default=named_objective)


# Name -> (module with SYSTEM, line of `forensics generate list`). Adding a system is one file and one line.
SYSTEMS = {
    "gan": ("generators.networks.gan", "the MLP of 2014"),
    "dcgan": ("generators.networks.dcgan", "deep convolutional GAN"),
    "cgan": ("generators.networks.cgan", "conditional GAN: classes by projection or concatenation"),
    "biggan": ("generators.networks.biggan", "residual, attentive, class-conditional; truncation trick"),
    "madgan": ("generators.networks.madgan", "several generators that the discriminator must tell apart"),
    "adaptive-conv": ("generators.networks.adaptive_conv", "up-sampling by kernels predicted for every place"),
}


def system_named(name: str) -> System:
    """Raises UsageError for a name that is not in SYSTEMS."""
    if name not in SYSTEMS:
        raise UsageError(f"there is no system '{name}'", f"one of: {', '.join(SYSTEMS)}")
    system: System = import_module(SYSTEMS[name][0]).SYSTEM
    return system


def configured(system: System, preset: str, values: dict[str, Any]) -> GanConfig:
    """The system's preset with the given values over it. Raises UsageError that names what is wrong."""
    if preset not in system.presets:
        raise UsageError(f"{system.name} has no preset '{preset}'", f"one of: {', '.join(system.presets)}")
    hint = "forensics generate train --help"
    idle = sorted(n for n in system.ignores & values.keys() if values[n] != GanConfig.model_fields[n].default)
    if idle:
        raise UsageError(f"option '{idle[0]}' means nothing to {system.name}", "leave it out")
    return checked(GanConfig, {**system.presets[preset], **values}, hint)


def check_sizes(system: System, config: GanConfig) -> None:
    """Raise UsageError that names the field, where the system cannot have the sizes. Nothing is computed."""
    if system.condition == "class" and config.classes == 0:  # as many as the data will have
        config = config.model_copy(update={"classes": 2})
    system.objective(config)
    with torch.device("meta"):
        system.generator(config)
        system.discriminator(config)
