"""What an adversarial set does to a detector: one cell of the transfer matrix, as pure functions over arrays.

Clean and attacked figures are on the same pictures, those that the target scored both times, so that a face that is no
longer found cannot pass for an attack that worked; how many were lost stands beside them. Intervals draw whole clusters,
the same ones for every figure of a cell.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.attack_sets.results import Figure, ThreatModel
from forensics.common.metrics import Estimate, auc_with_interval, clustered_share

UNDEFINED = Estimate(math.nan, math.nan, math.nan)
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Seen:
    """One target's view of all items, every array (N,).

    labels: 1 = fake; clusters: codes; clean, attacked: scores, NaN where there is none; is_attacked: whether there is an
    adversarial version; unsure_clean, unsure_attacked: 1 where the verdict is `inconclusive`, 0 where it is another, NaN
    without a verdict.
    """

    labels: NDArray[np.int64]
    clusters: NDArray[np.int64]
    clean: NDArray[np.float64]
    attacked: NDArray[np.float64]
    is_attacked: Bools
    unsure_clean: NDArray[np.float64]
    unsure_attacked: NDArray[np.float64]

    def where(self, rows: Bools) -> "Seen":
        """A part of the items."""
        return Seen(
            self.labels[rows],
            self.clusters[rows],
            self.clean[rows],
            self.attacked[rows],
            self.is_attacked[rows],
            self.unsure_clean[rows],
            self.unsure_attacked[rows],
        )


@dataclass(frozen=True)
class Judging:
    """What turns scores into figures: a picture is called fake at or above the threshold."""

    threshold: float
    draws: int
    seed: int


def cell_figures(seen: Seen, judging: Judging) -> dict[str, Figure | int]:
    """The figures of a CellPart, by their names there."""
    was_scored = ~np.isnan(seen.clean)
    paired = seen.is_attacked & was_scored & ~np.isnan(seen.attacked)
    fakes, reals = paired & (seen.labels == 1), paired & (seen.labels == 0)
    attacks_reals = bool((seen.is_attacked & (seen.labels == 0)).any())
    counted_reals = reals if attacks_reals else was_scored & (seen.labels == 0)
    rows = fakes | counted_reals
    mixed = np.where(fakes, seen.attacked, seen.clean)
    called_clean, called_attacked = seen.clean >= judging.threshold, seen.attacked >= judging.threshold
    has_verdict = paired & ~np.isnan(seen.unsure_clean) & ~np.isnan(seen.unsure_attacked)

    def share(hits: NDArray[np.bool_] | NDArray[np.float64], chosen: Bools) -> Figure:
        return as_figure(clustered_share(hits[chosen], seen.clusters[chosen], judging.draws, judging.seed))

    return {
        "n_real": int(counted_reals.sum()),
        "n_fake": int(fakes.sum()),
        "n_clusters": len(np.unique(seen.clusters[rows])),
        "n_lost": int((seen.is_attacked & was_scored & np.isnan(seen.attacked)).sum()),
        "auc_clean": _auc(seen, seen.clean, rows, judging),
        "auc_fakes_attacked": _auc(seen, mixed, rows, judging),
        "auc_both_attacked": _auc(seen, seen.attacked, fakes | reals, judging),
        "flipped": share(called_clean != called_attacked, paired),
        "fnr_clean": share(~called_clean, fakes),
        "fnr_attacked": share(~called_attacked, fakes),
        "fpr_clean": share(called_clean, counted_reals),
        "fpr_attacked": share(called_attacked, reals),
        "inconclusive_clean": share(seen.unsure_clean, has_verdict),
        "inconclusive_attacked": share(seen.unsure_attacked, has_verdict),
    }


def threat_model(target: str, target_parts: frozenset[str], victim: str, members: frozenset[str]) -> ThreatModel:
    """What the attacker knew of the target: all, some of what its score is made of, or nothing but the task."""
    if target == victim:
        return "white-box"
    return "white-box in part" if target_parts & members else "transfer"


def as_figure(estimate: Estimate) -> Figure:
    """Six digits; null where it is not a number."""
    value, low, high = (
        None if math.isnan(number) else round(number, 6) for number in (estimate.value, estimate.low, estimate.high)
    )
    return Figure(value=value, low=low, high=high)


def _auc(seen: Seen, scores: NDArray[np.float64], rows: Bools, judging: Judging) -> Figure:
    labels = seen.labels[rows]
    if not 0 < int(labels.sum()) < len(labels):
        return as_figure(UNDEFINED)
    clusters = seen.clusters[rows].astype(str).tolist()
    found = auc_with_interval(labels.tolist(), scores[rows].tolist(), clusters, judging.seed, judging.draws)
    if found.low == found.high:  # all in order, or nothing to draw: no width is not certainty
        found = Estimate(found.value, math.nan, math.nan)
    return as_figure(found)
