"""Curves are thinned by a known tolerance, histograms lose nobody, axes hold what they must show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from eval.report.curves import (
    DET_TICKS,
    MAX_POINTS,
    Scored,
    det_limits,
    deviates,
    histogram_of,
    scored_of,
    thin_curve,
)
from eval.report.plots import CLOSEST_TICKS, det_ticks, interval_limits, looks_of
from eval.score_table import ScoreRow
from eval.statistics import roc_curve
from forensics.common.metrics import Estimate
from forensics.common.outcomes import Outcome


def distance_to_polyline(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Of each point (P, 2) to the nearest place of a polyline (L, 2)."""
    starts, steps = line[:-1], np.diff(line, axis=0)
    offsets = points[:, None] - starts[None]  # (P, L-1, 2)
    along = (offsets * steps).sum(-1) / np.maximum((steps**2).sum(-1), 1e-30)
    nearest = starts + np.clip(along, 0, 1)[..., None] * steps
    return np.hypot(*(points[:, None] - nearest).transpose(2, 0, 1)).min(axis=1)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 3000), ties=st.integers(0, 60), separation=st.floats(0, 3), seed=st.integers(0, 2**31))
def test_thinned_roc_moves_no_corner(n: int, ties: int, separation: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, n), [0, 1])
    scores = rng.normal(separation * labels)
    if ties:
        scores = np.round(scores * ties) / ties
    curve = roc_curve(labels, scores)
    x, y = thin_curve(curve.x, curve.y)
    assert len(x) <= MAX_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert distance_to_polyline(np.stack([curve.x, curve.y], 1), np.stack([x, y], 1)).max() <= 0.002


def test_thinned_roc_of_many_items_is_small() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200_000)
    curve = roc_curve(labels, rng.normal(0.7 * labels))
    assert len(curve.x) > 20_000
    x, _ = thin_curve(curve.x, curve.y)
    assert 20 < len(x) <= MAX_POINTS


def test_thinning_ends_even_where_nothing_is_straight() -> None:
    """A zigzag that is no ROC curve: the bound on points holds at the price of the tolerance."""
    x = np.linspace(0, 1, 1501)
    assert len(thin_curve(x, np.arange(1501) % 2 * 0.1)[0]) <= MAX_POINTS
    assert [len(part) for part in thin_curve(np.empty(0), np.empty(0))] == [0, 0]


def test_deviates_are_those_of_the_normal_distribution() -> None:
    rates = np.array([0.001, 0.025, 0.5, 0.8413447460685429])
    np.testing.assert_allclose(deviates(rates), norm.ppf(rates), atol=1e-12)
    assert deviates(np.array([0.5]))[0] == 0
    assert np.isfinite(deviates(np.array([0.0, 1.0]))).all()


def test_equal_normals_make_a_straight_det_line() -> None:
    """What the axes are for: slope -1 where both classes are normal with the same variance."""
    thresholds = np.linspace(-2, 3, 30)
    fpr, fnr = norm.sf(thresholds), norm.cdf(thresholds - 1.5)
    slopes = np.diff(deviates(fnr)) / np.diff(deviates(fpr))
    np.testing.assert_allclose(slopes, -1, atol=1e-6)


def test_histogram_keeps_everybody_and_tells_right_from_wrong() -> None:
    scored = Scored(np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0.0, 0.1, 0.6, 1.0, 0.0, 0.59, 0.6, 1.0]))
    histogram = histogram_of(scored, 0.6)
    assert histogram.real_right.sum() == 0.5  # 0.0 and 0.1
    assert histogram.real_wrong.sum() == 0.5  # 0.6 (at the threshold is called fake) and 1.0
    assert histogram.fake_wrong.sum() == 0.5
    assert histogram.fake_right.sum() == 0.5
    assert histogram.fake_right[-1] == 0.25  # a score of exactly 1 counts
    assert histogram.fake_wrong[0] == 0.25


def test_one_class_makes_half_a_histogram_and_one_rate() -> None:
    scored = Scored(np.zeros(3, np.int64), np.array([0.1, 0.2, 0.9]))
    histogram = histogram_of(scored, 0.5)
    assert histogram.fake_right.sum() == histogram.fake_wrong.sum() == 0
    fpr, fnr = scored.rates(0.5)
    assert fpr == pytest.approx(1 / 3)
    assert np.isnan(fnr)
    assert not scored.has_both


def test_failures_are_in_no_curve() -> None:
    rows = [ScoreRow("a", 0, 0.2), ScoreRow("b", 1, None, Outcome.NO_FACE), ScoreRow("c", 1, 0.0)]
    scored = scored_of(rows)
    assert scored.scores.tolist() == [0.2, 0.0]
    assert scored.labels.tolist() == [0, 1]


def test_det_axes_follow_the_data() -> None:
    good, bad = (np.array([0, 0.1, 1]), np.array([1, 0.05, 0])), (np.array([0, 0.5, 1]), np.array([1, 0.5, 0]))
    assert det_limits([good], 1000) == (0.001, 0.6)
    assert det_limits([good], 30) == (0.01, 0.6)
    assert det_limits([good, bad], 3) == (0.05, 0.99)
    assert det_limits([], 0) == (0.05, 0.6)


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.99), (0.001, 0.6), (0.05, 0.6)])
def test_det_labels_do_not_touch(low: float, high: float) -> None:
    ticks = det_ticks(low, high)
    assert ticks[0] == low
    assert ticks[-1] == high
    assert set(ticks) <= set(DET_TICKS)
    places = deviates(np.array(ticks))
    assert np.diff(places).min() >= CLOSEST_TICKS * (places[-1] - places[0]) - 1e-12


def test_axis_of_aucs_holds_every_interval() -> None:
    assert interval_limits([Estimate(0.9, 0.8, 0.95), None]) == (0.5, 1.0)
    low, high = interval_limits([Estimate(0.4, 0.23, 0.6), Estimate(0.9, np.nan, np.nan)])
    assert low == pytest.approx(0.2)
    assert high == 1.0
    assert interval_limits([Estimate(0.31, np.nan, np.nan)])[0] == pytest.approx(0.3)
    assert interval_limits([]) == (0.5, 1.0)


def test_no_two_of_many_detectors_look_alike() -> None:
    names = [f"detector {i}" for i in range(40)]
    looks = looks_of(names)
    assert list(looks) == names
    assert len(set(looks.values())) == 40
    # Without colour, eight still differ by marker or dash.
    assert len({(look.dash, look.marker) for look in list(looks.values())[:8]}) == 8
