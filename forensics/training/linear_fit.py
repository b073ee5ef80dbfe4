"""Fits the spectral baselines: standardise, then a linear model whose strength grouped cross-validation chooses.

Only the train split is looked at. A fold holds whole groups, people where they are known and sources elsewhere, so that
no strength wins by recognising somebody. Every data set counts the same, and so do real and fake within it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.detectors.durall import DurallDetector
from forensics.detectors.frank import FrankDetector
from forensics.detectors.linear import Arrays, LinearDetector, features_of
from forensics.training.calibrate import balanced_weights
from forensics.training.config import TrainConfig
from forensics.training.crops import Crops
from forensics.training.folds import Fold, folds_of_people

# Inverse penalties of the logistic regression on 300 neighbouring, and so nearly equal, features.
LOGISTIC_C = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Ridge penalties as multiples of the mean squared norm of a standardised feature vector.
RIDGE = (1e-2, 1e-1, 1.0, 10.0, 100.0)
CHUNK = 256  # rows that are turned into features, or into double precision, at a time
MIN_SCALE = 1e-9  # a feature that varies less is a constant with rounding errors

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


def fit_durall(train: Crops, progress: Progress) -> tuple[Arrays, float]:
    """Arrays of the `durall` detector, and the inverse penalty C that was chosen. Raises ManifestError."""
    features = _feature_matrix(DurallDetector, train, progress)
    labels, weights = _labels(train.items), balanced_weights(train.items) * len(train)
    mean, scale = standardise(features, weights)
    folds = grouped_folds(train.items)

    def decide(strength: float, fitted: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        coefficients, intercept = logistic(features[fitted], labels[fitted], weights[fitted], strength)
        return np.asarray(features[others] @ coefficients + intercept, np.float64)

    with progress.task("fitting durall", len(LOGISTIC_C) * len(folds) + 1) as advance:
        strength = choose_strength(LOGISTIC_C, folds, labels, weights, decide, lambda: advance(1))
        coefficients, intercept = logistic(features, labels, weights, strength)
        advance(1)
    return _arrays(mean, scale, coefficients, intercept), strength


def fit_frank(train: Crops, progress: Progress) -> tuple[Arrays, float]:
    """Arrays of the `frank` detector, and the ridge penalty that was chosen, in multiples of the mean squared norm.

    There are more features than crops, so the dual problem is solved: memory and time are those of a matrix of all pairs
    of crops (11 000 crops: 3 GB, minutes). Raises ManifestError.
    """
    features = _feature_matrix(FrankDetector, train, progress)
    labels, weights = _labels(train.items), balanced_weights(train.items) * len(train)
    mean, scale = standardise(features, weights)
    signs = np.where(labels == 1, 1.0, -1.0)
    kernel: Matrix = features @ features.T
    folds = grouped_folds(train.items)

    def decide(strength: float, fitted: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        dual = ridge_dual(kernel[np.ix_(fitted, fitted)], signs[fitted], weights[fitted], strength)
        return np.asarray(kernel[np.ix_(others, fitted)] @ dual, np.float64)

    with progress.task("fitting frank", len(RIDGE) * len(folds) + 1) as advance:
        strength = choose_strength(RIDGE, folds, labels, weights, decide, lambda: advance(1))
        coefficients = features.T @ ridge_dual(kernel, signs, weights, strength)
        advance(1)
    # Targets and features have weighted mean zero, so the regression goes through the origin.
    return _arrays(mean, scale, coefficients, 0.0), strength


def grouped_folds(items: Sequence[Item]) -> list[Fold]:
    """Folds of whole groups, each with both classes on the fitted side. Raises ManifestError where there are too few."""
    labels, folds = _labels(items), folds_of_people(items)
    if not folds or any(len(np.unique(labels[fitted])) < 2 for fitted, _ in folds):
        raise ManifestError(
            "the train split has too few real or fake groups to choose a regularisation on",
            "fill the manifest's columns `source` and `identity`, or leave durall and frank out of --detectors",
        )
    return folds


def check_groups(config: TrainConfig, items: Sequence[Item]) -> None:
    """Raise ManifestError where `items` have too few groups for the spectral baselines that are asked for, if any."""
    if DurallDetector.name in config.detectors or FrankDetector.name in config.detectors:
        grouped_folds(items)


def choose_strength(
    candidates: Sequence[float],
    folds: Sequence[Fold],
    labels: NDArray[np.int64],
    weights: Floats,
    decide: Callable[[float, NDArray[np.int64], NDArray[np.int64]], Floats],
    advance: Callable[[], None] = lambda: None,
) -> float:
    """The candidate whose decision values on held-out rows have the greatest weighted AUC; the first of equals."""
    from sklearn.metrics import roc_auc_score

    found: list[float] = []
    for strength in candidates:
        held_out = np.zeros(len(labels))
        for fitted, others in folds:
            held_out[others] = decide(strength, fitted, others)
            advance()
        found.append(float(roc_auc_score(labels, held_out, sample_weight=weights)))
    return candidates[int(np.argmax(found))]


def logistic(
    features: Matrix, labels: NDArray[np.int64], weights: Floats, inverse_penalty: float
) -> tuple[Floats, float]:
    """Coefficients (F,) and intercept of a weighted logistic regression."""
    from sklearn.linear_model import LogisticRegression

    # Few features, many rows, nearly collinear: Newton's method takes a handful of steps where others take thousands.
    model = LogisticRegression(C=inverse_penalty, solver="newton-cholesky", max_iter=100)
    model.fit(features.astype(np.float64), labels, sample_weight=weights)
    return np.asarray(model.coef_[0], np.float64), float(model.intercept_[0])


def ridge_dual(kernel: Matrix, targets: Floats, weights: Floats, penalty: float) -> Matrix:
    """Dual coefficients (N,) of weighted ridge regression through the origin; those of the primal are features.T @ them.

    kernel: (N, N) inner products. Minimises the sum of weight x squared error plus penalty x mean of the kernel's
    diagonal x squared norm of the coefficients (Saunders, Gammerman, Vovk 1998, with weights).
    """
    import torch

    roots = np.sqrt(weights)
    system = kernel.astype(np.float64)
    strength = penalty * float(np.mean(np.diagonal(system)))
    system *= roots[:, None]
    system *= roots[None, :]
    system[np.diag_indices_from(system)] += strength
    # scipy's solvers (1.17) crash on matrices of about two gigabytes, or call them singular.
    factor = torch.linalg.cholesky(torch.from_numpy(system))
    dual = torch.cholesky_solve(torch.from_numpy(roots * targets)[:, None], factor)[:, 0]
    return np.asarray(roots * dual.numpy(), np.float32)


def standardise(features: Matrix, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation (F,) each; `features` (N, F) are standardised where they stand."""
    shares = weights / weights.sum()
    parts = [slice(start, start + CHUNK) for start in range(0, len(features), CHUNK)]
    mean = np.sum([shares[part] @ features[part].astype(np.float64) for part in parts], 0)
    variance = np.sum([shares[part] @ (features[part] - mean) ** 2 for part in parts], 0)
    scale = np.sqrt(variance)
    scale[scale < MIN_SCALE] = 1.0
    for part in parts:
        features[part] = (features[part] - mean) / scale
    return mean, scale


def _feature_matrix(kind: type[LinearDetector], crops: Crops, progress: Progress) -> Matrix:
    features = np.empty((len(crops), kind.n_features), np.float32)
    with progress.task(f"{kind.name} features", len(crops)) as advance:
        for start in range(0, len(crops), CHUNK):
            rows = range(start, min(start + CHUNK, len(crops)))
            features[start : start + CHUNK] = features_of(kind, [crops[i] for i in rows])
            advance(len(rows))
    return features


def _labels(items: Sequence[Item]) -> NDArray[np.int64]:
    return np.array([item.label for item in items], np.int64)


def _arrays(mean: Floats, scale: Floats, coefficients: NDArray[np.floating], intercept: float) -> Arrays:
    return {
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "coefficients": coefficients.astype(np.float32),
        "intercept": np.array([intercept], np.float32),
    }
