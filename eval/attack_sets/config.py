"""Options of `forensics bench attack`. Light to import, so that `--help` is fast."""

from typing import Literal

from pydantic import Field

from eval.config import BenchConfig

# Stands for every built-in detector that the set of weights has, and their fusion.
ALL_TARGETS = "all"


class AttackConfig(BenchConfig):
    """What is attacked, how, and who is asked afterwards."""

    detector: tuple[str, ...] = Field(
        ("default",), description="victim: a detector with a gradient, or default (the fusion); may be repeated"
    )
    attack: tuple[str, ...] = Field(("pgd",), description="algorithm, see below; may be repeated")
    epsilon: tuple[float, ...] = Field(
        (2.0,), description="largest change in grey levels of 255 (root mean square for pgd-l2); may be repeated"
    )
    classes: Literal["both", "fake"] = Field(
        "both", description="both: fakes are to look real and reals fake; fake: only the former"
    )
    target: tuple[str, ...] = Field(
        (ALL_TARGETS,),
        description="detector or FILE.py that scores the pictures beside the victims; all: every built-in one that has "
        "weights; may be repeated",
    )
    steps: int | None = Field(None, ge=1, le=10_000, description="steps of the attack; each has its own default")
    restarts: int = Field(1, ge=1, le=100, description="random starts of PGD; the best is kept")
    patch_percent: float = Field(1.0, gt=0, le=25, description="area of a patch in percent of the face")
    patch_place: Literal["salient", "random"] = Field(
        "salient", description="one place for all, where the victim looks most; or anywhere in each picture"
    )
