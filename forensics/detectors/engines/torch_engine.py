"""torch itself: float32 channels_last on the CPU, half-precision autocast on a GPU; on request bf16, f32, or compiled."""

import torch
from torch import nn

from forensics.detectors.engines.choice import EngineChoice


class TorchEngine:
    """Runs a `DetectorLogit` where it lies. A compiled one takes minutes for the first batch of each size."""

    def __init__(self, module: nn.Module, device: torch.device, choice: EngineChoice, free_size: bool = False) -> None:
        self._device = device
        self._module = torch.compile(module, dynamic=free_size or None) if choice.name == "compile" else module
        self._dtype = torch.float16 if choice.precision == "auto" and device.type == "cuda" else torch.bfloat16
        self._is_half = choice.precision == "bf16" or (choice.precision == "auto" and device.type == "cuda")

    def __call__(self, framed: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 -> (N,) float32 on the CPU."""
        with torch.inference_mode(), torch.autocast(self._device.type, self._dtype, enabled=self._is_half):
            batch = framed.to(self._device, memory_format=torch.channels_last)
            logits: torch.Tensor = self._module(batch)
        return logits.float().cpu()
