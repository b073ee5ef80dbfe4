"""A trained swap, ready to draw: aligned faces in, the source's or the target's face out.

A checkpoint is believed only as far as its tensors bear it out: what it says of sizes is compared with them before any
memory is taken. A file to hand on (`exported`) holds encoder and decoders alone, in float16.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from generators.checkpoint import find_model, read_checkpoint, write_checkpoint
from generators.config import checked
from generators.faceswap.alignment import ALIGNED_PX, inverse, warped
from generators.faceswap.config import SwapConfig
from generators.faceswap.training.game import NETWORK, draw
from generators.faceswap.training.networks import PEOPLE, SwapNetwork
from generators.faceswap.training.warp_pairs import seen_by
from generators.pictures import Pictures

SYSTEM = "faceswap"
SHIPPED = Path(__file__).parent.parent / "weights"
# Of the metadata, what a network alone has no use for.
TRAINING_ONLY = frozenset({"game", "rollbacks", "best"})


@dataclass(frozen=True, eq=False)
class Swapper:
    """Both decoders of a checkpoint, float32, in eval mode."""

    config: SwapConfig
    network: SwapNetwork
    device: torch.device
    sha256: str
    step: int
    meta: Mapping[str, Any]

    @property
    def image_px(self) -> int:
        """Side of what the network sees."""
        return self.config.image_px

    def draw(self, seen: Pictures, person: int) -> tuple[Pictures, NDArray[np.uint8]]:
        """What the network sees, (N, P, P, 3) uint8 -> that person's face, and its mask (N, P, P) uint8.

        Raises WeightsError for a network that draws what is no number.
        """
        try:
            return draw(self.network, seen, person, self.device)
        except ValueError as error:
            raise WeightsError(
                f"the swap of step {self.step} draws values that are not finite", "train it again"
            ) from error

    def swap(self, faces: Pictures, to: str) -> tuple[Pictures, NDArray[np.float32]]:
        """Aligned faces (N, 256, 256, 3) uint8 as `to` ("source" or "target") would wear them, and masks (N, 256, 256).

        Pixels that the network does not see are the input's; the mask is 0 there.
        """
        to_seen = seen_by(self.image_px)
        drawn, masks = self.draw(np.stack([warped(face, to_seen, self.image_px) for face in faces]), PEOPLE.index(to))
        back = inverse(to_seen)
        shape = (ALIGNED_PX, ALIGNED_PX)
        ones = np.ones((self.image_px, self.image_px), np.float32)
        seen = cv2.warpAffine(ones, back, shape, flags=cv2.INTER_LINEAR) >= 1
        out = np.array(faces)
        soft = np.zeros((len(faces), *shape), np.float32)
        for k, (face, mask) in enumerate(zip(drawn, masks, strict=True)):
            large = cv2.warpAffine(face, back, shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            out[k][seen] = large[seen]
            soft[k] = cv2.warpAffine(mask, back, shape, flags=cv2.INTER_LINEAR).astype(np.float32) / 255 * seen
        return out, soft


def load_swapper(path: Path, device: torch.device) -> Swapper:
    """The network of a checkpoint. Raises WeightsError for what is none, or does not fit what it says."""
    tensors, meta = read_checkpoint(path, NETWORK)
    if meta.get("system") != SYSTEM:
        raise WeightsError(f"{path} is no face swap", "give a run of `forensics generate faceswap train`")
    try:
        config = checked(SwapConfig, dict(meta["config"]), "the checkpoint is of another version, or damaged")
        with torch.device("meta"):
            network = SwapNetwork(config)
        weights = {name.removeprefix(NETWORK): value.float() for name, value in tensors.items()}
        expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        found = {name: tuple(value.shape) for name, value in weights.items()}
        if expected != found:
            wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise WeightsError(f"{path}: weights that do not fit its sizes: {', '.join(wrong[:3])}")
        network.load_state_dict(weights, assign=True)
        step = int(meta["step"])
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, UsageError) as error:
        raise WeightsError(f"{path}: {error}", "the checkpoint is of another version, or damaged") from error
    network = network.to(device).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return Swapper(config, network, device, sha256_of_file(path), step, meta)


def find_swap(spec: str) -> Path:
    """The checkpoint that a person means: a run's latest, a file, or a swap that ships."""
    return find_model(spec, SHIPPED)


def exported(path: Path, output: Path) -> None:
    """Write encoder and decoders of a checkpoint alone, in float16, with what they are, but not the clips' names."""
    tensors, meta = read_checkpoint(path, NETWORK)
    if meta.get("system") != SYSTEM:
        raise WeightsError(f"{path} is no face swap", "give a run of `forensics generate faceswap train`")
    half = {name: value.half() for name, value in tensors.items()}
    kept = {k: v for k, v in meta.items() if k not in TRAINING_ONLY}
    people = kept.get("people")
    if people is not None:  # a clip's name may be a person's, and the file goes to strangers
        named = people.items() if isinstance(people, dict) else ()
        kept["people"] = {
            who: {k: v for k, v in one.items() if k != "clips"} for who, one in named if isinstance(one, dict)
        }
    write_checkpoint(output, half, kept)
