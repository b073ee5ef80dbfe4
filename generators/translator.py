"""What a translator of pictures is: networks and presets, one file of `generators.networks`, one line of the registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from forensics.common.errors import UsageError, WeightsError
from generators.config import checked
from generators.translation_config import TranslationConfig

# Where pairs of input and target come from: the pictures are targets that inputs are made of (`made`), or pairs are given;
# or there are two sets of pictures without pairs, of which both ways are learned.
Pairing = Literal["made", "given or made", "unpaired"]
# Prefix in checkpoints of the averaged network of the way back.
BACK_AVERAGE = "back_average."
# Options of what learns without pairs.
CYCLE_OPTIONS = frozenset({"cycle_weight", "identity_weight", "replay"})
HELP = "forensics generate train-translator --help"
HINT = "`forensics generate train-translator` makes one"
DAMAGED = "the checkpoint is of another version, or damaged"


class PictureNetwork(nn.Module):
    """x (N, 3, H, W) in [-1, 1] -> (N, 3, scale H, scale W) in about [-1, 1].

    reach_px: how many pixels of the input around one an output pixel depends on, or None where it is the whole picture.
    side_step: of what its sides are multiples, `image_px` or more where it depends on the whole; None: they are `image_px`.
    """

    reach_px: int | None = None
    side_step: int | None = None


class Critic(nn.Module):
    """A discriminator that shows what it sees."""

    def features(self, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of pictures y (with inputs x, if it looks at them), the last of them logits, high = real."""
        raise NotImplementedError


@dataclass(frozen=True)
class Translator:
    """One system that learns from pairs.

    Networks draw their first weights from torch's global generator, which the trainer seeds, and raise UsageError that
    names the field for sizes they cannot have.
    ignores: options that mean nothing to it, and are refused.
    """

    name: str
    title: str
    reference: str
    presets: Mapping[str, Mapping[str, Any]]
    generator: Callable[[TranslationConfig], PictureNetwork]
    discriminator: Callable[[TranslationConfig], Critic]
    pairing: Pairing = "made"
    ignores: frozenset[str] = frozenset()


# Name -> (module with TRANSLATOR, line of `forensics generate list`). Adding a system is one file and one line.
TRANSLATORS = {
    "pix2pix": ("generators.networks.pix2pix", "U-Net against a discriminator of patches, from pairs"),
    "cyclegan": ("generators.networks.cyclegan", "from one set of pictures to another and back, without pairs"),
    "srgan": ("generators.networks.srgan", "twice or four times as large, with and without an adversary"),
    "restore": ("generators.networks.restore", "denoise, deblock, dehaze or colourise"),
}


def translator_named(name: str) -> Translator:
    """Raises UsageError for a name that is not in TRANSLATORS."""
    if name not in TRANSLATORS:
        raise UsageError(f"there is no translator '{name}'", f"one of: {', '.join(TRANSLATORS)}")
    translator: Translator = import_module(TRANSLATORS[name][0]).TRANSLATOR
    return translator


def is_two_way(system: str) -> bool:
    """Whether it learns the way back as well."""
    return translator_named(system).pairing == "unpaired"


def configured(translator: Translator, preset: str, values: dict[str, Any]) -> TranslationConfig:
    """The preset with the given values over it. Raises UsageError that names what is wrong."""
    if preset not in translator.presets:
        raise UsageError(f"{translator.name} has no preset '{preset}'", f"one of: {', '.join(translator.presets)}")
    fields = TranslationConfig.model_fields
    idle = sorted(name for name in translator.ignores & values.keys() if values[name] != fields[name].default)
    if idle:
        raise UsageError(f"option '{idle[0]}' means nothing to {translator.name}", "leave it out")
    return checked(TranslationConfig, {**translator.presets[preset], **values}, HELP)


def what_of(system: str, config: TranslationConfig, is_back: bool = False) -> str:
    """What a trained one does, for people and manifests: `restore:denoise`, `srgan:x4`, `cyclegan:sketch-back`."""
    if is_back:
        return f"{system}:{config.make}-back" if config.make != "none" else f"{system}:back"
    if config.task != "none":
        return f"{system}:{config.task}"
    if config.scale > 1:
        return f"{system}:x{config.scale}"
    return f"{system}:{config.make}" if config.make != "none" else system


def what_of_meta(path: Path, meta: Mapping[str, Any]) -> str:
    """What a checkpoint says that it does, as `what_of`. Raises WeightsError, naming the file."""
    system, config = meta.get("system"), meta.get("config")
    if not isinstance(system, str) or system not in TRANSLATORS:
        raise WeightsError(f"{path} is not a translator's", HINT)
    if not isinstance(config, Mapping):
        raise WeightsError(f"{path} has no options", DAMAGED)
    try:
        return what_of(system, checked(TranslationConfig, dict(config), DAMAGED))
    except UsageError as error:
        raise WeightsError(f"{path}: {error}", DAMAGED) from error


def check_sizes(translator: Translator, config: TranslationConfig) -> None:
    """Raise UsageError that names the field, where the networks cannot have the sizes. Nothing is computed."""
    given = config.image_px // config.scale
    with torch.device("meta"), torch.no_grad():
        generator = translator.generator(config)
        critic = translator.discriminator(config) if config.adversarial_weight else None
        try:
            drawn = generator(torch.empty(2, 3, given, given))
            if critic is not None:
                critic.features(drawn, drawn)
        except (RuntimeError, ValueError) as error:
            raise UsageError(
                f"option 'image_px': {config.image_px} is too small for {translator.name}",
                "64 or more; smaller ones with --d-layers 2 or 1",
            ) from error
