"""What there is to train and to sample: systems with their presets and sizes, and generators that ship with the package."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from generators.checkpoint import SHIPPED, read_meta
from generators.config import GanConfig
from generators.system import SYSTEMS, System, configured, system_named
from generators.translator import TRANSLATORS, translator_named, what_of_meta
from generators.translator import configured as configured_translator

# Conditional systems have as many classes as the data: their sizes are shown for this many, as CIFAR-10 has.
SHOWN_CLASSES = 10


@dataclass(frozen=True)
class PresetSize:
    """One preset: what it draws, how long it trains, and the weights (trained parameters) of both networks.

    classes: 0 for a system without classes, else SHOWN_CLASSES where the preset leaves it to the data.
    """

    preset: str
    image_px: int
    batch_size: int
    steps: int
    classes: int
    generator: int
    discriminator: int


@dataclass(frozen=True)
class SystemCard:
    """One system as `forensics generate list` shows it."""

    name: str
    title: str
    line: str
    reference: str
    condition: str
    presets: tuple[PresetSize, ...]


@dataclass(frozen=True)
class ShippedCard:
    """A generator that lies in the package. What its file does not say is empty; `kid` is None then."""

    name: str
    system: str
    image_px: int
    step: int
    bytes: int
    data: str
    kid: float | None
    extractor: str


@dataclass(frozen=True)
class ShippedTranslator:
    """A translator that lies in the package. psnr_db: to the targets, of pictures that were not trained on, beside that
    of the inputs; None where the file does not say."""

    name: str
    what: str
    step: int
    bytes: int
    data: str
    psnr_db: float | None
    before_psnr_db: float | None


def describe_systems() -> list[SystemCard]:
    """Every system of the registry. Networks are built without their numbers, so it takes no memory."""
    cards = []
    for name, (_, line) in SYSTEMS.items():
        system = system_named(name)
        sizes = tuple(_size(system, preset) for preset in system.presets)
        cards.append(SystemCard(name, system.title, line, system.reference, system.condition, sizes))
    return cards


def describe_translators() -> list[SystemCard]:
    """Every system of pairs; image_px is that of the output. The discriminator counts where the preset has one."""
    cards = []
    for name, (_, line) in TRANSLATORS.items():
        translator = translator_named(name)
        sizes = []
        for preset in translator.presets:
            config = configured_translator(translator, preset, {})
            with torch.device("meta"), _Unnumbered():
                drawing = sum(p.numel() for p in translator.generator(config).parameters())
                judging = translator.discriminator(config).parameters() if config.adversarial_weight else ()
                judges = sum(p.numel() for p in judging)
            sizes.append(PresetSize(preset, config.image_px, config.batch_size, config.steps, 0, drawing, judges))
        cards.append(SystemCard(name, translator.title, line, translator.reference, "picture", tuple(sizes)))
    return cards


def describe_shipped(folder: Path = SHIPPED) -> list[ShippedCard]:
    """Generators in the package's folder, by name, without translators. Raises WeightsError for a damaged file."""
    return [_shipped(path, meta) for path, meta in _files(folder) if str(meta.get("system")) not in TRANSLATORS]


def describe_shipped_translators(folder: Path = SHIPPED) -> list[ShippedTranslator]:
    """Translators in the package's folder, by name. Raises WeightsError for a damaged file."""
    return [_translator(path, meta) for path, meta in _files(folder) if str(meta.get("system")) in TRANSLATORS]


def _files(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob("*.safetensors")):
        yield path, read_meta(path)


def _size(system: System, preset: str) -> PresetSize:
    config = configured(system, preset, {})
    classes = config.classes or SHOWN_CLASSES if system.condition == "class" else 0
    built = config.model_copy(update={"classes": classes})
    return PresetSize(
        preset, config.image_px, config.batch_size, config.steps, classes,
        _n_weights(system.generator, built), _n_weights(system.discriminator, built),
    )  # fmt: skip


def _n_weights(build: Callable[[GanConfig], nn.Module], config: GanConfig) -> int:
    with torch.device("meta"), _Unnumbered():
        network = build(config)
    return sum(weights.numel() for weights in network.parameters())


class _Unnumbered(TorchFunctionMode):
    """First weights and power iterations left out: even where there are no numbers they take seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.normalize or func is torch.Tensor.normal_:
            return args[0]
        if func is torch.mv:
            return args[0].new_empty(args[0].shape[0])
        return func(*args, **(kwargs or {}))


def _shipped(path: Path, meta: dict[str, Any]) -> ShippedCard:
    config, best = _table(meta.get("config")), _table(meta.get("best"))
    kid = best.get("kid")
    return ShippedCard(
        name=path.stem,
        system=str(meta.get("system", "")),
        image_px=int(config.get("image_px", 0)),
        step=int(meta.get("step", 0)),
        bytes=path.stat().st_size,
        data=", ".join(_data_of(meta)),
        kid=float(kid) if isinstance(kid, int | float) else None,
        extractor=str(best.get("extractor", "")),
    )


def _translator(path: Path, meta: dict[str, Any]) -> ShippedTranslator:
    best = _table(meta.get("best"))
    psnr_db, before_psnr_db = (
        float(value) if isinstance(value, int | float) else None
        for value in (best.get("psnr_db"), best.get("before_psnr_db"))
    )
    return ShippedTranslator(
        name=path.stem,
        what=what_of_meta(path, meta),
        step=int(meta.get("step", 0)),
        bytes=path.stat().st_size,
        data=", ".join(_data_of(meta)),
        psnr_db=psnr_db,
        before_psnr_db=before_psnr_db,
    )


def _data_of(meta: dict[str, Any]) -> Iterator[str]:
    """What the generator was trained on, as far as the file says: names, and how many pictures."""
    data = _table(meta.get("data"))
    name = data.get("name") or meta.get("trained_on")
    if name:
        yield str(name)
    if data.get("pictures"):
        yield f"{data['pictures']} pictures"


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
