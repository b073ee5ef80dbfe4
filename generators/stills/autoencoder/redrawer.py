"""A trained autoencoder, ready to redraw faces, and the square of a picture that it sees."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from generators.checkpoint import find_model, read_checkpoint
from generators.config import checked
from generators.faceswap.alignment import Matrix, aligning, rescaled, warped
from generators.stills.autoencoder.config import AutoencoderConfig
from generators.stills.autoencoder.network import FaceAutoencoder, Upsampling

SYSTEM = "stills-autoencoder"
NETWORK = "network."
# What the network sees of the aligned face: brows to chin and jaw to jaw with little around it. A tight crop of a data set
# ends about there; of a wider square, a third would be its repeated edge.
SEEN_LEFT, SEEN_TOP, SEEN_PX = 28.0, 47.0, 200.0


@dataclass(frozen=True, eq=False)
class Redrawer:
    """Weights in float32, in eval mode."""

    config: AutoencoderConfig
    network: FaceAutoencoder
    sha256: str
    step: int
    device: torch.device

    def draw(self, faces: NDArray[np.uint8], upsampling: Upsampling) -> NDArray[np.uint8]:
        """Faces (N, P, P, 3) uint8 as the decoder draws them. Raises UsageError for values that are not finite."""
        try:
            return draw(self.network, faces, upsampling, self.device)
        except ValueError as error:
            raise UsageError(
                f"the autoencoder draws values that are not finite (step {self.step})",
                "its training went wrong: take an earlier checkpoint",
            ) from error


@torch.inference_mode()
def draw(
    network: FaceAutoencoder, faces: NDArray[np.uint8], upsampling: Upsampling, device: torch.device
) -> NDArray[np.uint8]:
    """Faces (N, P, P, 3) uint8 through encoder and decoder, in float32. Raises ValueError for values not finite."""
    x = torch.from_numpy(np.ascontiguousarray(faces)).to(device).permute(0, 3, 1, 2).float().div_(255)
    out = network(x, upsampling)
    if not bool(torch.isfinite(out).all()):
        raise ValueError("pictures hold values that are not finite")
    values = out.mul(255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
    return np.asarray(values.numpy(), np.uint8)


def to_square(landmarks: NDArray[np.float64], image_px: int) -> Matrix:
    """From a picture to the square of `image_px`, by its five landmarks. Raises ValueError where they coincide."""
    seen = aligning(landmarks) - np.array([[0, 0, SEEN_LEFT], [0, 0, SEEN_TOP]])
    return rescaled(seen, image_px / SEEN_PX)


def square_of(picture: NDArray[np.uint8], landmarks: NDArray[np.float64], image_px: int) -> NDArray[np.uint8]:
    """The aligned face (P, P, 3); beyond the picture, its edge repeated."""
    return np.asarray(warped(picture, to_square(landmarks, image_px), image_px), np.uint8)


def load_redrawer(spec: str, device: torch.device) -> Redrawer:
    """The newest checkpoint of a run folder, or a file. Raises UsageError or WeightsError for what is neither."""
    path = find_model(spec, Path(__file__).parent / "weights")
    tensors, meta = read_checkpoint(path, NETWORK)
    if meta.get("system") != SYSTEM:
        raise WeightsError(f"{path} is not an autoencoder's", "`forensics generate stills train-autoencoder` makes one")
    try:
        config = checked(AutoencoderConfig, dict(meta["config"]), "the checkpoint is of another version, or damaged")
        network = FaceAutoencoder(config)
        network.load_state_dict({name.removeprefix(NETWORK): value for name, value in tensors.items()})
        step = int(meta["step"])
    except (KeyError, TypeError, ValueError, RuntimeError, UsageError) as error:
        raise WeightsError(f"{path}: {str(error).splitlines()[0]}", "of another version, or damaged") from error
    network = network.to(device).eval().requires_grad_(False)
    return Redrawer(config, network, sha256_of_file(path), step, device)
