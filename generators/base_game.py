"""What every game of training keeps: networks on a device, an Adam for each that learns, and sums of what is reported.

A subclass names its networks with `_kept`, those that learn with `_learning` besides, and what it sums up in `TOTALS`;
`state` and `load_state` then hold all that the next step depends on.
"""

import contextlib
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from forensics.common.seeds import rng_for
from generators.checkpoint import Tensors
from generators.optimizers import adam, load_tensors, tensors_of
from generators.parallel import Processes

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# Prefixes of the networks that most games have.
GENERATOR, DISCRIMINATOR = "generator.", "discriminator."
# Of the totals: the share of judgements that were right, NaN where there is no judge.
ACCURACY = "accuracy"
N = TypeVar("N", bound=nn.Module)


class Layout(Protocol):
    """What a configuration says of memory."""

    @property
    def channels_last(self) -> bool: ...


class BaseGame:
    """Networks and optimizers on a device; totals sum what is reported until someone takes it."""

    TOTALS: ClassVar[tuple[str, ...]]

    def __init__(self, config: Layout, precision: str, processes: Processes) -> None:
        self._layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self._processes, self._device = processes, processes.device
        self._dtype, self._is_half = DTYPES.get(precision), precision == "float16"
        self._networks: dict[str, nn.Module] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self._scalers: dict[str, torch.amp.GradScaler] = {}
        self._totals = torch.zeros(len(self.TOTALS), device=self._device)
        self._n_totals = 0

    # -- how it is made

    def _placed(self, network: N) -> N:
        return network.to(self._device).to(memory_format=self._layout)

    def _kept(self, prefix: str, network: N) -> N:
        """`network` on the device, in the state under `prefix`."""
        self._networks[prefix] = network = self._placed(network)
        return network

    def _learning(self, prefix: str, network: N, rate: float, betas: tuple[float, float]) -> N:
        """As `_kept`, with an Adam of its own, which `_descend` takes by the same name."""
        network = self._kept(prefix, network)
        self._optimizers[prefix] = adam(network, rate, betas, self._device)
        self._scalers[prefix] = torch.amp.GradScaler(self._device.type, enabled=self._is_half)
        return network

    # -- a step

    def _set_rate(self, prefix: str, rate: float) -> None:
        for group in self._optimizers[prefix].param_groups:
            group["lr"] = rate

    def _pixels(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """(N, H, W, C) uint8 -> (N, C, H, W) float32 of levels, on the device."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return (x if self._layout is torch.channels_last else x.contiguous()).to(torch.float32)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._dtype or torch.bfloat16, enabled=self._dtype is not None)

    def _descend(self, prefix: str, loss: torch.Tensor) -> None:
        """One update of a network, by the mean of the gradients of all processes."""
        optimizer, scaler = self._optimizers[prefix], self._scalers[prefix]
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._processes.mean_gradients(self._networks[prefix])
        scaler.step(optimizer)
        scaler.update()

    @torch.no_grad()
    def _add(self, *values: torch.Tensor) -> None:
        """Add scalars, in the order of TOTALS."""
        self._totals += torch.stack(values)
        self._n_totals += 1

    # -- what comes out

    def take_totals(self) -> dict[str, float]:
        """Means of TOTALS since the last call, over all processes."""
        mean = self._processes.mean(self._totals / max(1, self._n_totals)).tolist()
        self._totals.zero_()
        self._n_totals = 0
        return dict(zip(self.TOTALS, mean, strict=True))

    def is_finite(self) -> bool:
        """Whether losses so far and all weights are numbers."""
        learning = [self._networks[prefix] for prefix in self._optimizers]
        kept = [value for network in learning for value in network.state_dict().values() if value.is_floating_point()]
        losses = self._totals[torch.tensor([name != ACCURACY for name in self.TOTALS])]
        finite = torch.stack([torch.isfinite(v).all() for v in (losses, *kept)]).all()  # one look at the device
        return not self._processes.any(not bool(finite))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and plain values from which `load_state` makes the same game again."""
        tensors: Tensors = {}
        for prefix, network in self._networks.items():
            tensors |= {f"{prefix}{name}": value for name, value in network.state_dict().items()}
        for prefix, optimizer in self._optimizers.items():
            tensors |= tensors_of(optimizer, f"optimizer.{prefix}")
        scalers = {prefix: scaler.state_dict() for prefix, scaler in self._scalers.items()}
        return tensors, {"totals": self._totals.tolist(), "n_totals": self._n_totals, "scalers": scalers}

    def load_state(self, tensors: Tensors, plain: dict[str, Any]) -> None:
        """Take up a state. Raises KeyError, ValueError or RuntimeError for one that does not fit."""
        for prefix, network in self._networks.items():
            network.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        for prefix, optimizer in self._optimizers.items():
            load_tensors(optimizer, tensors, f"optimizer.{prefix}")
            self._scalers[prefix].load_state_dict(plain["scalers"][prefix])
        self._totals.copy_(torch.tensor(plain["totals"]))
        self._n_totals = int(plain["n_totals"])


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `network`: by 1 - decay, in the first steps by more (the ramp of Karras et al. 2019).

    Weights and the statistics of norms are averaged; counters, and the vectors of power iterations, are states.
    """
    new, old = network.state_dict(), average.state_dict()
    decay = min(decay, (1 + step) / (10 + step))
    if decay == 0:
        average.load_state_dict(new)
        return
    mixed = [n for n, v in new.items() if v.is_floating_point() and not n.endswith(("._u", "._v"))]
    torch._foreach_lerp_([old[n] for n in mixed], [new[n] for n in mixed], 1 - decay)
    for name in new.keys() - set(mixed):
        old[name].copy_(new[name])


def step_seed(seed: int, stream: int, rollbacks: int, step: int) -> int:
    """Of torch's generators: 62 bits, room for the ranks above it."""
    return int(rng_for(seed, stream, rollbacks, step).integers(1 << 62))
