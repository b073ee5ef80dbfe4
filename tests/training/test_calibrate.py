"""Calibration, fusion and thresholds on scores whose true model is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.metrics import share_with_interval
from forensics.detectors.model_set import Calibration
from forensics.training.calibrate import (
    MIN_REALS_FOR_THRESHOLD,
    Thresholds,
    balanced_weights,
    choose_thresholds,
    fit_any,
    fit_calibration,
    fit_sum,
    interval,
    operating_point,
)


def items_of(*groups: tuple[str, int, int]) -> list[Item]:
    """Items of (data set, label, count) groups, in order."""
    return [Item(Path(f"/{name}/{label}/{i}"), label, dataset=name) for name, label, n in groups for i in range(n)]


def share(weights: np.ndarray, items: list[Item], wanted: Callable[[Item], bool]) -> float:
    return float(sum(w for w, item in zip(weights, items, strict=True) if wanted(item)))


def test_families_weigh_the_same_and_so_do_classes_within():
    items = items_of(("a", 0, 90), ("a", 1, 10), ("b", 0, 3), ("b", 1, 7), ("c", 1, 1), ("c", 0, 1))
    weights = balanced_weights(items)
    assert weights.sum() == pytest.approx(1)
    for name in "abc":
        for label in (0, 1):
            found = share(weights, items, lambda i, name=name, label=label: (i.dataset, i.label) == (name, label))
            assert found == pytest.approx(1 / 6)


def test_a_family_of_one_class_weighs_like_the_average_item_of_it():
    items = items_of(("a", 0, 10), ("a", 1, 40), ("reals", 0, 5))
    weights = balanced_weights(items)
    assert weights.sum() == pytest.approx(1)
    assert share(weights, items, lambda i: i.dataset == "reals") == pytest.approx(
        share(weights, items, lambda i: i.dataset == "a" and i.label == 0) / 2
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1), st.integers(1, 6)), min_size=1, max_size=6))
def test_weights_are_a_distribution_over_all_items(groups):
    weights = balanced_weights(items_of(*groups))
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()


def gaussian_logits(items: list[Item], scale: float, seed: int) -> np.ndarray:
    """Scores x with log odds 2 x / scale at even prior odds: two normal distributions of unit variance at +-1."""
    rng = np.random.default_rng(seed)
    return scale * np.array([rng.normal(2 * item.label - 1) for item in items])


def test_a_known_logistic_model_is_recovered_at_even_odds():
    # One fake to nine reals: the weights, not the data, set the odds.
    items = items_of(("a", 0, 18_000), ("a", 1, 2_000))
    found = fit_calibration({"x": gaussian_logits(items, 0.5, 0)}, items)
    assert found.coefficients["x"] == pytest.approx(4.0, rel=0.06)
    assert found.intercept == pytest.approx(0.0, abs=0.1)


def test_two_independent_detectors_add_up():
    items = items_of(("a", 0, 6_000), ("a", 1, 6_000))
    logits = {"x": gaussian_logits(items, 2.0, 1), "y": gaussian_logits(items, 1.0, 2)}
    found = fit_calibration(logits, items)
    assert found.coefficients["x"] == pytest.approx(1.0, rel=0.1)
    assert found.coefficients["y"] == pytest.approx(2.0, rel=0.1)


def test_a_detector_that_is_wrong_is_left_out():
    items = items_of(("a", 0, 500), ("a", 1, 500))
    good, bad = gaussian_logits(items, 1.0, 3), -0.2 * gaussian_logits(items, 1.0, 4)
    found = fit_calibration({"bad": bad, "good": good}, items)
    alone = fit_calibration({"good": good}, items)
    assert found.coefficients == {"bad": 0.0, **alone.coefficients}
    assert found.intercept == alone.intercept
    assert fit_calibration({"bad": bad}, items).coefficients == {"bad": 0.0}


def experts(n: int, seed: int) -> tuple[list[Item], dict[str, np.ndarray]]:
    """Two kinds of fakes against the same reals; each detector sees one of them, and noise in the other."""
    rng = np.random.default_rng(seed)
    items = items_of(("a", 0, n), ("a", 1, n), ("b", 0, n), ("b", 1, n))
    names = np.array([item.dataset for item in items])
    labels = np.array([item.label for item in items])
    return items, {
        name: np.where((names == name) & (labels == 1), 18.0, -6.0) + rng.normal(0, 6, len(items)) for name in "ab"
    }


def loss_of(calibration: Calibration, logits: dict[str, np.ndarray], items: list[Item]) -> float:
    fused, labels = calibration.fuse(logits), np.array([item.label for item in items])
    return float((balanced_weights(items) * (np.logaddexp(0, fused) - labels * fused)).sum())


def test_detectors_with_different_blind_spots_are_joined_by_or():
    items, logits = experts(500, 0)
    found = fit_calibration(logits, items)
    assert set(found.offsets) == {"a", "b"}
    unseen, theirs = experts(500, 1)
    labels, weights = np.array([item.label for item in items]), balanced_weights(items) * len(items)
    assert loss_of(found, theirs, unseen) < 0.9 * loss_of(fit_sum(logits, labels, weights), theirs, unseen)
    # One that finds nothing is no witness against one that does.
    alone = found.fuse({"a": np.array([24.0, 24.0]), "b": np.array([-6.0, -120.0])})
    assert alone[1] == pytest.approx(alone[0], abs=0.3)
    assert (alone > 2).all()


def test_an_or_leaves_out_a_detector_that_sees_nothing():
    items, logits = experts(500, 2)
    labels, weights = np.array([item.label for item in items]), balanced_weights(items) * len(items)
    wrong = -0.3 * gaussian_logits(items, 1.0, 9)
    found = fit_any({**logits, "wrong": wrong}, labels, weights)
    assert found.coefficients["wrong"] == 0.0
    alone = fit_any(logits, labels, weights)
    np.testing.assert_allclose(found.fuse({**logits, "wrong": wrong}), alone.fuse(logits), atol=1e-6)


def test_an_or_claims_no_more_than_its_members():
    items, logits = experts(500, 5)
    timid = {name: values / 30 for name, values in logits.items()}
    labels, weights = np.array([item.label for item in items]), balanced_weights(items) * len(items)
    assert all(fit_sum({name: values}, labels, weights).coefficients[name] > 2 for name, values in timid.items())
    assert fit_any(timid, labels, weights).coefficients == {"a": 1.0, "b": 1.0}


def test_the_or_is_at_a_minimum_of_its_loss():
    items, logits = experts(300, 3)
    labels, weights = np.array([item.label for item in items]), balanced_weights(items) * len(items)
    found = fit_any(logits, labels, weights)
    best = loss_of(found, logits, items)
    for name in "ab":
        for field in ("coefficients", "offsets"):
            for step in (-0.1, 0.1):
                values = dict(getattr(found, field))
                values[name] += step
                assert loss_of(found.model_copy(update={field: values}), logits, items) > best


def test_the_same_scores_give_the_same_fusion():
    items, logits = experts(200, 4)
    assert fit_calibration(logits, items) == fit_calibration(logits, items)


def test_separable_scores_stay_finite_in_an_or_too():
    items = items_of(("a", 0, 20), ("a", 1, 20))
    values = np.array([-1.0] * 20 + [1.0] * 20)
    labels, weights = np.array([item.label for item in items]), balanced_weights(items) * len(items)
    found = fit_any({"x": values, "y": values}, labels, weights)
    assert np.isfinite(found.fuse({"x": values, "y": values})).all()


def test_separable_scores_stay_finite():
    items = items_of(("a", 0, 20), ("a", 1, 20))
    found = fit_calibration({"x": np.array([-1.0] * 20 + [1.0] * 20)}, items)
    assert 0 < found.coefficients["x"] < 50


@pytest.mark.parametrize("items", [[], items_of(("a", 0, 5)), items_of(("a", 1, 5))])
def test_calibration_needs_both_classes(items):
    with pytest.raises(ManifestError, match="real and fake"):
        fit_calibration({"x": np.zeros(len(items))}, items)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.01, 0.1, 0.3]), st.booleans())
def test_thresholds_keep_their_rates_in_every_family(seed, fpr, fnr, has_ties):
    rng = np.random.default_rng(seed)
    groups = [(name, label, int(rng.integers(MIN_REALS_FOR_THRESHOLD, 150))) for name in "abc" for label in (0, 1)]
    items = items_of(*groups)
    shift = {name: rng.normal(0, 1) for name in "abc"}
    logits = np.array([rng.normal(2.5 * item.label - 1 + shift[item.dataset]) for item in items])
    probabilities = 1 / (1 + np.exp(-logits))
    if has_ties:
        probabilities = np.round(probabilities, 1)
    found = choose_thresholds(probabilities, items, fpr, fnr)
    assert 0 <= found.real < found.fake <= 1
    labels = np.array([item.label for item in items])
    names = np.array([item.dataset for item in items])
    # A tie at exactly 1 cannot be passed by any threshold.
    if probabilities[labels == 0].max() < 1:
        for name in "abc":
            assert (probabilities[(names == name) & (labels == 0)] >= found.fake).mean() <= fpr
    weights = balanced_weights(items) * (labels == 1)
    # Nor one at exactly 0, which scores never reach: logits are cut off.
    if probabilities[labels == 1].min() > 0:
        assert weights[probabilities <= found.real].sum() / weights.sum() <= fnr + 1e-9


def test_the_thresholds_are_the_tightest_that_do():
    items = items_of(("a", 0, 100), ("a", 1, 100))
    separate = np.concatenate([np.arange(100) / 200, 0.5 + np.arange(100) / 200])
    found = choose_thresholds(separate, items, 0.05, 0.10)
    # Both rates hold well beyond one half, where a threshold would contradict its probability: it stops there.
    assert found.fake == 0.5
    assert found.real == np.nextafter(0.5, 0.0)
    overlapping = np.concatenate([np.arange(100) / 100, np.arange(100) / 100])
    found = choose_thresholds(overlapping, items, 0.05, 0.10)
    assert int((overlapping[100:] <= found.real).sum()) == 10
    assert int((overlapping[:100] >= found.fake).sum()) in (4, 5)
    assert found.real < 0.5 < found.fake


def test_one_small_family_does_not_set_the_threshold_alone():
    items = items_of(("large", 0, 400), ("large", 1, 400), ("small", 0, 5), ("small", 1, 5))
    probabilities = np.concatenate(
        [np.linspace(0, 0.5, 400), np.linspace(0.5, 1, 400), np.full(5, 0.99), np.full(5, 1)]
    )
    assert choose_thresholds(probabilities, items, 0.05, 0.1).fake < 0.6


def test_the_operating_point_counts():
    items = items_of(("a", 0, 10), ("a", 1, 10), ("b", 0, 4), ("c", 1, 5))
    probabilities = np.array([0.9] * 2 + [0.5] * 8 + [0.1] * 3 + [0.9] * 7 + [0.8, 0.2, 0.2, 0.2] + [0.2] * 5)
    found = operating_point(Thresholds(0.8, 0.2), probabilities, items, "made up")
    assert (found.threshold_fake, found.threshold_real, found.test_set) == (0.8, 0.2, "made up")
    assert (found.false_positive_rate.value, found.false_positive_rate.n) == (round(3 / 14, 4), 14)
    assert (found.false_negative_rate.value, found.false_negative_rate.n) == (round(8 / 15, 4), 15)
    assert {name: (rate.value, rate.n) for name, rate in found.false_positive_rates.items()} == {
        "a": (0.2, 10),
        "b": (0.25, 4),
    }
    expected = share_with_interval(2, 10)
    assert found.false_positive_rates["a"].low == pytest.approx(expected.low, abs=1e-4)
    assert found.false_positive_rates["a"].high == pytest.approx(expected.high, abs=1e-4)


def test_an_operating_point_of_nothing_has_no_rates():
    found = operating_point(Thresholds(1.0, 0.0), np.empty(0), [], "none")
    assert found.false_positive_rate is found.false_negative_rate is None
    assert found.false_positive_rates == {}
    assert interval(np.zeros(0, bool)) is None
