"""The attacks by name, their budgets and their defaults."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from forensics.common.errors import UsageError

Logits = Callable[[torch.Tensor], torch.Tensor]
Norm = Literal["linf", "l2", "area"]
Place = Literal["salient", "random"]

# A path of this many step sizes leads from one side of the ball to the other, with some to spare (Madry et al. 2018).
PATH_LENGTH = 2.5
# Grey levels; beyond this a picture is another picture.
MAX_EPSILON = 128.0
# Share of the area in percent: Carlini and Farid 2020.
PATCH_PERCENT = 1.0


@dataclass(frozen=True)
class AttackKind:
    """What one algorithm is; `steps`, `draws` are its defaults.

    norm: how epsilon is measured. `linf`: the largest change of any value, in grey levels of 255. `l2`: the root mean
    square change over all values, in grey levels (the plain norm on [0, 1] is epsilon / 255 x sqrt(3 H W)): with it sizes
    of pictures are comparable, and an L-inf ball of the same epsilon lies inside. `area`: percent of the pixels, which may
    change freely.
    """

    help: str
    reference: str
    norm: Norm
    steps: int
    draws: int = 1
    starts_at_random: bool = False
    is_on_grid: bool = False
    keeps_best: bool = False
    follows_gradient: bool = True

    @property
    def unit(self) -> str:
        """How epsilon reads in a table."""
        return {"linf": "/255 L-inf", "l2": "/255 RMS", "area": "% of area"}[self.norm]


ATTACKS = {
    "fgsm": AttackKind("one step along the sign of the gradient", "Goodfellow 2015", "linf", 1),
    "pgd": AttackKind(
        "repeated steps inside the L-inf ball, from a random start", "Madry 2018", "linf", 20,
        starts_at_random=True, keeps_best=True,
    ),
    "pgd-l2": AttackKind(
        "repeated steps inside the L2 ball, from a random start", "Madry 2018", "l2", 20,
        starts_at_random=True, keeps_best=True,
    ),
    "pgd-8bit": AttackKind(
        "PGD whose every iterate is an 8-bit picture: saving as PNG changes nothing", "Madry 2018", "linf", 20,
        starts_at_random=True, is_on_grid=True, keeps_best=True,
    ),
    "pgd-robust": AttackKind(
        "PGD on the expectation over JPEG and resize: meant to survive both", "Athalye 2018", "linf", 30, draws=4,
        starts_at_random=True,
    ),
    "patch": AttackKind(
        "one universal square patch, trained to fool on all pictures", "Brown 2017; Carlini and Farid 2020", "area", 150,
        keeps_best=True,
    ),
    "noise": AttackKind(
        "control: random signs of the same size, without any gradient", "no attack", "linf", 1, follows_gradient=False,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """One attack with all that it depends on; made by `make_attack`.

    epsilon and step_size are in the unit of the kind (grey levels of 255; for `patch` epsilon is percent of the area and
    step_size Adam's learning rate). draws: transformations per step of `pgd-robust`. place: where a patch goes: where the
    detector looks most, the same for all pictures, or elsewhere in each.
    """

    name: str
    epsilon: float
    steps: int
    step_size: float
    restarts: int = 1
    draws: int = 1
    place: Place = "salient"
    seed: int = 0

    @property
    def kind(self) -> AttackKind:
        """The algorithm."""
        return ATTACKS[self.name]


# Learning rate of the patch, whose pixels lie in [0, 1].
PATCH_STEP = 0.05


def make_attack(
    name: str,
    epsilon: float,
    steps: int | None = None,
    step_size: float | None = None,
    restarts: int = 1,
    place: Place = "salient",
    seed: int = 0,
) -> Attack:
    """An attack with the defaults of its kind where nothing else is said.

    Raises UsageError for an unknown name or a budget outside its range.
    """
    if name not in ATTACKS:
        raise UsageError(f"there is no attack '{name}'", f"known: {', '.join(ATTACKS)}")
    kind = ATTACKS[name]
    most = 100.0 if kind.norm == "area" else MAX_EPSILON
    if not (math.isfinite(epsilon) and 0 <= epsilon <= most):
        raise UsageError(f"epsilon {epsilon:g} of {name} is not in 0 to {most:g} ({kind.unit})", "2 to 8 are common")
    steps = kind.steps if steps is None or kind.steps == 1 else steps
    if steps < 1 or restarts < 1:
        raise UsageError(f"{name} needs at least one step and one start", "--steps 20")
    default_step = epsilon if steps == 1 else PATH_LENGTH * epsilon / steps
    if kind.norm == "area":
        default_step = PATCH_STEP
    return Attack(
        name=name,
        epsilon=float(epsilon),
        steps=steps,
        step_size=float(default_step if step_size is None else step_size),
        restarts=restarts if kind.starts_at_random else 1,
        draws=kind.draws,
        place=place,
        seed=seed,
    )
