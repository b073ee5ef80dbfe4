"""Fusion, calibration and thresholds, all on the dev split, which no training step has seen.

Every data set weighs the same, and so do real and fake within it: a probability of this tool is meant at even prior odds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.metrics import share_with_interval
from forensics.common.operating_point import Interval, OperatingPoint
from forensics.detectors.model_set import Calibration, log_odds_of_any
from forensics.detectors.protocol import sigmoid
from forensics.training.folds import folds_of_people

# A quantile of fewer reals than this is one picture's accident: such a data set does not set the threshold.
MIN_REALS_FOR_THRESHOLD = 40
# Two coefficients on a thousand scores need no regularisation; this keeps separable data finite.
REGULARISATION_C = 100.0
# Of the noisy or, in which one detector alone decides. With less than the least slope it decides nothing and is left out;
# with more than 1 it would claim more than its own log odds, on the word of dev, whose pictures have the histories of those
# that it was trained on: scores that were .94 on a real broadcast became 1.000 so.
LEAST_SLOPE, MAX_SLOPE, MAX_OFFSET = 0.02, 1.0, 30.0
Fit = Callable[[Mapping[str, NDArray[np.float64]], NDArray[np.int64], NDArray[np.float64]], Calibration]


def balanced_weights(items: Sequence[Item]) -> NDArray[np.float64]:
    """(N,) weights that sum to 1: each data set that has both classes counts the same, each class half of it.

    A data set with one class gets the average weight of that class elsewhere per item, so that it is neither ignored nor
    dominant; then both classes are brought to one half: even prior odds.
    """
    names = np.array([item.dataset for item in items])
    labels = np.array([item.label for item in items])
    weights = np.zeros(len(items))
    complete = [n for n in np.unique(names) if 0 < labels[names == n].sum() < (names == n).sum()]
    for name in complete:
        for label in (0, 1):
            rows = (names == name) & (labels == label)
            weights[rows] = 0.5 / (len(complete) * rows.sum())
    for label in (0, 1):
        rows = (weights == 0) & (labels == label)
        others = weights[(weights > 0) & (labels == label)]
        weights[rows] = others.mean() if len(others) else 1.0
    for label in (0, 1):
        rows = labels == label
        if rows.any() and not rows.all():
            weights[rows] *= 0.5 / weights[rows].sum()
    return np.asarray(weights / weights.sum())


def fit_calibration(logits: Mapping[str, NDArray[np.float64]], items: Sequence[Item]) -> Calibration:
    """What makes a probability of the detectors' logits: of one, Platt scaling; of several, the better of two fusions.

    The two are the weighted sum (logistic regression) and the noisy or; better is the lower log loss, at even odds, on
    people (sources) that the fit was made without. A detector whose coefficient comes out negative gets 0: being wrong on
    dev is not evidence. It keeps its own bar in reports.
    """
    labels = np.array([item.label for item in items])
    if len(np.unique(labels)) < 2:
        raise ManifestError("calibration needs real and fake pictures in the dev split", "label rows with split = dev")
    weights = balanced_weights(items) * len(items)
    found = fit_sum(logits, labels, weights)
    if len(logits) < 2 or not any(found.coefficients.values()):
        return found
    folds = [fold for fold in folds_of_people(items) if len(np.unique(labels[fold[0]])) == 2]
    losses = {
        fit: sum(_loss_on(fit, logits, labels, weights, fitted, held_out) for fitted, held_out in folds)
        for fit in (fit_sum, fit_any)
    }
    return fit_any(logits, labels, weights) if losses[fit_any] < losses[fit_sum] else found


def _loss_on(
    fit: Fit,
    logits: Mapping[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    fitted: NDArray[np.int64],
    held_out: NDArray[np.int64],
) -> float:
    found = fit({name: values[fitted] for name, values in logits.items()}, labels[fitted], weights[fitted])
    fused = found.fuse({name: values[held_out] for name, values in logits.items()})
    return float((weights[held_out] * (np.logaddexp(0, fused) - labels[held_out] * fused)).sum())


def fit_sum(
    logits: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> Calibration:
    """The weighted sum of detectors that has the lowest log loss, those with a coefficient below 0 left out one by one."""
    from sklearn.linear_model import LogisticRegression

    coefficients = dict.fromkeys(logits, 0.0)
    names = list(logits)
    while names:
        matrix = np.stack([logits[name] for name in names], 1)
        model = LogisticRegression(C=REGULARISATION_C, max_iter=1000).fit(matrix, labels, sample_weight=weights)
        fitted = dict(zip(names, model.coef_[0].tolist(), strict=True))
        worst = min(fitted, key=lambda name: fitted[name])
        if fitted[worst] > 0:
            return Calibration(coefficients={**coefficients, **fitted}, intercept=float(model.intercept_[0]))
        names.remove(worst)
    return Calibration(coefficients=coefficients, intercept=0.0)


def fit_any(
    logits: Mapping[str, NDArray[np.float64]], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> Calibration:
    """The noisy or of detectors that has the lowest log loss: coefficients of at least 0, and an offset each.

    logits: (N,) per detector; labels, weights: (N,). Not convex: it begins with each detector's own Platt scaling.
    """
    from scipy.optimize import minimize

    names = list(logits)
    matrix = np.stack([logits[name] for name in names])
    each = [fit_sum({name: logits[name]}, labels, weights) for name in names]
    start = np.array(
        [*(one.coefficients[name] for one, name in zip(each, names, strict=True)), *(one.intercept for one in each)]
    )
    start[: len(names)] = np.minimum(start[: len(names)], MAX_SLOPE)
    start[len(names) :] -= np.log(len(names))
    scale = weights.sum()

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slopes, offsets = parameters[: len(names)], parameters[len(names) :]
        inner = slopes[:, None] * matrix + offsets[:, None]
        total = np.logaddexp(0, inner).sum(0)
        fused = log_odds_of_any(list(inner))
        # d fused / d inner = sigmoid(inner) / (1 - exp(-total))
        slope = weights * (sigmoid(fused) - labels) / -np.expm1(-np.maximum(total, 1e-300))
        by_inner = slope * sigmoid(inner)
        value = float((weights * (np.logaddexp(0, fused) - labels * fused)).sum()) / scale
        penalty = float((slopes**2).sum()) / (2 * REGULARISATION_C * len(labels))
        gradient = np.concatenate([(by_inner * matrix).sum(1), by_inner.sum(1)]) / scale
        gradient[: len(names)] += slopes / (REGULARISATION_C * len(labels))
        return value + penalty, gradient

    bounds = [(0.0, MAX_SLOPE)] * len(names) + [(-MAX_OFFSET, MAX_OFFSET)] * len(names)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    slopes, offsets = found.x[: len(names)], found.x[len(names) :]
    kept = {name: float(slope) if slope >= LEAST_SLOPE else 0.0 for name, slope in zip(names, slopes, strict=True)}
    left = [name for name, slope in kept.items() if slope]
    if len(left) < len(names):
        if len(left) < 2:
            return fit_sum(logits, labels, weights)
        fewer = fit_any({name: logits[name] for name in left}, labels, weights)
        if not fewer.offsets:
            return fit_sum(logits, labels, weights)
        return Calibration(
            coefficients={name: fewer.coefficients.get(name, 0.0) for name in names},
            intercept=0.0,
            offsets={name: fewer.offsets.get(name, 0.0) for name in names},
        )
    return Calibration(coefficients=kept, intercept=0.0, offsets=dict(zip(names, map(float, offsets), strict=True)))


@dataclass(frozen=True)
class Thresholds:
    """Probabilities at which an input is called fake (at or above) or real (at or below)."""

    fake: float
    real: float


def choose_thresholds(
    probabilities: NDArray[np.float64], items: Sequence[Item], false_positive_rate: float, false_negative_rate: float
) -> Thresholds:
    """The lowest `fake` at which every data set keeps the false-positive rate, the highest `real` that keeps the other.

    Data sets with fewer than MIN_REALS_FOR_THRESHOLD reals are pooled before they count.
    """
    names = np.array([item.dataset for item in items])
    labels = np.array([item.label for item in items])
    large = [n for n in np.unique(names) if ((names == n) & (labels == 0)).sum() >= MIN_REALS_FOR_THRESHOLD]
    pools = [(names == name) & (labels == 0) for name in large]
    rest = ~np.isin(names, large) & (labels == 0)
    if rest.any():
        pools.append(rest if not pools else labels == 0)
    fake = max(float(np.quantile(probabilities[rows], 1 - false_positive_rate, method="higher")) for rows in pools)
    fakes = labels == 1
    weights = balanced_weights(items)[fakes]
    order = np.argsort(probabilities[fakes])
    below = np.cumsum(weights[order]) / weights.sum()
    # The first fake that is one too many (sums of equal weights are exact to rounding only).
    first = int(np.searchsorted(below, false_negative_rate + 1e-9, side="right"))
    real = float(np.nextafter(probabilities[fakes][order][min(first, len(order) - 1)], 0.0))
    # `fake` must exceed the quantile itself to hold the rate, as `real` stays below; `real` never overtakes `fake`.
    fake = float(np.nextafter(fake, 1.0))
    # On the other side of one half a threshold would contradict the probability that stands beside it.
    return Thresholds(max(fake, 0.5), min(real, 0.5, float(np.nextafter(max(fake, 0.5), 0.0))))


def operating_point(
    thresholds: Thresholds, probabilities: NDArray[np.float64], items: Sequence[Item], test_set: str
) -> OperatingPoint:
    """The thresholds with their error rates on items that chose nothing (the test split)."""
    labels = np.array([item.label for item in items])
    names = np.array([item.dataset for item in items])
    called_fake, called_real = probabilities >= thresholds.fake, probabilities <= thresholds.real
    return OperatingPoint(
        threshold_fake=thresholds.fake,
        threshold_real=thresholds.real,
        test_set=test_set,
        false_positive_rate=interval(called_fake[labels == 0]),
        false_negative_rate=interval(called_real[labels == 1]),
        false_positive_rates={
            str(name): found
            for name in np.unique(names)
            if (found := interval(called_fake[(names == name) & (labels == 0)])) is not None
        },
    )


def interval(hits: NDArray[np.bool_]) -> Interval | None:
    """Share of hits with its Wilson interval, None without any."""
    if len(hits) == 0:
        return None
    estimate = share_with_interval(int(hits.sum()), len(hits))
    return Interval(
        value=round(estimate.value, 4), low=round(estimate.low, 4), high=round(estimate.high, 4), n=len(hits)
    )
