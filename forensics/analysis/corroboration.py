"""Several findings together: those that rest on different traces support each other, those of one family do not.

How many families an unaltered file would flag by chance follows from the families' rates of false alarms: the sum of
independent Bernoulli variables of unequal probability (Poisson binomial distribution), computed exactly by convolution.
Limits: analyses do not err independently. A heavily compressed file can look odd in several ways at once, so the figure
is a lower bound, and the words that go with it say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from forensics.analysis.protocol import Family, State

FLAGGED: tuple[State, ...] = ("suspicious", "inconsistent")
CARRIED_OUT: tuple[State, ...] = ("consistent", *FLAGGED)


@dataclass(frozen=True)
class Corroboration:
    """families_run: with a finding that says something; flagged: with one that is suspicious or inconsistent, in the
    report's order. by_chance in [0, 1]: probability that an unaltered file flags as many families; None where none is.
    """

    families_run: int
    flagged: tuple[Family, ...]
    by_chance: float | None


def corroborate(findings: Sequence[tuple[str, Family, State]], rates: Mapping[str, float]) -> Corroboration:
    """findings: name, family and state of each; rates: false-alarm rate in [0, 1] per name."""
    run: dict[Family, float] = {}
    flagged: set[Family] = set()
    for name, family, state in findings:
        if state in CARRIED_OUT:
            # A family is flagged when any of its analyses is.
            run[family] = min(1.0, run.get(family, 0.0) + rates[name])
        if state in FLAGGED:
            flagged.add(family)
    order = tuple(family for family in get_args(Family) if family in flagged)
    chance = at_least(len(order), list(run.values())) if order else None
    return Corroboration(len(run), order, chance)


def at_least(count: int, probabilities: Sequence[float]) -> float:
    """Probability that at least `count` of independent events with these probabilities happen."""
    distribution = np.ones(1)
    for probability in probabilities:
        distribution = np.convolve(distribution, [1 - probability, probability])
    return float(min(1.0, distribution[count:].sum()))


def in_words(found: Corroboration) -> str:
    """One or two sentences for a reader who is no specialist."""
    if not found.families_run:
        return "No analysis could be carried out on this file: nothing can be said of it."
    if not found.flagged:
        return (
            f"None of the {found.families_run} kinds of traces that were examined is out of the ordinary. That is "
            "consistent with an unaltered file, and with an alteration that leaves no such traces."
        )
    percent = round(100 * (found.by_chance or 0))
    chance = (
        f"At the rates of false alarms that these analyses have, {f'about {percent}' if percent else 'less than 1'} % of "
        "unaltered files would show as much if analyses erred independently, and more as they do not."
    )
    if len(found.flagged) == 1:
        return (
            f"One kind of traces of {found.families_run} examined is out of the ordinary ({found.flagged[0]}): a single "
            f"line of evidence, not to be relied upon in isolation. {chance}"
        )
    return (
        f"{len(found.flagged)} kinds of traces of {found.families_run} examined are out of the ordinary "
        f"({', '.join(found.flagged)}). They rest on different properties of the file, so together they weigh more "
        f"than any one of them. {chance}"
    )
