"""The networks of the CNN detectors: a timm backbone with one logit, its preprocessing inside, and its file.

timm's `tf_efficientnet_lite0` (Tan and Le 2019, arXiv 1905.11946; the Lite variant has no squeeze-and-excitation and
clipped ReLU, so that it survives bf16) fine-tuned on real and fake face crops. Framing and normalisation are part of the
module, so that training, scanning and attacks see the same function of pixels. A file holds float16, or int8 with a scale
per output channel; several networks of one kind, each with its file, can be one detector.

Two framings: `whole` resizes the crop to the input size; `tile` takes the middle of the crop at native resolution, so
that no resampling blurs the finest traces. Three filters of what the backbone sees: `none`; `npr`, what is lost by halving
the picture and doubling it again (neighbouring pixel relationships, Tan et al. 2024, arXiv 2312.10461, equation 3);
`highpass`, what a box of 5 x 5 pixels leaves.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file
from forensics.detectors.devices import to_tensor
from forensics.detectors.engines.choice import EngineChoice
from forensics.detectors.engines.loading import load_engine
from forensics.detectors.engines.logit import DetectorLogit
from forensics.detectors.model_set import STORED_AS, ModelSet, WeightFile, checked_files
from forensics.detectors.protocol import Crop, sigmoid

# The ImageNet weights of the `pretrained` extra expect (x - .5) / .5.
PIXEL_MEAN = 0.5
PIXEL_STD = 0.5
FRAMINGS = ("whole", "tile")
FILTERS = ("none", "npr", "highpass")
# Residuals are small: this brings them to about the spread of normalised pixels.
RESIDUAL_GAIN = 8.0
HIGHPASS_PX = 5
# Tiles are cut from crops of at most this side: larger ones are reduced to it, as the training pictures were.
MAX_TILE_SOURCE_PX = 256
# One step of the backbone's stride: below it there is nothing to pool.
MIN_TILE_PX = 32
BATCH = 16
SCALE = ".int8_scale"
# Layers with fewer weights per output channel (the first one, depthwise ones) are small, and would lose most by rounding.
MIN_FAN_IN = 32


class FaceNetwork(nn.Module):
    """Logit of a face crop, greater = more likely fake, in three steps that scoring and training share."""

    input_px: int

    def frame(self, x: torch.Tensor) -> torch.Tensor:
        """What the network sees of pictures (N, 3, H, W) in [0, 1] of one size."""
        raise NotImplementedError

    def features(self, framed: torch.Tensor) -> torch.Tensor:
        """Last feature maps (N, C, h, w) of framed pictures."""
        raise NotImplementedError

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (N,) of feature maps."""
        raise NotImplementedError

    def settings(self) -> dict[str, str | int | float]:
        """What model.json must say of it, so that the same network is built again."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N,) of pictures (N, 3, H, W) float in [0, 1]; differentiable in x."""
        return self.head(self.features(self.frame(x)))


class FaceCnn(FaceNetwork):
    """A timm backbone with one logit."""

    def __init__(
        self,
        backbone: str = "tf_efficientnet_lite0",
        input_px: int = 160,
        framing: str = "whole",
        drop_rate: float = 0.2,
        drop_path_rate: float = 0.0,
        filtered: str = "none",
    ) -> None:
        super().__init__()
        for name, value, known in (("framing", framing, FRAMINGS), ("filter", filtered, FILTERS)):
            if value not in known:
                raise ValueError(f"{name} is '{value}', not one of {', '.join(known)}")
        self.backbone_name = backbone
        self.input_px = input_px
        self.framing = framing
        self.filtered = filtered
        self.backbone = timm.create_model(
            backbone, pretrained=False, num_classes=1, drop_rate=drop_rate, drop_path_rate=drop_path_rate
        )

    def frame(self, x: torch.Tensor) -> torch.Tensor:
        """What the network sees of pictures (N, 3, H, W) in [0, 1] of one size."""
        if self.framing == "tile":
            return middle_tile(x, self.input_px)
        return x if x.shape[-2:] == (self.input_px, self.input_px) else resize(x, self.input_px)

    def features(self, framed: torch.Tensor) -> torch.Tensor:
        """Last feature maps (N, C, h, w) of framed pictures, which are normalised here."""
        features: torch.Tensor = self.backbone.forward_features(normalised(framed, self.filtered))  # type: ignore[operator]
        return features

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (N,) of feature maps."""
        logits: torch.Tensor = self.backbone.forward_head(features)  # type: ignore[operator]
        return logits.flatten()

    def settings(self) -> dict[str, str | int | float]:
        """Architecture, input side and framing."""
        found: dict[str, str | int | float] = {
            "backbone": self.backbone_name, "input_px": self.input_px, "framing": self.framing,
        }  # fmt: skip
        return found if self.filtered == "none" else {**found, "filter": self.filtered}


class FaceEnsemble(FaceNetwork):
    """Networks of one kind, each trained by itself; the logit is the mean of theirs.

    Few people to learn from make each network learn some of them by heart; no two learn the same. After Lakshminarayanan et
    al. 2017 (arXiv 1612.01474), who average probabilities: here it is logits, in which fusion, calibration and heatmaps are
    linear.
    """

    def __init__(self, members: Sequence[FaceNetwork]) -> None:
        super().__init__()
        if len({str(member.settings()) for member in members}) != 1:
            raise ValueError("networks of one ensemble have the same settings")
        self.members = nn.ModuleList(members)

    @property
    def input_px(self) -> int:
        """That of each member."""
        return self._member(0).input_px

    @input_px.setter
    def input_px(self, side: int) -> None:
        for i in range(len(self.members)):
            self._member(i).input_px = side

    def frame(self, x: torch.Tensor) -> torch.Tensor:
        """What each member sees."""
        return self._member(0).frame(x)

    def features(self, framed: torch.Tensor) -> torch.Tensor:
        """Last feature maps (N, members x C, h, w), those of one member after those of another."""
        return torch.cat([self._member(i).features(framed) for i in range(len(self.members))], 1)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Mean over the members of their logits (N,)."""
        parts = features.chunk(len(self.members), 1)
        return torch.stack([self._member(i).head(part) for i, part in enumerate(parts)]).mean(0)

    def settings(self) -> dict[str, str | int | float]:
        """Those of each member: how many they are, their files say."""
        return self._member(0).settings()

    def _member(self, i: int) -> FaceNetwork:
        return cast(FaceNetwork, self.members[i])


def normalised(x: torch.Tensor, filtered: str) -> torch.Tensor:
    """What a backbone is given of pictures (N, 3, H, W) in [0, 1]: pixels around 0, or a residual of them."""
    if filtered == "none":
        return (x - PIXEL_MEAN) / PIXEL_STD
    if filtered == "npr":
        # By indices: an interpolation to an odd side would pair other neighbours than to an even one.
        halved = x[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
        return (x - halved[..., : x.shape[-2], : x.shape[-1]]) * RESIDUAL_GAIN
    rim = HIGHPASS_PX // 2
    return (x - F.avg_pool2d(F.pad(x, (rim,) * 4, mode="reflect"), HIGHPASS_PX, 1)) * RESIDUAL_GAIN


def resize(x: torch.Tensor, side: int) -> torch.Tensor:
    """The one resize of these detectors, pinned: bilinear with antialiasing. x: (N, 3, H, W) -> (N, 3, side, side)."""
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)


def middle_tile(x: torch.Tensor, max_px: int) -> torch.Tensor:
    """The middle of square pictures at native resolution, up to `max_px` on a side.

    Pictures above MAX_TILE_SOURCE_PX are reduced to it first; those below MIN_TILE_PX are enlarged to it.
    """
    if x.shape[-1] > MAX_TILE_SOURCE_PX:
        x = resize(x, MAX_TILE_SOURCE_PX)
    side = min(x.shape[-2], x.shape[-1], max_px)
    if side < MIN_TILE_PX:
        return resize(x, MIN_TILE_PX)
    top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
    return x[..., top : top + side, left : left + side]


class NetworkDetector:
    """A `FaceNetwork` behind the detector's protocol; torch in float32 on the CPU, autocast on a GPU, or another engine."""

    name = ""
    description = ""
    # Whether the logit is the mean over the crop and its mirror image: a face has no preferred side.
    averages_mirror = False

    def __init__(self, network: FaceNetwork, device: torch.device) -> None:
        self._device = device
        self._network = network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._engine = load_engine(self._network, self.averages_mirror, device)

    @property
    def network(self) -> FaceNetwork:
        """What is scored, in eval mode."""
        return self._network

    def use_engine(self, choice: EngineChoice) -> None:
        """Score by another engine from now on; heatmaps and `logits` remain torch's."""
        self._engine = load_engine(self._network, self.averages_mirror, self._device, choice)

    def score(self, crops: Sequence[Crop]) -> NDArray[np.float64]:
        """Sigmoid of the logit; crops that are framed to one size are computed together."""
        framed = [self._framed(crop) for crop in crops]
        logits = np.zeros(len(crops))
        for shape in dict.fromkeys(picture.shape for picture in framed):
            indices = [i for i, picture in enumerate(framed) if picture.shape == shape]
            for start in range(0, len(indices), BATCH):
                part = indices[start : start + BATCH]
                logits[part] = self._engine(torch.cat([framed[i] for i in part])).numpy()
        return sigmoid(logits)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Differentiable logits of pictures (N, 3, H, W) in [0, 1]."""
        framed = self._network.frame(x.to(self._device))
        found: torch.Tensor = DetectorLogit(self._network, self.averages_mirror)(framed)
        return found

    def _framed(self, crop: Crop) -> torch.Tensor:
        return self._network.frame(to_tensor(crop)[None])


def load_network(model_set: ModelSet, folder: Path, name: str, folded: bool = True) -> FaceNetwork:
    """The network of a detector in a set of weights, its norms folded; of several files the mean of their networks.

    Raises WeightsError where a file does not fit.
    """
    settings = model_set.weights[name].settings
    members = [_member_of(path, settings, folded) for path in checked_files(model_set, folder, name)]
    return members[0] if len(members) == 1 else FaceEnsemble(members)


def _member_of(path: Path, settings: Mapping[str, str | int | float], folded: bool) -> FaceCnn:
    try:
        network = FaceCnn(
            str(settings["backbone"]),
            int(settings["input_px"]),
            framing=str(settings.get("framing", "whole")),
            filtered=str(settings.get("filter", "none")),
        )
        load_state(network, path)
        if folded:
            fold_norms(network.eval())
    except Exception as error:
        raise WeightsError(
            f"{path.name} does not fit {settings.get('backbone', 'an unnamed backbone')}: {error}",
            "reinstall the package, or train again",
        ) from error
    return network


def load_state(network: nn.Module, path: Path) -> None:
    """Fill a network from a file of `save_network`; whatever safetensors or torch raise where it does not fit."""
    stored = load_file(path)
    whole = {name for name, value in stored.items() if value.dtype == torch.int8}
    scales = {name.removesuffix(SCALE): value.shape for name, value in stored.items() if name.endswith(SCALE)}
    if scales != {name: stored[name].shape[:1] for name in whole}:
        raise ValueError(f"{path.name} does not hold one scale for each output channel of int8")
    state = {}
    for name in (name for name in stored if not name.endswith(SCALE)):
        value = stored[name]
        if name in whole:
            state[name] = value.float() * stored[name + SCALE].reshape(-1, *[1] * (value.ndim - 1))
        else:
            state[name] = value.float() if value.is_floating_point() else value
    network.load_state_dict(state)


def fold_norms(module: nn.Module) -> None:
    """Fold each batch norm into the convolution before it: the same function in eval mode, a quarter less time.

    Looks at neighbours in the order in which timm's blocks declare them, which is the order in which they run.
    """
    children = list(module.named_children())
    for (_, conv), (name, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNormAct2d) and conv.out_channels == norm.num_features:
            fused = fuse_conv_bn_eval(conv, norm)
            conv.weight, conv.bias = fused.weight, fused.bias
            setattr(module, name, norm.act)
    for _, child in children:
        fold_norms(child)


def save_network(network: FaceNetwork, folder: Path, name: str, stored_as: str = "float16") -> WeightFile:
    """Write one network as safetensors and describe the file.

    stored_as: `float16`; or `int8`, about half as large: each output channel of the large layers as whole numbers of -127
    to 127 times its own scale (float32, NAME.int8_scale), the rest as float16. A network always computes in floating point.
    """
    if stored_as not in STORED_AS:
        raise ValueError(f"weights are stored as {' or '.join(STORED_AS)}, not as '{stored_as}'")
    if isinstance(network, FaceEnsemble):
        raise ValueError("each network of an ensemble has a file of its own")
    file = f"{name}.safetensors"
    state: dict[str, torch.Tensor] = {}
    for key, value in network.state_dict().items():
        if stored_as == "int8" and value.is_floating_point() and value.ndim > 1 and value[0].numel() >= MIN_FAN_IN:
            scale = value.flatten(1).abs().amax(1).float().clamp(min=1e-12) / 127
            whole = (value.float() / scale.reshape(-1, *[1] * (value.ndim - 1))).round()
            state[key], state[key + SCALE] = whole.to(torch.int8).contiguous(), scale.contiguous()
        else:
            state[key] = (value.half() if value.is_floating_point() else value).contiguous()
    temporary = folder / f".{file}.tmp"
    save_file(state, temporary)
    temporary.chmod(0o644)  # safetensors leaves it to its owner alone
    temporary.replace(folder / file)
    return WeightFile(file=file, sha256=sha256_of_file(folder / file), settings=network.settings())
