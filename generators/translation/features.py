"""Features of VGG19, by which SRGAN's authors compare pictures, from a file that the user has: nothing is downloaded.

Simonyan, Zisserman 2014, arXiv 1409.1556, configuration E; Ledig et al. 2016, arXiv 1609.04802, section 2.2.1: the feature
map after the fourth convolution before the fifth pooling, VGG5,4, scaled by 1/12.75 so that losses are of the size of
pixels' (the same as a weight of 0.006 on their squares). The file is torchvision's `vgg19` (`torch.save` of its state, or
the same names as safetensors); it is read without unpickling code.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import vgg19

from forensics.common.errors import WeightsError
from forensics.common.files import sha256_of_file

LAST_LAYER = 35  # of torchvision's `features`: conv5_4 with its ReLU
SCALE = 1 / 12.75
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HINT = "torchvision's vgg19 as a .pth or .safetensors file"


class VggFeatures(nn.Module):
    """(N, 3, H, W) in [-1, 1] -> (N, 512, H / 16, W / 16)."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.layers = vgg19(weights=None).features[: LAST_LAYER + 1].eval().requires_grad_(False)
        try:
            state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
            prefix = "features."
            own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            known = self.layers.state_dict()
            self.layers.load_state_dict({name: value for name, value in own.items() if name in known})
            self.name = f"vgg19.conv5_4 ({sha256_of_file(file)[:12]})"
        except Exception as error:  # whatever torch and pickle raise for a file that is none
            text = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(f"{file} is not VGG19's: {text}", HINT) from error
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(((pictures + 1) / 2 - self.mean) / self.std) * SCALE
        return found
