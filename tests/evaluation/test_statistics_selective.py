"""Error against coverage: examples by hand, against a plain loop, ties, failures, clusters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.blocks import Columns, Judging, clip_parts, risk_block
from eval.score_table import ScoreRow
from eval.statistics import risk_coverage


def curve(labels, scores, coverages, draws=50, clusters=None, seed=0):
    labels, scores = np.array(labels), np.array(scores, float)
    own = np.arange(len(labels)) if clusters is None else np.array(clusters)
    return risk_coverage(labels, scores, own, draws, seed, tuple(coverages))


def test_the_least_sure_are_left_out_first():
    # Sureness 0.45 (right), 0.4 (right), 0.3 (wrong: a fake at 0.2), 0.1 (right); two of each class.
    found = curve([1, 0, 1, 0], [0.95, 0.1, 0.2, 0.4], (1.0, 0.75, 0.5, 0.25))
    assert [e.value for e in found.errors] == pytest.approx([1 / 4, 1 / 3, 0, 0])
    assert found.scored == pytest.approx(1)
    assert found.error_scored == pytest.approx(1 / 4)
    assert found.aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_between_two_items_a_part_of_the_next_one_counts():
    found = curve([1, 0, 1, 0], [0.95, 0.1, 0.2, 0.4], (0.625,))
    assert found.errors[0].value == pytest.approx(0.125 / 0.625)


def test_both_classes_weigh_one_half():
    # One real, wrong and least sure; nine fakes, right.
    found = curve([0] + [1] * 9, [0.6] + [0.9] * 9, (1.0, 0.5))
    assert [e.value for e in found.errors] == pytest.approx([0.5, 0])


def test_a_class_alone_weighs_everything():
    found = curve([0, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], (1.0,))
    assert found.errors[0].value == pytest.approx(0.25)


def test_equally_sure_items_are_taken_together():
    found = curve([1, 0, 1, 0], [0.9, 0.1, 0.1, 0.9], (0.5, 1.0))
    assert [e.value for e in found.errors] == pytest.approx([0.5, 0.5])


def test_what_has_no_score_limits_the_coverage():
    found = curve([1, 1, 0, 0], [0.9, np.nan, 0.1, 0.2], (1.0, 0.8, 0.75, 0.5))
    assert np.isnan([found.errors[0].value, found.errors[1].value]).all()
    assert [e.value for e in found.errors[2:]] == pytest.approx([0, 0])
    assert found.scored == pytest.approx(0.75)


def test_nothing_scored_is_undefined():
    found = curve([1, 0], [np.nan, np.nan], (1.0, 0.5))
    assert found.scored == 0
    assert np.isnan(found.aurc) and all(np.isnan(e.value) for e in found.errors)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), min_size=2, max_size=40, unique_by=lambda p: p[1]))
def test_it_is_the_error_of_a_plain_loop(rows):
    labels = np.array([int(label) for label, _ in rows])
    scores = np.array([0.5001 + 0.4 * value / 1000 if value % 2 else 0.4999 - 0.4 * value / 1000 for _, value in rows])
    order = np.argsort(-np.abs(scores - 0.5), kind="stable")
    n = {label: (labels == label).sum() for label in (0, 1)}
    kinds = sum(count > 0 for count in n.values())
    covered = wrong = 0.0
    reached, errors = [], []
    for i in order:
        weight = 1 / (kinds * n[labels[i]])
        covered += weight
        wrong += weight * ((scores[i] >= 0.5) != labels[i])
        reached.append(min(covered, 1.0))
        errors.append(wrong / covered)
    found = curve(labels, scores, reached, draws=2)
    assert [e.value for e in found.errors] == pytest.approx(errors)


def test_intervals_hold_the_value_repeat_and_widen_with_clusters():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 100)
    scores = 1 / (1 + np.exp(-rng.normal(2 * labels - 1.0, 1.5)))
    apart = curve(labels, scores, (1.0, 0.6), draws=400)
    same = curve(labels, scores, (1.0, 0.6), draws=400)
    assert apart == same
    assert curve(labels, scores, (1.0, 0.6), draws=400, seed=1) != same
    for error in apart.errors:
        assert error.low < error.value < error.high
    repeated = curve(np.tile(labels, 4), np.tile(scores, 4), (1.0,), 400, np.tile(np.arange(200), 4))
    alone = curve(np.tile(labels, 4), np.tile(scores, 4), (1.0,), 400)
    width = [e.errors[0].high - e.errors[0].low for e in (repeated, alone)]
    assert width[0] > 1.5 * width[1]


@pytest.mark.parametrize(("labels", "scores", "clusters"), [([2, 0], [0.1, 0.2], [0, 1]), ([1, 0], [1.5, 0], [0, 1]),
                                                           ([1, 0], [0.1, 0.2], [0])])  # fmt: skip
def test_what_cannot_be_measured_is_an_error(labels, scores, clusters):
    with pytest.raises(ValueError, match=r"label|probability|cluster"):
        curve(labels, scores, (1.0,), clusters=clusters)


def test_the_block_of_results_has_nulls_for_what_is_undefined():
    columns = Columns(np.array([1, 1, 0, 0]), np.array([0.9, np.nan, 0.1, 0.2]), np.arange(4))
    block = risk_block(columns, Judging(0.5, 100, 0))
    assert [point.coverage for point in block.points][:2] == [1.0, 0.95]
    assert block.points[0].error is None and block.points[0].low is None
    assert (block.points[-1].error, block.scored, block.error_scored, block.aurc) == (0.0, 0.75, 0.0, 0.0)


def test_clips_are_listed_with_their_verdicts():
    rows = [ScoreRow("a.mp4", 1, 0.9, dataset="d", generator="g"), ScoreRow("b.png", 0, 0.1)]
    (clip,) = clip_parts(rows, [True, False], ["likely fake", "likely real"])
    assert (clip.path, clip.label, clip.score, clip.verdict, clip.generator) == ("a.mp4", 1, 0.9, "likely fake", "g")
    assert clip_parts(rows, None, None) == []
    assert clip_parts([rows[0]] * 101, [True] * 101, ["likely fake"] * 101) == []
