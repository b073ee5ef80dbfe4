"""Where a trained generator is run."""

import torch

from forensics.common.errors import UsageError


def device_named(name: str) -> torch.device:
    """auto (the fastest that is here), cpu, cuda or mps. Raises UsageError for one that is not here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_here in here.items() if is_here)
    if name not in here:
        raise UsageError(f"there is no device '{name}'", f"auto or one of: {', '.join(here)}")
    if not here[name]:
        raise UsageError(f"there is no {name.upper()} device here", "--device cpu, or auto")
    return torch.device(name)
