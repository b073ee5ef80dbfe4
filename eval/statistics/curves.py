"""Data of the plots: ROC curve, DET curve, reliability diagram.

DET: Martin et al., The DET curve in assessment of detection task performance (Eurospeech 1997); its axes are usually
drawn on a normal-deviate scale. Reliability diagram: DeGroot and Fienberg (The Statistician 1983).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import det_curve as sklearn_det_curve
from sklearn.metrics import roc_curve as sklearn_roc_curve

from eval.statistics.metrics import ECE_BINS, bin_numbers, checked, checked_probabilities, has_both_classes


@dataclass(frozen=True)
class Curve:
    """Points (P,) of a curve: x is the FPR; y the TPR (ROC) or the FNR (DET); empty with one class.

    `thresholds` are those that reach the points (called fake when score >= threshold); ROC starts at infinity.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram of `bins` equal-width bins; NaN in a bin without items.

    edges (bins + 1,) from 0 to 1; counts (bins,); mean_probability (bins,); share_fake (bins,): the share, or with
    weights the weighted share, of fakes in the bin; weights (bins,): share of the total weight, which sums to 1.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    mean_probability: NDArray[np.float64]
    share_fake: NDArray[np.float64]
    weights: NDArray[np.float64]


def roc_curve(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> Curve:
    """ROC curve from (0, 0) to (1, 1), without the points that lie on a straight line between their neighbours."""
    labels, scores = checked(labels, scores)
    if not has_both_classes(labels):
        return _no_curve()
    fpr, tpr, thresholds = sklearn_roc_curve(labels, scores, drop_intermediate=True)
    return Curve(fpr, tpr, thresholds)


def det_curve(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> Curve:
    """DET curve, FNR over FPR, between the last threshold that finds all fakes and the first that accuses no real."""
    labels, scores = checked(labels, scores)
    if not has_both_classes(labels):
        return _no_curve()
    fpr, fnr, thresholds = sklearn_det_curve(labels, scores, drop_intermediate=True)
    return Curve(fpr, fnr, thresholds)


def reliability_bins(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    bins: int = ECE_BINS,
    weights: NDArray[np.float64] | None = None,
) -> Reliability:
    """The bins whose gaps `expected_calibration_error` averages: sum of weights * |share_fake - mean_probability|."""
    labels, probabilities = checked_probabilities(labels, probabilities)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    numbers = bin_numbers(probabilities, bins)
    sums = np.bincount(numbers, weights, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges=np.linspace(0, 1, bins + 1),
            counts=np.bincount(numbers, minlength=bins),
            mean_probability=np.bincount(numbers, weights * probabilities, minlength=bins) / sums,
            share_fake=np.bincount(numbers, weights * labels, minlength=bins) / sums,
            weights=sums / sums.sum(),
        )


def _no_curve() -> Curve:
    return Curve(np.empty(0), np.empty(0), np.empty(0))
