"""A trained translator, ready to be applied: averaged weights, float32, in eval mode."""

from dataclasses import dataclass
from pathlib import Path

import torch

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from generators.base_game import DTYPES
from generators.checkpoint import AVERAGE, find_model, read_checkpoint, read_meta
from generators.config import checked
from generators.parallel import asked_precision
from generators.translation_config import TranslationConfig
from generators.translator import (
    BACK_AVERAGE,
    DAMAGED,
    HINT,
    TRANSLATORS,
    PictureNetwork,
    Translator,
    is_two_way,
    translator_named,
    what_of,
    what_of_meta,
)


@dataclass(frozen=True, eq=False)
class LoadedTranslator:
    """Networks of one checkpoint; `what` is how its outputs are named in manifests: the system, and its task.

    precision: float32, bfloat16 or float16, of the network's arithmetic; weights are float32. is_back: it is the network of
    the way back, of a system that has one.
    """

    translator: Translator
    config: TranslationConfig
    network: PictureNetwork
    sha256: str
    step: int
    device: torch.device
    precision: str = "float32"
    is_back: bool = False

    @property
    def dtype(self) -> torch.dtype | None:
        """What the network computes in, where it is not float32."""
        return DTYPES.get(self.precision)

    @property
    def what(self) -> str:
        """`restore:denoise`, `srgan:x4`, `pix2pix:edges`, `cyclegan:sketch-back`."""
        return what_of(self.translator.name, self.config, self.is_back)

    @property
    def reach_px(self) -> int | None:
        """How far around a pixel of the input its output depends on it; None: on the whole picture."""
        return self.network.reach_px


def what_of_file(path: Path) -> str:
    """What a checkpoint says that it does, as `LoadedTranslator.what`; no tensor is read. Raises WeightsError."""
    return what_of_meta(path, read_meta(path))


def load_translator(
    spec: str, device: torch.device, precision: str = "float32", is_back: bool = False
) -> LoadedTranslator:
    """A run's best checkpoint (its newest where none is best), a file, or one that ships, by name.

    precision: `auto` is bfloat16 where the device computes it natively, else float32; results differ by a level or so.
    Raises UsageError or WeightsError.
    """
    path, prefix = find_model(spec), BACK_AVERAGE if is_back else AVERAGE
    tensors, meta = read_checkpoint(path, prefix)
    if str(meta.get("system")) not in TRANSLATORS:
        raise WeightsError(f"{path} is not a translator's", HINT)
    if is_back and not is_two_way(str(meta["system"])):
        raise UsageError(f"{meta['system']} has no way back", "leave out --direction")
    try:
        translator = translator_named(str(meta["system"]))
        config = checked(TranslationConfig, dict(meta["config"]), DAMAGED)
        with torch.device("meta"):  # what the file says is believed only as far as its tensors bear it out
            expected = {name: value.shape for name, value in translator.generator(config).state_dict().items()}
        weights = {name.removeprefix(prefix): value for name, value in tensors.items()}
        if {name: value.shape for name, value in weights.items()} != expected:
            raise ValueError(f"weights that do not fit {translator.name}")
        network = translator.generator(config)
        network.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
        )
        step = int(meta["step"])
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, UsageError) as error:
        raise WeightsError(f"{path}: {(str(error).splitlines() or ['damaged'])[0]}", DAMAGED) from error
    network = network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    computed = asked_precision(precision, device)
    return LoadedTranslator(translator, config, network, sha256_of_file(path), step, device, computed, is_back)
