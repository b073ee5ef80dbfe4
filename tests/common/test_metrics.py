"""AUC against scikit-learn, intervals against published values and against what they must do."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from forensics.common.metrics import auc, auc_with_interval, share_with_interval


@st.composite
def labelled_scores(draw):
    """Labels with both classes, and scores on a coarse grid, so that ties are common."""
    n = draw(st.integers(2, 60))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    labels[:2] = (0, 1)
    scores = draw(hnp.arrays(np.float64, n, elements=st.integers(-4, 4).map(float)))
    return labels, scores


@settings(deadline=None, max_examples=60)
@given(labelled_scores())
def test_auc_is_that_of_scikit_learn_with_ties(data):
    labels, scores = data
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_auc_ignores_order_and_monotone_transforms(data, seed):
    labels, scores = data
    order = np.random.default_rng(seed).permutation(len(labels))
    expected = auc(labels, scores)
    assert auc(labels[order], scores[order]) == pytest.approx(expected, abs=1e-12)
    assert auc(labels, np.exp(0.5 * scores) - 3) == pytest.approx(expected, abs=1e-12)
    assert auc(labels, -scores) == pytest.approx(1 - expected, abs=1e-12)
    assert auc(1 - labels, scores) == pytest.approx(1 - expected, abs=1e-12)


def test_auc_of_a_worked_example():
    # Pairs (fake, real): .8 > .1, .8 > .4, .35 > .1, .35 < .4: three of four.
    assert auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    assert auc(np.array([0, 1, 1]), np.array([1.0, 1.0, 1.0])) == 0.5


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_nan_and_so_is_its_interval(label):
    labels, scores = [label] * 4, [0.1, 0.2, 0.3, 0.4]
    assert math.isnan(auc(np.array(labels), np.array(scores)))
    found = auc_with_interval(labels, scores, ["a", "b", "c", "d"])
    assert all(math.isnan(value) for value in (found.value, found.low, found.high))


def _overlapping(n: int) -> tuple[list[int], list[float]]:
    rng = np.random.default_rng(7)
    labels = [i % 2 for i in range(n)]
    return labels, [float(rng.normal(0.8 * label)) for label in labels]


def test_repeated_items_widen_the_interval_only_when_they_are_clustered():
    labels, scores = _overlapping(40)
    repeated_labels, repeated_scores = np.repeat(labels, 9).tolist(), np.repeat(scores, 9).tolist()
    sources = np.repeat([f"source{i}" for i in range(40)], 9).tolist()
    clustered = auc_with_interval(repeated_labels, repeated_scores, sources)
    naive = auc_with_interval(repeated_labels, repeated_scores, [str(i) for i in range(360)])
    single = auc_with_interval(labels, scores, [f"source{i}" for i in range(40)])
    assert clustered.value == pytest.approx(single.value)
    assert clustered.low < clustered.value < clustered.high
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)
    # Nine copies of each recording say no more than one.
    assert clustered.high - clustered.low == pytest.approx(single.high - single.low, rel=0.15)


def test_interval_repeats_with_its_seed():
    labels, scores = _overlapping(30)
    clusters = [str(i // 2) for i in range(30)]
    first = auc_with_interval(labels, scores, clusters, seed=3, draws=200)
    assert auc_with_interval(labels, scores, clusters, seed=3, draws=200) == first
    assert auc_with_interval(labels, scores, clusters, seed=4, draws=200) != first


# Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3: Wilson score without continuity correction.
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_the_published_one(hits, n, low, high):
    found = share_with_interval(hits, n)
    assert found.value == hits / n
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 400), st.data())
def test_wilson_interval_holds_its_share_mirrors_and_narrows(n, data):
    hits = data.draw(st.integers(0, n))
    found, mirrored = share_with_interval(hits, n), share_with_interval(n - hits, n)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    widths = [(e := share_with_interval(hits * k, n * k)).high - e.low for k in (1, 4, 16)]
    assert all(narrow < wide for wide, narrow in pairwise(widths))


def test_share_of_nothing_is_nan():
    assert math.isnan(share_with_interval(0, 0).value)
