"""Metrics against scikit-learn, worked examples and their own invariances; clusters against drawn graphs."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.metrics import det_curve as sklearn_det_curve
from sklearn.metrics import roc_curve as sklearn_roc_curve

from eval.statistics import (
    METRICS,
    auc,
    average_precision,
    brier,
    clusters_of,
    det_curve,
    equal_error_rate,
    even_prior_weights,
    expected_calibration_error,
    metric_values,
    rates_at,
    reliability_bins,
    roc_curve,
    tpr_at_fpr,
)

RANKING = (auc, average_precision, equal_error_rate, lambda y, s: tpr_at_fpr(y, s, 0.05))


@st.composite
def labelled_scores(draw):
    """Labels with both classes, and scores in [0, 1] on a coarse grid, so that ties are common."""
    n = draw(st.integers(2, 50))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    labels[:2] = (0, 1)
    scores = draw(hnp.arrays(np.float64, n, elements=st.integers(0, 8).map(lambda k: k / 8)))
    return labels, scores


def sample(n, seed=0, digits=12):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return labels, np.round(1 / (1 + np.exp(-rng.normal(1.5 * labels - 0.7))), digits)


def equal_error_rate_by_hand(labels, scores):
    """Walk the ROC curve's own definition, threshold by threshold, to the segment that crosses FPR = FNR."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        points.append((called[labels == 0].mean(), 1 - called[labels == 1].mean()))
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 >= y1:
            return x0 + (y0 - x0) / ((y0 - x0) + (x1 - y1)) * (x1 - x0)
    raise AssertionError("the curve ends at FPR 1")


@settings(deadline=None, max_examples=60)
@given(labelled_scores())
def test_ranking_metrics_are_those_of_scikit_learn_and_of_their_definition(data):
    labels, scores = data
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert equal_error_rate(labels, scores) == pytest.approx(equal_error_rate_by_hand(labels, scores), abs=1e-12)
    for level in (0.0, 0.01, 0.05, 0.3, 1.0):
        by_threshold = [
            (scores[labels == 1] >= t).mean() for t in [np.inf, *scores] if (scores[labels == 0] >= t).mean() <= level
        ]
        assert tpr_at_fpr(labels, scores, level) == pytest.approx(max(by_threshold), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_ranking_metrics_ignore_order_and_monotone_transforms(data, seed):
    labels, scores = data
    order = np.random.default_rng(seed).permutation(len(labels))
    for metric in RANKING:
        expected = metric(labels, scores)
        assert metric(labels[order], scores[order]) == pytest.approx(expected, abs=1e-12)
        assert metric(labels, np.exp(3 * scores) - 7) == pytest.approx(expected, abs=1e-12)
    for metric in (auc, equal_error_rate):
        assert metric(1 - labels, 1 - scores) == pytest.approx(metric(labels, scores), abs=1e-12)
    assert auc(labels, 1 - scores) == pytest.approx(1 - auc(labels, scores), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_calibration_ignores_order_and_repetition_and_swapping_the_classes(data, seed):
    labels, scores = data
    order = np.random.default_rng(seed).permutation(len(labels))
    for metric in (expected_calibration_error, brier):
        expected = metric(labels, scores)
        assert metric(labels[order], scores[order]) == pytest.approx(expected, abs=1e-12)
        assert metric(np.repeat(labels, 3), np.repeat(scores, 3)) == pytest.approx(expected, abs=1e-12)
        assert metric(labels, scores, weights=np.full(len(labels), 0.25)) == pytest.approx(expected, abs=1e-12)
    assert brier(1 - labels, 1 - scores) == pytest.approx(brier(labels, scores), abs=1e-12)
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores, pos_label=1), abs=1e-12)


def test_equal_error_rate_of_a_worked_example():
    # From .8 down, (FPR, FNR) is (0, 2/3), (1/3, 2/3), (1/3, 1/3): they meet exactly at one third.
    labels, scores = np.array([1, 0, 1, 1, 0, 0]), np.array([0.8, 0.6, 0.4, 0.2, 0.2, 0.1])
    assert equal_error_rate(labels, scores) == pytest.approx(1 / 3)
    # One step from (0, 1) to (1, 0): the line between crosses at one half.
    assert equal_error_rate(np.array([0, 1, 1]), np.full(3, 0.3)) == pytest.approx(0.5)
    assert equal_error_rate(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9])) == 0


def test_tpr_at_fpr_counts_the_reals_that_a_threshold_accuses():
    labels = np.array([0] * 100 + [1] * 4)
    scores = np.concatenate([np.arange(100) / 100, [0.985, 0.94, 0.935, 0.5]])
    # At most one real of 100: above .98, so .985 only. At most five: above .94, still without the fake at .94 itself,
    # which ties with a real that would be the sixth. At most six: above .93.
    assert tpr_at_fpr(labels, scores, 0.01) == 0.25
    assert tpr_at_fpr(labels, scores, 0.05) == 0.25
    assert tpr_at_fpr(labels, scores, 0.06) == 0.75
    assert tpr_at_fpr(labels, scores, 1.0) == 1.0
    assert tpr_at_fpr(np.array([0, 1]), np.array([0.9, 0.1]), 0.0) == 0.0


def test_rates_call_fake_at_the_threshold_itself():
    rates = rates_at(np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.5, 0.6, 0.2, 0.5, 0.4]), 0.5)
    assert (rates.fpr, rates.fnr, rates.tpr) == (0.5, 0.5, 0.5)
    assert rates.accuracy == pytest.approx(3 / 6)
    of_reals = rates_at(np.zeros(4, int), np.array([0.1, 0.2, 0.3, 0.9]), 0.5)
    assert of_reals.fpr == 0.25
    assert of_reals.accuracy == 0.75
    assert math.isnan(of_reals.fnr)
    assert math.isnan(of_reals.tpr)


def test_calibration_error_of_a_worked_example():
    # Bins of 1/5: {.1, .15} has no fakes against .125; {.9} is fake against .9; (2 * .125 + 1 * .1) / 3.
    labels, probabilities = np.array([0, 0, 1]), np.array([0.1, 0.15, 0.9])
    assert expected_calibration_error(labels, probabilities, bins=5) == pytest.approx((2 * 0.125 + 0.1) / 3)
    diagram = reliability_bins(labels, probabilities, bins=5)
    assert diagram.counts.tolist() == [2, 0, 0, 0, 1]
    assert diagram.share_fake[[0, 4]].tolist() == [0, 1]
    assert diagram.mean_probability[[0, 4]] == pytest.approx([0.125, 0.9])
    assert np.isnan(diagram.mean_probability[1])


def test_calibration_error_counts_a_score_of_exactly_one_and_exactly_zero():
    # Reals that are all called fake with certainty: as wrong as can be. A dropped 1.0 would leave nothing.
    assert expected_calibration_error(np.zeros(4, int), np.ones(4)) == 1.0
    assert expected_calibration_error(np.ones(4, int), np.zeros(4)) == 1.0
    assert reliability_bins(np.zeros(4, int), np.ones(4)).counts.tolist() == [0] * 14 + [4]
    # Three wrong certainties among four: 3/4, where dropping them would say 0.
    assert expected_calibration_error(np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 1.0])) == 0.75


def test_a_probability_on_an_edge_belongs_to_the_bin_above():
    # Halves and quarters are exact in binary, so is every edge of four bins.
    labels, edges = np.array([0, 1, 0, 1, 0]), np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    assert reliability_bins(labels, edges, bins=4).counts.tolist() == [1, 1, 1, 2]
    # The last bin pools .75 (fake) and 1 (real): |1/2 - 7/8|; the others are |0 - 0|, |1 - 1/4|, |0 - 1/2|.
    expected = (0 + 0.75 + 0.5 + 2 * 0.375) / 5
    assert expected_calibration_error(labels, edges, bins=4) == pytest.approx(expected)


@settings(deadline=None, max_examples=40)
@given(labelled_scores())
def test_calibration_error_is_the_mean_gap_of_the_reliability_diagram(data):
    labels, scores = data
    for weights in (None, even_prior_weights(labels)):
        diagram = reliability_bins(labels, scores, weights=weights)
        gaps = diagram.weights * np.abs(diagram.share_fake - diagram.mean_probability)
        assert expected_calibration_error(labels, scores, weights=weights) == pytest.approx(np.nansum(gaps), abs=1e-12)
        assert diagram.counts.sum() == len(labels)


def test_even_prior_removes_the_share_of_fakes():
    labels, scores = sample(400, digits=3)
    fakes = labels == 1
    repeated = np.concatenate([np.flatnonzero(~fakes), np.tile(np.flatnonzero(fakes), 9)])
    for metric in (expected_calibration_error, brier):
        even = metric(labels, scores, weights=even_prior_weights(labels))
        of_many = labels[repeated], scores[repeated]
        assert metric(*of_many, weights=even_prior_weights(of_many[0])) == pytest.approx(even, abs=1e-12)
        assert metric(*of_many) != pytest.approx(even, abs=1e-3)
    weights = even_prior_weights(labels)
    assert weights[fakes].sum() == pytest.approx(0.5)
    assert weights[~fakes].sum() == pytest.approx(0.5)


def test_curves_are_those_of_scikit_learn():
    labels, scores = sample(200, digits=2)
    roc, det = roc_curve(labels, scores), det_curve(labels, scores)
    for found, expected in ((roc, sklearn_roc_curve(labels, scores)), (det, sklearn_det_curve(labels, scores))):
        # Points on a straight line between their neighbours may be left out: the drawn curve is the same.
        order = np.argsort(expected[0], kind="stable")
        assert np.isin(found.x, expected[0]).all()
        assert len(found.x) == len(found.y) == len(found.thresholds) <= len(order)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(auc(labels, scores), abs=1e-12)
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    for curve, share in (
        (roc, lambda t: rates_at(labels, scores, t).tpr),
        (det, lambda t: rates_at(labels, scores, t).fnr),
    ):
        reached = [(rates_at(labels, scores, t).fpr, share(t)) for t in curve.thresholds]
        assert np.allclose(np.array(reached), np.stack([curve.x, curve.y], axis=1), atol=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_undefined_what_needs_two(label):
    labels, scores = np.full(4, label), np.array([0.1, 0.2, 0.3, 0.9])
    values = metric_values(labels, scores, 0.5)
    defined = {name for name, value in values.items() if not math.isnan(value)}
    assert defined == {"accuracy", "ece", "brier", "fnr" if label else "fpr"}
    assert len(roc_curve(labels, scores).x) == len(det_curve(labels, scores).x) == 0
    assert np.isnan(even_prior_weights(labels)).all()


def test_nothing_leaves_everything_undefined():
    assert all(math.isnan(value) for value in metric_values(np.empty(0, int), np.empty(0), 0.5).values())


def test_values_are_complete_and_in_order():
    assert tuple(metric_values(*sample(30), 0.5)) == METRICS


@pytest.mark.parametrize(
    "function",
    [
        auc, average_precision, equal_error_rate, expected_calibration_error, brier, roc_curve, det_curve, reliability_bins,
        lambda y, s: tpr_at_fpr(y, s, 0.1), lambda y, s: rates_at(y, s, 0.5), lambda y, s: metric_values(y, s, 0.5),
    ],
)  # fmt: skip
def test_malformed_input_is_an_error(function):
    labels, scores = np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="NaN"):
        function(labels, np.array([0.1, np.nan, 0.3]))
    with pytest.raises(ValueError, match="shape"):
        function(labels, scores[:2])
    with pytest.raises(ValueError, match="1 = fake"):
        function(np.array([0, 1, 2]), scores)


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_calibration_refuses_what_is_no_probability(value):
    for function in (expected_calibration_error, brier, reliability_bins, lambda y, s: metric_values(y, s, 0.5)):
        with pytest.raises(ValueError, match="outside"):
            function(np.array([0, 1]), np.array([0.5, value]))


def test_clusters_join_along_sources_and_identities():
    sources = ["a", "b", "c", "", "", "", "d", "a"]
    identities = ["", "p", "p", "", "", "q", "q", ""]
    paths = [f"{i}.png" for i in range(8)]
    # a-a by source; b-c by person p; 5-6 by person q; 3 and 4 have nothing and stay alone.
    assert clusters_of(sources, identities, paths).tolist() == [0, 1, 1, 2, 3, 4, 4, 0]


def test_clusters_are_transitive_and_keep_names_of_two_kinds_apart():
    assert clusters_of(["a", "a", "b", "b"], ["p", "q", "q", "r"], list("wxyz")).tolist() == [0, 0, 0, 0]
    assert clusters_of(["same", ""], ["", "same"], ["0", "1"]).tolist() == [0, 1]
    # Two rows of one file (its tracks) that know nothing else belong together; a source outweighs the path.
    assert clusters_of(["", "", "s", "t"], [""] * 4, ["f", "f", "g", "g"]).tolist() == [0, 0, 1, 2]
    assert clusters_of([], [], []).tolist() == []
    with pytest.raises(ValueError, match="one of each per row"):
        clusters_of(["a"], ["b", "c"], ["0"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25))
def test_clusters_are_the_components_of_the_graph(pairs):
    sources, identities = [f"{a}" if a else "" for a, _ in pairs], [f"{b}" if b else "" for _, b in pairs]
    found = clusters_of(sources, identities, [str(i) for i in range(len(pairs))])
    expected = list(range(len(pairs)))
    for _ in pairs:  # spread the smallest number until nothing changes
        for i, (a, b) in enumerate(pairs):
            for j, (c, d) in enumerate(pairs):
                if (a and a == c) or (b and b == d):
                    expected[i] = expected[j] = min(expected[i], expected[j])
    assert [[x == y for y in found] for x in found] == [[x == y for y in expected] for x in expected]
    assert list(dict.fromkeys(found.tolist())) == list(range(len(set(expected))))
