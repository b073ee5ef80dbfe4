"""One process or many, on any device, by Hugging Face's accelerate: the same command, started by `accelerate launch`.

Networks are not wrapped: gradients are averaged after the backward pass, as StyleGAN2-ADA does (Karras et al. 2020,
arXiv 2006.06676, reference code), because a GAN's step runs a network several times before one backward pass.
"""

import os
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import nn

from forensics.common.errors import UsageError

# The first process decodes pictures and measures KID while the others wait: not a sign that it is lost.
PATIENCE = timedelta(days=1)


class Processes:
    """The processes of this run, as this one sees them."""

    def __init__(self, device: str) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("option 'device': there is no CUDA device here", "--device cpu, or auto")
        if device == "mps" and not torch.backends.mps.is_available():
            raise UsageError("option 'device': there is no MPS device here", "--device cpu, or auto")
        has_other = torch.cuda.is_available() or torch.backends.mps.is_available()
        # Without being told so, Accelerator makes no group of processes on a machine that has a CPU alone: each of them
        # would take itself for the only one, and all would write the same files.
        is_cpu = device == "cpu" or not has_other
        patient = InitProcessGroupKwargs(timeout=PATIENCE)
        self._accelerator = Accelerator(cpu=is_cpu, mixed_precision="no", kwargs_handlers=[patient])
        self.device: torch.device = self._accelerator.device
        self.count: int = self._accelerator.num_processes
        self.rank: int = self._accelerator.process_index
        self.is_main: bool = self._accelerator.is_main_process

    def share(self, batch_size: int) -> slice:
        """Which rows of a batch of all processes are this one's. Raises UsageError where they do not divide."""
        if batch_size % self.count:
            raise UsageError(
                f"option 'batch_size': {batch_size} pictures do not divide among {self.count} processes",
                "the batch is the sum over processes",
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def mean_gradients(self, network: nn.Module) -> None:
        """Replace gradients by their mean over the processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = self.mean(torch.cat([g.flatten() for g in gradients]))
        parts = torch.split(flat, [g.numel() for g in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the processes."""
        if self.count == 1:
            return values
        out: torch.Tensor = self._accelerator.reduce(values, "mean")
        return out

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, in their order; they have equally many."""
        if self.count == 1:
            return values
        out: torch.Tensor = self._accelerator.gather(values.contiguous())
        return out

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return flag if self.count == 1 else bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Go on when all processes are here."""
        self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Leave the group."""
        self._accelerator.end_training()
        if self.count > 1 and torch.distributed.is_initialized():  # newer releases of accelerate have left it by now
            torch.distributed.destroy_process_group()


def asked_precision(precision: str, device: torch.device) -> str:
    """float32, bfloat16 or float16: as asked, by `accelerate launch --mixed_precision`, or what is native here."""
    if precision != "auto":
        return precision
    # The launcher says "no" also where nobody was asked.
    launched = {"bf16": "bfloat16", "fp16": "float16"}.get(os.environ.get("ACCELERATE_MIXED_PRECISION", ""))
    if launched:
        return launched
    if device.type == "cpu":
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if has_bf16 else "float32"
    return (
        "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    )


def set_threads(threads: int) -> int:
    """Set the CPU threads of this process, and return how many; 0: its share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = threads or max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(wanted)
    return wanted
