"""The fits of the spectral baselines: scikit-learn's answers, folds of whole groups, and traces that must be found."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.metrics import auc
from forensics.common.progress import Progress
from forensics.detectors.durall import DurallDetector
from forensics.detectors.frank import FrankDetector
from forensics.training.crops import Crops
from forensics.training.linear_fit import (
    choose_strength,
    fit_durall,
    fit_frank,
    grouped_folds,
    logistic,
    ridge_dual,
    standardise,
)

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they bring in arrays this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """Noise with the falling spectrum of a photograph, up to the finest scale."""
    layers = [gaussian_filter(rng.normal(size=(side, side)), s) * s**1.5 for s in (0.5, 1, 2, 4, 8)]
    return np.sum(layers, 0)


def real(rng: np.random.Generator, side: int = 64) -> np.ndarray:
    return texture(rng, side)


def fake(rng: np.random.Generator, side: int = 64) -> np.ndarray:
    """Up-sampled as a transposed convolution does it: zeros between the pixels, a kernel that covers them unevenly."""
    spread = np.zeros((side, side))
    spread[::2, ::2] = texture(rng, side // 2)
    kernel = np.outer([0.5, 1.0, 0.4], [0.5, 1.0, 0.4])
    padded = np.pad(spread, 1)
    return sum(kernel[i, j] * padded[i : i + side, j : j + side] for i in range(3) for j in range(3))


def made_crops(n: int, seed: int) -> Crops:
    rng = np.random.default_rng(seed)
    pictures = []
    for i in range(n):
        gray = (fake if i % 2 else real)(rng)
        gray = 128 + 40 * (gray - gray.mean()) / gray.std()
        pictures.append(np.clip(gray, 0, 255).astype(np.uint8)[..., None].repeat(3, -1))
    return Crops(
        items=tuple(Item(Path(f"/{seed}/{i}.png"), i % 2, dataset="drawn", source=f"s{i // 4}") for i in range(n)),
        places=np.array([[i * pictures[0].size, 64] * 2 for i in range(n)], np.int64),
        landmarks=np.zeros((n, 5, 2), np.float32),
        pixels=np.concatenate([picture.ravel() for picture in pictures]),
        missed={},
    )


@pytest.mark.parametrize(("fit", "detector"), [(fit_durall, DurallDetector), (fit_frank, FrankDetector)])
def test_the_trace_of_up_sampling_is_found(fit, detector):
    arrays, _ = fit(made_crops(80, 0), QUIET)
    others = made_crops(40, 1)
    scores = detector(arrays).score([others[i] for i in range(40)])
    labels = np.array([item.label for item in others.items])
    assert auc(labels, scores) > 0.97
    assert scores[labels == 1].mean() > 0.5 > scores[labels == 0].mean()


@pytest.mark.parametrize("fit", [fit_durall, fit_frank])
def test_the_same_crops_give_the_same_bytes(fit):
    first, second = (fit(made_crops(40, 2), QUIET) for _ in range(2))
    assert first[1] == second[1]
    assert all(first[0][name].tobytes() == second[0][name].tobytes() for name in first[0])
    assert all(array.dtype == np.float32 for array in first[0].values())


def problem(n: int = 60, features: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and uneven weights."""
    rng = np.random.default_rng(5)
    labels = np.arange(n) % 2
    x = rng.normal(size=(n, features)) + 0.2 * labels[:, None]
    return x.astype(np.float32), labels.astype(np.int64), rng.uniform(0.2, 3, n)


def test_the_dual_is_ridge_regression():
    from sklearn.linear_model import Ridge

    x, labels, weights = problem()
    kernel = x @ x.T
    for penalty in (0.01, 1.0, 100.0):
        alpha = penalty * float(np.trace(kernel)) / len(x)
        model = Ridge(alpha=alpha, fit_intercept=False).fit(x, 2 * labels - 1, sample_weight=weights)
        found = x.T @ ridge_dual(kernel, 2.0 * labels - 1, weights, penalty)
        np.testing.assert_allclose(found, model.coef_, rtol=1e-3, atol=1e-5)


def test_standardising_is_weighted():
    from sklearn.preprocessing import StandardScaler

    x, _, weights = problem(600)
    expected = StandardScaler().fit(x.astype(np.float64), sample_weight=weights)
    standardised = x.copy()
    mean, scale = standardise(standardised, weights)
    np.testing.assert_allclose(mean, expected.mean_, atol=1e-9)
    np.testing.assert_allclose(scale, expected.scale_, atol=1e-9)
    np.testing.assert_allclose(standardised, expected.transform(x.astype(np.float64)), atol=1e-5)


def test_a_constant_feature_is_left_out_by_its_own_weight():
    x, _, weights = problem(600)
    x[:, 3] = 7.1
    _, scale = standardise(x, weights)
    assert scale[3] == 1
    assert np.abs(x[:, 3]).max() < 1e-6


def test_the_logistic_regression_is_scikit_learn_s():
    from sklearn.linear_model import LogisticRegression

    x, labels, weights = problem(200, 5)
    coefficients, intercept = logistic(x, labels, weights, 0.1)
    model = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(x.astype(float), labels, sample_weight=weights)
    np.testing.assert_allclose(coefficients, model.coef_[0], atol=1e-4)
    assert intercept == pytest.approx(model.intercept_[0], abs=1e-4)


def item(number: int, label: int, **columns: str) -> Item:
    return Item(Path(f"/{number}.png"), label, **columns)


def test_no_group_is_on_both_sides():
    items = [item(i, i % 2, dataset="a", source=f"v{i // 2}", identity=f"p{i // 10}") for i in range(100)]
    items += [item(200 + i, i % 2, dataset="b", source=f"p{i // 4}") for i in range(40)]
    folds = grouped_folds(items)
    assert len(folds) == 5
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(140))
    for fitted, held_out in folds:
        people = [
            {(items[i].dataset, items[i].identity or items[i].source) for i in rows} for rows in (fitted, held_out)
        ]
        assert not people[0] & people[1]
        assert {items[i].label for i in fitted} == {0, 1}


def test_pictures_without_a_source_are_groups_of_their_own():
    assert len(grouped_folds([item(i, i % 2) for i in range(20)])) == 5
    assert len(grouped_folds([item(i, int(i > 2)) for i in range(20)])) == 3


@pytest.mark.parametrize(
    "items",
    [
        [item(i, 0) for i in range(20)],
        [item(i, int(i == 0)) for i in range(20)],
        [item(i, i % 2, source="one video") for i in range(20)],
    ],
    ids=["one class", "one fake", "one source"],
)
def test_too_few_groups_are_a_typed_error(items):
    with pytest.raises(ManifestError, match="too few real or fake groups") as caught:
        grouped_folds(items)
    assert "source" in caught.value.hint


def test_the_strength_that_holds_on_other_rows_is_chosen():
    labels = np.arange(40) % 2
    folds = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    quality = {0.1: 0.2, 1.0: 3.0, 10.0: 1.0}
    noise = np.random.default_rng(0).normal(size=40)
    seen = []

    def decide(strength, fitted, others):
        seen.append((strength, set(fitted) & set(others)))
        return quality[strength] * labels[others] + noise[others]

    assert choose_strength(list(quality), folds, labels, np.ones(40), decide) == 1.0
    assert len(seen) == 6
    assert all(not overlap for _, overlap in seen)
    # Rows that weigh nothing decide nothing: turn the labels of half of the rows around.
    weights = np.r_[np.ones(20), np.zeros(20)]
    flipped = np.r_[labels[:20], 1 - labels[20:]]
    assert choose_strength(list(quality), folds, flipped, weights, decide) == 1.0
