"""Metrics of scores against labels; scikit-learn computes what it can.

An item is called fake when its score is at or above the threshold, everywhere. AUC, AP, EER and TPR at an FPR need both
classes and only the order of the scores; ECE and Brier need probabilities. Expected calibration error: Naeini, Cooper,
Hauskrecht (AAAI 2015); Guo et al. (2017), arXiv 1706.04599. Brier (Monthly Weather Review 1950).

Limits: AP, accuracy, ECE and Brier move with the share of fakes in the set; the even-prior forms do not. The ECE of a
small set is biased upwards, since each bin's noise counts as error. A TPR at 1 % FPR rests on one hundredth of the reals.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss
from sklearn.metrics import roc_curve as sklearn_roc_curve

from forensics.common.metrics import auc as rank_auc

# Guo et al. 2017, section 5, and most of the literature after it.
ECE_BINS = 15
FPR_LEVELS = {"tpr_at_fpr_1": 0.01, "tpr_at_fpr_5": 0.05}
METRICS = (
    "auc", "ap", "eer", "tpr_at_fpr_1", "tpr_at_fpr_5", "accuracy", "fpr", "fnr", "ece", "brier", "ece_even_prior",
    "brier_even_prior",
)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """Shares at one threshold; NaN where the class that they are shares of is absent."""

    accuracy: float
    fpr: float
    fnr: float
    tpr: float


def checked(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The arrays as int64 and float64.

    Raises ValueError for unequal lengths, a label that is not 0 or 1, or a NaN score.
    """
    label_array, score_array = np.asarray(labels), np.asarray(scores, np.float64)
    if label_array.shape != score_array.shape or label_array.ndim != 1:
        raise ValueError(f"labels have shape {label_array.shape}, scores {score_array.shape}: both must be (N,)")
    if not np.isin(label_array, (0, 1)).all():
        raise ValueError("labels must be 1 = fake or 0 = real")
    if np.isnan(score_array).any():
        raise ValueError("a score is NaN: leave out what has no score, and count it")
    return label_array.astype(np.int64), score_array


def checked_probabilities(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `checked`; raises ValueError also for a value outside [0, 1]."""
    label_array, values = checked(labels, probabilities)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("a probability is outside [0, 1]")
    return label_array, values


def has_both_classes(labels: NDArray[np.int64]) -> bool:
    """Whether there is at least one fake and one real."""
    return 0 < int(labels.sum()) < len(labels)


def auc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve: the chance that a fake scores above a real, ties counting half; NaN with one class."""
    return rank_auc(*checked(labels, scores))


def average_precision(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Precision averaged over the recall steps, without interpolation; NaN with one class."""
    labels, scores = checked(labels, scores)
    return float(average_precision_score(labels, scores)) if has_both_classes(labels) else math.nan


def equal_error_rate(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Error where the ROC curve, straight between its points, has FPR = FNR; NaN with one class."""
    labels, scores = checked(labels, scores)
    if not has_both_classes(labels):
        return math.nan
    fpr, tpr, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    excess = fpr + tpr - 1  # FPR - FNR: from -1 at the start to 1 at the end, never falling
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def tpr_at_fpr(labels: NDArray[np.int64], scores: NDArray[np.float64], fpr: float) -> float:
    """Largest share of fakes found by any threshold that calls at most a share `fpr` of the reals fake; NaN with one class.

    Not interpolated: every value returned is reached by a threshold on these scores.
    """
    labels, scores = checked(labels, scores)
    if not has_both_classes(labels):
        return math.nan
    fprs, tprs, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    return float(tprs[fprs <= fpr].max())


def rates_at(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> Rates:
    """Shares at one threshold; the FPR is defined on reals alone, the FNR and TPR on fakes alone."""
    labels, scores = checked(labels, scores)
    called = scores >= threshold
    of_reals, of_fakes = called[labels == 0], called[labels == 1]
    return Rates(
        accuracy=_mean(called == (labels == 1)), fpr=_mean(of_reals), fnr=_mean(~of_fakes), tpr=_mean(of_fakes)
    )


def even_prior_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) weights that sum to 1 and give each class one half; NaN with one class."""
    labels = np.asarray(labels, np.int64)
    if not has_both_classes(labels):
        return np.full(len(labels), math.nan)
    n_fake = int(labels.sum())
    return np.array([0.5 / (len(labels) - n_fake), 0.5 / n_fake])[labels]


def expected_calibration_error(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    bins: int = ECE_BINS,
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Mean over bins, by their weight, of |share of fakes - mean probability|; in [0, 1], NaN without rows or weight.

    Equal-width bins [k / bins, (k + 1) / bins), the last one closed, so that a probability of exactly 1 counts.
    """
    labels, probabilities = checked_probabilities(labels, probabilities)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    total = weights.sum()
    if len(labels) == 0 or not total > 0:
        return math.nan
    gaps = np.bincount(bin_numbers(probabilities, bins), weights * (labels - probabilities), minlength=bins)
    return float(np.abs(gaps).sum() / total)


def bin_numbers(probabilities: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Number of the equal-width bin, 0 to bins - 1, that each probability in [0, 1] falls in; 1 falls in the last."""
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(inner_edges, probabilities, "right").astype(np.int64)


def brier(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Mean squared distance of probability and label; in [0, 1], NaN without rows or weight."""
    labels, probabilities = checked_probabilities(labels, probabilities)
    if len(labels) == 0 or (weights is not None and not np.sum(weights) > 0):
        return math.nan
    return float(brier_score_loss(labels, probabilities, sample_weight=weights, pos_label=1))


def metric_values(labels: NDArray[np.int64], probabilities: NDArray[np.float64], threshold: float) -> dict[str, float]:
    """All of METRICS at once: rates at the threshold, ECE and Brier also with both classes weighing one half."""
    labels, probabilities = checked_probabilities(labels, probabilities)
    rates = rates_at(labels, probabilities, threshold)
    even = even_prior_weights(labels)
    return {
        "auc": auc(labels, probabilities),
        "ap": average_precision(labels, probabilities),
        "eer": equal_error_rate(labels, probabilities),
        **{name: tpr_at_fpr(labels, probabilities, level) for name, level in FPR_LEVELS.items()},
        "accuracy": rates.accuracy,
        "fpr": rates.fpr,
        "fnr": rates.fnr,
        "ece": expected_calibration_error(labels, probabilities),
        "brier": brier(labels, probabilities),
        "ece_even_prior": expected_calibration_error(labels, probabilities, weights=even),
        "brier_even_prior": brier(labels, probabilities, even),
    }


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan
