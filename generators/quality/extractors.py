"""Pictures -> feature vectors, by a network whose name and weights are part of every figure made with it.

`lite0`      EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946) with ImageNet weights from the extra `pretrained`:
             1280 pooled features of the picture at 128 px.
`inception`  Inception v3 as FID defines it (Heusel et al. 2017, arXiv 1706.08500): the 2048 pooled features of the 2015
             TensorFlow graph, from a file of torch-fidelity's weights. Nothing is downloaded.
`pixels`     no network: area averages of 16 x 16 squares, 768 values. Sees layout and colour, nothing finer.

A figure of one extractor says nothing beside that of another. Features are float32 arithmetic (bfloat16 moved the
KIDs of noisy, blurred and repeated faces by 0.5 to 8 %), the same however the pictures are batched; global random state is
untouched. Limits: detail above the input size is not seen; last digits differ between devices and library versions.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file, sha256_of_text
from forensics.common.progress import Progress
from forensics.features.lite0 import BACKBONE, PIXEL_MEAN, PIXEL_STD, lite0_file, load_lite0

ExtractorName = Literal["auto", "lite0", "inception", "pixels"]
Batches = Iterable[NDArray[np.uint8]]
Features = NDArray[np.float64]

# Of 64, 96, 128, 160, 224 px: the smallest at which halves of one set of faces are as near as at 224 relative to noise,
# blur and collapse, at five times the speed of 224.
LITE0_PX = 128
INCEPTION_PX = 299
INCEPTION_LAYER = "2048"
PIXELS_PX = 16
# Features are computed in batches of this size whatever arrives, so that they do not depend on how it was cut.
BATCH = 32
# Part of a cache's key: raised with every change of the code that moves features.
VERSION = 1
INSTALL_HINT = "pip install 'deepfake-forensics[pretrained]', or --extractor pixels"


class Extractor(Protocol):
    """Feature vectors of pictures. `sha256` is of the weights; `input_px` the side at which pictures are seen."""

    name: str
    sha256: str
    input_px: int

    def features(self, batches: Batches) -> Features:
        """Features (N, D) float64 of batches uint8 (B, H, W, 3) RGB of one size, in their order; N may be 0."""
        ...


def extractor_named(
    name: str, inception_weights: Path | None, device: torch.device, progress: Progress | None = None
) -> Extractor:
    """`auto` is inception where its weights are given, else lite0 where it is installed, else pixels, which is said.

    Raises UsageError for a name that does not exist or weights that are missing, WeightsError for a file that does not fit.
    """
    if name not in ("auto", "lite0", "inception", "pixels"):
        raise UsageError(f"there is no extractor '{name}'", "one of: auto, lite0, inception, pixels")
    if inception_weights is not None and name not in ("auto", "inception"):
        raise UsageError(f"--inception-weights with --extractor {name}", "leave one of them out")
    if inception_weights is not None:
        return InceptionExtractor(inception_weights, device)
    if name == "inception":
        raise UsageError(
            "--extractor inception needs --inception-weights FILE",
            "weights-inception-2015-12-05-6726825d.pth of torch-fidelity; nothing is downloaded",
        )
    if name == "pixels":
        return PixelExtractor()
    file = lite0_file()
    if file is not None:
        return Lite0Extractor(file, device)
    if name == "lite0":
        raise UsageError("the ImageNet weights of EfficientNet-Lite0 are not installed", INSTALL_HINT)
    if progress is not None:
        progress.say(
            "no ImageNet weights are installed: quality is measured on 16 x 16 pixels (layout and colour only), "
            "labelled 'pixels'; pip install 'deepfake-forensics[pretrained]' for more"
        )
    return PixelExtractor()


def cache_key(extractor: Extractor) -> str:
    """What features depend on besides the pictures, as part of a file's name."""
    return f"{extractor.name}-{extractor.input_px}px-v{VERSION}-{extractor.sha256[:16]}"


class PixelExtractor:
    """Area averages of px x px squares in [0, 1]: a yardstick that needs no weights."""

    def __init__(self, px: int = PIXELS_PX) -> None:
        self.name, self.input_px = "pixels", px
        self.sha256 = sha256_of_text(f"cv2.INTER_AREA, {px} x {px}, RGB / 255")

    def features(self, batches: Batches) -> Features:
        """(N, 3 px^2) float64 in [0, 1]: the rows of the small picture."""
        rows = [self._average(picture) for batch in batches for picture in _checked(batch)]
        return np.stack(rows) if rows else np.zeros((0, 3 * self.input_px**2))

    def _average(self, picture: NDArray[np.uint8]) -> Features:
        # In float: averages of bytes would be rounded to 1/255.
        small = cv2.resize(picture.astype(np.float32), (self.input_px, self.input_px), interpolation=cv2.INTER_AREA)
        return small.astype(np.float64).ravel() / 255.0


class NetworkExtractor:
    """What the networks share: batches of one size, no gradients, full precision."""

    name: str
    sha256: str
    input_px: int
    width: int

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network.eval().requires_grad_(False).to(device), device

    def features(self, batches: Batches) -> Features:
        """(N, D) float64; memory grows by the features alone. Raises WeightsError where they are not finite."""
        parts = [self._of(batch) for batch in rebatched(batches, BATCH)]
        found = np.concatenate(parts) if parts else np.zeros((0, self.width))
        if not np.isfinite(found).all():
            raise WeightsError(f"the features of {self.name} are not finite", "its file of weights is damaged")
        return found

    def _of(self, batch: NDArray[np.uint8]) -> Features:
        pictures = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device).permute(0, 3, 1, 2)  # (B, 3, H, W)
        # A trainer may call this under autocast; TF32 would round inputs of convolutions to ten bits.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False), exact:
            out = self.forward(pictures)  # (B, D)
        return out.cpu().numpy().astype(np.float64)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Features (B, D) float32 of uint8 pictures (B, 3, H, W)."""
        raise NotImplementedError


class Lite0Extractor(NetworkExtractor):
    """Pooled features of EfficientNet-Lite0 at 128 px, resized by antialiased bicubic interpolation."""

    name = "lite0"
    input_px = LITE0_PX
    width = 1280

    def __init__(self, file: Path, device: torch.device) -> None:
        import timm

        with torch.random.fork_rng(devices=[]):  # a network draws first weights, which are overwritten
            network = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
        load_lite0(network, file)
        super().__init__(network.to(memory_format=torch.channels_last), device)
        self.sha256 = sha256_of_file(file)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = pictures.float() / 255.0
        if x.shape[-2:] != (LITE0_PX, LITE0_PX):
            x = F.interpolate(x, size=(LITE0_PX, LITE0_PX), mode="bicubic", antialias=True, align_corners=False)
            x = x.clamp(0.0, 1.0)  # bicubic weights overshoot at edges
        x = ((x - PIXEL_MEAN) / PIXEL_STD).to(memory_format=torch.channels_last)
        out: torch.Tensor = self._network(x)
        return out


class InceptionExtractor(NetworkExtractor):
    """The 2048 features that published FID and KID are of; torch-fidelity's network, which resizes to 299 px itself."""

    name = "inception"
    input_px = INCEPTION_PX
    width = 2048

    def __init__(self, file: Path, device: torch.device) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # The network's constructor unpickles the file that it is given, which would run whatever code lies in it. It gets
        # none of the user's bytes: tensors are read without code, and handed over in a stream that we have written.
        stream = io.BytesIO()
        torch.save(_tensors_of(file), stream)
        stream.seek(0)
        try:
            with torch.random.fork_rng(devices=[]):
                network = FeatureExtractorInceptionV3(
                    "inception", [INCEPTION_LAYER], feature_extractor_weights_path=stream
                )
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{file} does not fit the Inception of FID: {_first_line(error)}",
                "weights-inception-2015-12-05-6726825d.pth of torch-fidelity; torchvision's Inception is another network",
            ) from error
        super().__init__(network, device)
        self.sha256 = sha256_of_file(file)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._network(pictures)[0]
        return out


def _tensors_of(file: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors or .pth file; no code of it is run."""
    hint = "give the file of weights: .safetensors, or .pth with tensors only"
    if not file.is_file():
        raise UsageError(f"there is no file {file}", hint)
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # unpicklers fail in as many ways as there are bytes
        raise WeightsError(f"{file} is not a file of tensors: {_first_line(error)}", hint) from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise WeightsError(f"{file} holds other things than tensors", hint)
    return dict(found)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def rebatched(batches: Batches, size: int) -> Iterator[NDArray[np.uint8]]:
    """The same pictures in batches of `size`, the last one smaller."""
    kept: list[NDArray[np.uint8]] = []
    n_kept = 0
    for batch in batches:
        kept.append(_checked(batch))
        n_kept += len(batch)
        while n_kept >= size:
            joined = np.concatenate(kept) if len(kept) > 1 else kept[0]
            yield joined[:size]
            kept, n_kept = [joined[size:]], n_kept - size
    if n_kept:
        yield np.concatenate(kept)


def _checked(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
        raise ValueError(f"pictures are uint8 (B, H, W, 3), not {batch.dtype} {batch.shape}")
    return batch
