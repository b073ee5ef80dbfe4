"""KID, FID, precision and recall against closed forms, a worked example, and torch-fidelity's own commands."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from forensics.common.errors import UsageError
from generators.quality import metrics
from generators.quality.metrics import fid, frechet_distance, kid, precision_recall, wilson


def normal(n, d, mean=0.0, scale=1.0, seed=0):
    return np.random.default_rng([seed, n, d]).normal(mean, scale, (n, d))


def kid_of_shifted_normals(shift, d):
    """Population value of (x.y / d + 1)^3 for N(shift, I) and N(0, I): differences of the moments of order 1 to 3."""
    q = shift**2 * d
    return 3 * q / d + 3 * q**2 / d**2 + (q**3 + 6 * q**2 + (3 * d + 6) * q) / d**3


def test_worked_example_of_the_unbiased_mmd():
    # One feature, kernel (x y + 1)^3. Fakes 0, 1 and reals 1, 2: k(0, 1) = 1, k(1, 2) = 27; across 1, 1, 8, 27.
    fake, real = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    mmd = metrics._mmd_of_rows(fake, real)
    assert mmd(np.arange(2), np.arange(2)) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)


def test_kid_of_subsets_is_torch_fidelitys():
    fake, real = normal(60, 5, 0.3), normal(60, 5, seed=1)
    rows = np.arange(60)
    theirs = kid_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real), kid_subsets=1, kid_subset_size=60, verbose=False
    )
    assert metrics._mmd_of_rows(fake, real)(rows, rows) == pytest.approx(theirs[KEY_METRIC_KID_MEAN])


def test_large_sets_take_another_path_to_the_same_kid(monkeypatch):
    fake, real = normal(50, 4, 0.2), normal(70, 4, seed=1)
    whole = kid(fake, real, 3)
    monkeypatch.setattr(metrics, "MAX_KERNEL_ROWS", 10)
    by_subset = kid(fake, real, 3)
    assert by_subset.value == pytest.approx(whole.value)
    assert by_subset.high == pytest.approx(whole.high)


def test_kid_meets_its_population_value_and_grows_with_the_shift():
    d, values = 8, []
    for shift in (0.0, 0.25, 0.5, 1.0):
        found = kid(normal(400, d, shift), normal(400, d, seed=1), subsets=50)
        truth = kid_of_shifted_normals(shift, d)
        assert found.low <= truth <= found.high
        values.append(found.value)
    assert values == sorted(values)


def test_interval_of_kid_covers_and_is_not_too_wide():
    d, shift, n, repeats = 16, 0.3, 80, 120
    truth = kid_of_shifted_normals(shift, d)
    found = [kid(normal(n, d, shift, seed=2 * k), normal(n, d, seed=2 * k + 1), k, 40) for k in range(repeats)]
    covered = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.9 <= covered <= 1.0
    # The half-width is 1.96 standard errors of the value, not of a subset's value.
    half = np.mean([(e.high - e.low) / 2 for e in found]) / metrics.Z95
    assert half == pytest.approx(np.std([e.value for e in found]), rel=0.25)


def test_interval_of_equal_distributions_is_never_too_narrow():
    found = [kid(normal(60, 16, seed=2 * k), normal(60, 16, seed=2 * k + 1), k, 40) for k in range(100)]
    assert np.mean([e.low <= 0 <= e.high for e in found]) >= 0.95


@pytest.mark.parametrize(("n", "m"), [(40, 400), (200, 50)])
def test_interval_of_unequal_sizes_covers_and_is_not_too_wide(n, m):
    d, shift = 16, 0.3
    truth = kid_of_shifted_normals(shift, d)
    found = [kid(normal(n, d, shift, seed=2 * k), normal(m, d, seed=2 * k + 1), k, 40) for k in range(100)]
    assert np.mean([e.low <= truth <= e.high for e in found]) >= 0.9
    half = np.mean([(e.high - e.low) / 2 for e in found]) / metrics.Z95
    assert half == pytest.approx(np.std([e.value for e in found]), rel=0.25)


def test_unbiased_mmd_of_unequal_sizes_is_the_sum_over_pairs():
    fake, real = normal(3, 2, 0.3), normal(5, 2, seed=1)

    def mean(pairs):
        return np.mean([(x @ y / 2 + 1) ** 3 for x, y in pairs])

    ff, rr = ([(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j] for s in (fake, real))
    expected = mean(ff) + mean(rr) - 2 * mean([(a, b) for a in fake for b in real])
    assert metrics._mmd_of_rows(fake, real)(np.arange(3), np.arange(5)) == pytest.approx(expected)


@pytest.mark.parametrize("figure", [kid, fid])
def test_intervals_shrink_with_more_pictures(figure):
    widths = {}
    for n in (40, 360):
        found = [figure(normal(n, 6, 0.4, seed=2 * k), normal(n, 6, seed=2 * k + 1), k, 20) for k in range(10)]
        assert all(e.low < e.value < e.high for e in found)
        widths[n] = np.mean([e.high - e.low for e in found])
    assert 2 < widths[40] / widths[360] < 4.5  # 3, in the limit


def test_fid_of_gaussians_is_its_closed_form():
    # |m|^2 + sum (s1 - s2)^2 for diagonal covariances.
    d, n = 4, 40_000
    scales = np.array([0.5, 1.0, 2.0, 3.0])
    fake = np.random.default_rng(1).normal(0.5, 1.0, (n, d)) * scales
    real = np.random.default_rng(2).normal(0.0, 1.0, (n, d))
    expected = (0.25 * scales**2).sum() + ((scales - 1) ** 2).sum()
    assert fid(fake, real, subsets=3).value == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("n", "m", "d"), [(30, 50, 64), (200, 150, 20), (15, 200, 20)])
def test_frechet_distance_is_torch_fidelitys_for_any_rank(n, m, d):
    a, b = normal(n, d, 0.3, 2.0), normal(m, d, seed=5)
    parts = [fid_features_to_statistics(torch.from_numpy(part)) for part in (a, b)]
    theirs = fid_statistics_to_metric(*parts, verbose=False)[KEY_METRIC_FID]
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-4)
    assert fid(a, b, subsets=2).value == pytest.approx(theirs, rel=1e-4)


def test_precision_and_recall_tell_collapse_from_noise():
    real = normal(300, 4)
    collapsed = np.tile(real[:1], (300, 1)) + normal(300, 4, 0.0, 1e-3, seed=2)
    precision, recall = precision_recall(collapsed, real)
    assert precision.value == 1.0
    assert recall.value < 0.05
    assert precision.low < 1.0 == precision.high
    wide = normal(300, 4, 0.0, 6.0, seed=3)
    precision, recall = precision_recall(wide, real)
    assert precision.value < 0.3
    assert recall.value > 0.9
    precision, recall = precision_recall(normal(300, 4, seed=4), real)
    assert min(precision.value, recall.value) > 0.8


def test_wilson_interval_is_the_published_one():
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, and 0 of 20.
    found = wilson(81 / 263, 263)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    found = wilson(0.0, 20)
    assert (found.low, found.high) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_same_seed_same_figures_and_another_seed_other_subsets():
    fake, real = normal(40, 3, 0.2), normal(50, 3, seed=1)
    assert kid(fake, real, 7) == kid(fake, real, 7)
    assert fid(fake, real, 7) == fid(fake, real, 7)
    assert kid(fake, real, 7) != kid(fake, real, 8)


@pytest.mark.parametrize("figure", [kid, fid, precision_recall])
def test_too_few_pictures_and_mixed_extractors_are_refused(figure):
    with pytest.raises(UsageError, match="too few"):
        figure(normal(7, 3), normal(50, 3))
    with pytest.raises(ValueError, match="of one extractor"):
        figure(normal(20, 3), normal(20, 4))


def test_subset_as_large_as_the_set_is_refused():
    with pytest.raises(UsageError, match="subsets of 20"):
        kid(normal(20, 3), normal(30, 3), subset_size=20)
