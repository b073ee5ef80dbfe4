"""DeLong against the values that pROC publishes for its example data, and against a bootstrap; Holm against published ones.

The data: 113 patients with aneurysmal subarachnoid haemorrhage, Turck et al. (Intensive Care Medicine 2010, 36, 107-115),
the example of pROC (Robin et al., BMC Bioinformatics 2011, 12, 77), whose own tests hold the values expected here.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from eval.statistics import (
    auc,
    delong_interval,
    delong_test,
    delong_variance,
    holm,
    paired_bootstrap_difference,
)
from forensics.common.seeds import rng_for

# Outcome (P poor, G good), WFNS grade 1-5, S100B and NDKA in microgram per litre.
ASAH = """
G 1 .13 3.01  G 1 .14 8.54   G 1 .10 8.09   G 1 .04 10.42  P 3 .13 17.40  P 2 .10 12.75   G 5 .47 6.00   P 4 .16 13.20
G 1 .18 15.54 G 2 .10 6.01   P 5 .12 15.96  G 2 .10 17.86  P 5 .44 5.18   P 5 .71 8.90    G 1 .04 13.41  G 2 .08 20.75
P 5 .49 11.60 G 2 .04 16.11  P 2 .07 32.37  P 5 .33 54.82  P 2 .09 32.41  G 1 .09 49.94   P 1 .07 40.34  G 1 .11 9.47
G 1 .07 6.29  G 2 .17 12.53  G 1 .07 6.54   G 2 .11 6.30   G 1 .13 80.30  G 1 .19 12.80   G 3 .05 9.80   G 4 .16 9.81
P 2 .41 9.85  G 1 .14 18.21  G 4 .34 5.03   P 5 .35 14.04  P 4 .48 21.93  G 1 .09 8.02    P 4 .96 7.42   P 2 .25 8.38
G 5 .50 6.59  G 5 .46 9.63   G 1 .16 13.12  G 1 .07 7.96   G 2 .43 14.34  G 4 .45 41.43   G 1 .11 7.63   G 1 .08 7.06
G 2 .09 12.59 P 5 .86 13.56  P 5 .52 3.87   G 2 .08 9.44   G 1 .06 7.66   G 2 .13 12.98   P 5 2.07 419.19 G 1 .10 27.19
G 2 .14 22.27 G 2 .15 9.95   P 2 .07 21.22  G 1 .06 11.73  P 5 .77 10.40  G 1 .05 58.83   G 1 .09 6.39   P 2 .30 11.09
P 5 .03 12.22 P 2 .09 13.67  G 1 .04 17.21  P 4 .23 22.63  P 5 .70 12.90  G 2 .09 9.70    P 4 .27 21.57  P 4 .71 8.23
P 1 .08 72.57 P 4 .26 15.54  G 1 .08 10.51  G 2 .16 10.60  G 1 .09 14.57  P 4 .13 5.19    P 2 .10 9.63   G 1 .08 4.61
P 2 .11 21.48 G 3 .33 17.30  G 2 .11 12.71  G 4 .28 9.44   G 2 .07 11.07  G 1 .10 19.46   G 4 .32 10.83  P 5 .22 5.37
G 1 .07 11.97 G 1 .05 7.75   G 5 .24 9.83   G 4 .38 10.55  G 2 .10 28.49  G 2 .15 8.53    G 1 .08 12.57  G 1 .14 12.90
G 1 .10 46.83 G 3 .07 11.68  G 1 .04 12.67  G 2 .19 9.01   P 5 .56 9.57   P 2 .14 34.06   P 2 .58 11.72  P 5 .32 14.26
P 5 .82 47.61 P 5 .74 11.67  G 2 .15 24.58  G 4 .47 10.33  G 4 .17 13.87  P 5 .44 15.89   G 1 .15 22.43  G 1 .50 6.79
G 1 .48 13.45
"""  # fmt: skip


@pytest.fixture(scope="module")
def asah():
    cells = ASAH.split()
    outcome = (np.array(cells[::4]) == "P").astype(np.int64)
    assert (len(outcome), outcome.sum()) == (113, 41)
    markers = {name: np.array(cells[i::4], np.float64) for i, name in ((1, "wfns"), (2, "s100b"), (3, "ndka"))}
    return outcome, markers


@pytest.mark.parametrize(
    ("marker", "area", "variance"),
    [
        ("wfns", 0.823678861788618, 0.00146991470882363),
        ("s100b", 0.731368563685637, 0.00266868245717244),
        ("ndka", 0.611957994579946, 0.0031908105493913),
    ],
)
def test_area_and_variance_are_the_published_ones(asah, marker, area, variance):
    labels, markers = asah
    assert auc(labels, markers[marker]) == pytest.approx(area, rel=1e-12)
    assert delong_variance(labels, markers[marker]) == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "z", "p"),
    [
        ("wfns", "s100b", 2.20898359144091, 0.0271757822291882),
        ("wfns", "ndka", 2.79777591868904, 0.00514557970691098),
        ("ndka", "s100b", -1.39077002573558, 0.164295175223054),
    ],
)
def test_paired_test_is_the_published_one_and_antisymmetric(asah, a, b, z, p):
    labels, markers = asah
    found, swapped = delong_test(labels, markers[a], markers[b]), delong_test(labels, markers[b], markers[a])
    assert (found.z, found.p) == (pytest.approx(z, rel=1e-11), pytest.approx(p, rel=1e-11))
    assert (swapped.z, swapped.p) == (pytest.approx(-z, rel=1e-11), pytest.approx(p, rel=1e-11))
    assert found.difference == pytest.approx(found.auc_a - found.auc_b)


def test_interval_is_symmetric_in_logits_and_close_to_the_bootstrap(asah):
    labels, markers = asah
    for scores in markers.values():
        found = delong_interval(labels, scores)
        low, centre, high = (math.log(v / (1 - v)) for v in (found.low, found.value, found.high))
        half = 1.959964 * math.sqrt(delong_variance(labels, scores)) / (found.value * (1 - found.value))
        assert (centre - low, high - centre) == (pytest.approx(half, rel=1e-6), pytest.approx(half, rel=1e-6))
        drawn = paired_bootstrap_difference(
            labels, scores, np.zeros(113), np.arange(113), draws=2000, seed=1
        ).difference
        # Against constant scores the difference is AUC - 0.5.
        assert found.low == pytest.approx(drawn.low + 0.5, abs=0.02)
        assert found.high == pytest.approx(drawn.high + 0.5, abs=0.02)


def test_difference_agrees_with_the_bootstrap_where_rows_are_independent(asah):
    labels, markers = asah
    found = paired_bootstrap_difference(labels, markers["wfns"], markers["s100b"], np.arange(113), draws=4000, seed=0)
    # pROC's DeLong interval of the difference.
    assert found.difference.value == pytest.approx(0.0923102981, abs=1e-9)
    assert found.difference.low == pytest.approx(0.0104061769564846, abs=0.01)
    assert found.difference.high == pytest.approx(0.174214419249478, abs=0.01)
    assert 0.01 < found.p < 0.05


def brute_force_variance(labels, scores):
    """The structural components as DeLong et al. write them, one comparison at a time."""
    fakes, reals = scores[labels == 1], scores[labels == 0]
    wins = (fakes[:, None] > reals) + 0.5 * (fakes[:, None] == reals)
    return wins.mean(1).var(ddof=1) / len(fakes) + wins.mean(0).var(ddof=1) / len(reals)


@st.composite
def two_detectors(draw):
    n = draw(st.integers(4, 40))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    labels[:4] = (0, 0, 1, 1)
    grid = hnp.arrays(np.float64, n, elements=st.integers(-4, 4).map(float))
    return labels, draw(grid), draw(grid)


@settings(deadline=None, max_examples=60)
@given(two_detectors(), st.integers(0, 2**32 - 1))
def test_delong_with_ties_is_its_definition_and_ignores_order_and_monotone_transforms(data, seed):
    labels, a, b = data
    assert delong_variance(labels, a) == pytest.approx(brute_force_variance(labels, a), abs=1e-14)
    found = delong_test(labels, a, b)
    assert found.auc_a == pytest.approx(roc_auc_score(labels, a), abs=1e-12)
    order = np.random.default_rng(seed).permutation(len(labels))
    for other in (delong_test(labels[order], a[order], b[order]), delong_test(labels, np.exp(a), 5 * b - 2)):
        assert (other.z, other.p) == (
            pytest.approx(found.z, abs=1e-9, nan_ok=True),
            pytest.approx(found.p, abs=1e-9, nan_ok=True),
        )
    flipped = delong_test(1 - labels, -a, -b)
    assert flipped.z == pytest.approx(found.z, abs=1e-9, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(two_detectors())
def test_clusters_of_one_row_leave_delong_as_it_is(data):
    labels, a, b = data
    plain, clustered = delong_test(labels, a, b), delong_test(labels, a, b, np.arange(len(labels))[::-1])
    assert clustered.z == pytest.approx(plain.z, abs=1e-9, nan_ok=True)
    assert delong_variance(labels, a, list(map(str, range(len(a))))) == pytest.approx(delong_variance(labels, a))


def test_clustered_variance_does_not_shrink_when_rows_are_repeated():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    a, b, clusters = rng.normal(labels), rng.normal(labels), np.arange(60)
    once = delong_test(labels, a, b)
    copies = [np.repeat(values, 7) for values in (labels, a, b, clusters)]
    assert delong_test(*copies).z == pytest.approx(once.z, rel=1e-9)
    assert abs(delong_test(*copies[:3]).z) > 2.5 * abs(once.z)


def test_clustered_variance_is_that_of_the_bootstrap():
    # Recordings with a shared effect hold both classes, in unequal numbers.
    rng = np.random.default_rng(5)
    clusters = rng.integers(0, 120, 900)
    labels = (rng.random(900) < rng.random(120)[clusters]).astype(np.int64)
    scores = rng.normal(labels) + rng.normal(0, 1, 120)[clusters]
    members = [np.flatnonzero(clusters == c) for c in range(120)]
    drawn = []
    for _ in range(1500):
        rows = np.concatenate([members[c] for c in rng.integers(0, 120, 120)])
        drawn.append(auc(labels[rows], scores[rows]))
    assert delong_variance(labels, scores, clusters) == pytest.approx(np.var(drawn), rel=0.12)
    assert delong_variance(labels, scores) != pytest.approx(np.var(drawn), rel=0.2)


def test_equal_rankings_do_not_differ_and_no_variance_is_no_test():
    labels, scores = np.array([0, 0, 1, 1, 0, 1]), np.array([0.1, 0.7, 0.3, 0.9, 0.2, 0.8])
    same = delong_test(labels, scores, np.exp(scores))
    assert (same.difference, same.z, same.p) == (0, 0, 1)
    perfect = labels.astype(float)
    opposite = delong_test(labels, perfect, 1 - perfect)
    assert opposite.difference == 1
    assert math.isnan(opposite.z)
    assert math.isnan(opposite.p)
    bounds = delong_interval(labels, perfect)
    assert bounds.value == 1
    assert math.isnan(bounds.low)
    assert math.isnan(bounds.high)


def test_too_few_of_a_class_and_malformed_input():
    labels, scores = np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.25])
    assert math.isnan(delong_variance(labels, scores))
    assert math.isnan(delong_test(labels, scores, 1 - scores).p)
    reals = np.zeros(4, int)
    assert math.isnan(delong_test(reals, scores, scores).auc_a)
    assert math.isnan(paired_bootstrap_difference(reals, scores, scores, [1, 2, 3, 4], draws=10).p)
    broken = np.array([0.1, np.nan, 0.3, 0.4])
    for call in (
        lambda: delong_variance(labels, broken),
        lambda: delong_interval(labels, broken),
        lambda: delong_test(labels, scores, broken),
        lambda: delong_variance(labels, broken, [1, 2, 3, 4]),
        lambda: paired_bootstrap_difference(labels, broken, scores, [1, 2, 3, 4]),
    ):
        with pytest.raises(ValueError, match="NaN"):
            call()
    with pytest.raises(ValueError, match="clusters"):
        paired_bootstrap_difference(labels, scores, scores, [1, 2])
    with pytest.raises(ValueError, match="clusters"):
        delong_test(labels, scores, scores, [1, 2])


def test_paired_bootstrap_is_that_of_the_repeated_rows():
    rng = np.random.default_rng(4)
    labels, clusters = rng.integers(0, 2, 80), rng.permutation(np.arange(80) % 20)
    a, b = np.round(rng.normal(labels), 1), np.round(rng.normal(0.5 * labels), 1)
    draws = rng_for(6, 300)
    differences = []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(clusters == c) for c in draws.integers(0, 20, 20)])
        differences.append(roc_auc_score(labels[rows], a[rows]) - roc_auc_score(labels[rows], b[rows]))
    found = paired_bootstrap_difference(labels, a, b, clusters, draws=300, seed=6)
    low, high = np.percentile(differences, [2.5, 97.5])
    assert found.difference.low == pytest.approx(low, abs=1e-12)
    assert found.difference.high == pytest.approx(high, abs=1e-12)
    tail = min((np.array(differences) <= 0).sum(), (np.array(differences) >= 0).sum())
    assert found.p == pytest.approx(2 * (tail + 1) / 301)
    swapped = paired_bootstrap_difference(labels, b, a, clusters, draws=300, seed=6)
    assert (swapped.difference.low, swapped.p) == (pytest.approx(-high, abs=1e-12), found.p)


def test_frames_of_a_recording_fool_delong_but_neither_of_the_clustered_ones():
    # Detectors of equal worth; 40 recordings of ten near-equal frames. A test at 5 % should reject one time in twenty.
    clusters, recordings = np.repeat(np.arange(40), 10), np.arange(40) % 2
    labels = recordings[clusters]
    rejected = {"delong": 0, "obuchowski": 0, "bootstrap": 0}
    for number in range(60):
        rng = rng_for(8, number)
        a, b = (rng.normal(0.8 * recordings)[clusters] + rng.normal(0, 0.05, 400) for _ in range(2))
        rejected["delong"] += delong_test(labels, a, b).p < 0.05
        rejected["obuchowski"] += delong_test(labels, a, b, clusters).p < 0.05
        rejected["bootstrap"] += paired_bootstrap_difference(labels, a, b, clusters, draws=200, seed=number).p < 0.05
    assert rejected["delong"] > 20
    assert rejected["obuchowski"] <= 8
    assert rejected["bootstrap"] <= 8


def test_detector_against_itself_has_no_difference():
    labels, scores = np.array([0, 1] * 20), np.linspace(0, 1, 40)
    found = paired_bootstrap_difference(labels, scores, scores**2, np.arange(40), draws=100)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p) == (0, 0, 0, 1)


# The documentation of pingouin (Vallat 2018), and the example of Wikipedia's article on the procedure.
@pytest.mark.parametrize(
    ("given_p", "adjusted"),
    [
        ([0.50, 0.003, 0.32, 0.054, 0.0003], [0.64, 0.012, 0.64, 0.162, 0.0015]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ],
)
def test_holm_is_the_published_one(given_p, adjusted):
    assert holm(given_p) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_plain_p_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert holm([*p, math.nan])[:-1] == pytest.approx(adjusted)
    assert math.isnan(holm([*p, math.nan])[-1])


def test_holm_of_nothing_and_of_nonsense():
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.1, 1.2])
