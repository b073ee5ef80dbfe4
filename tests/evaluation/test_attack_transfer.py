"""The figures of a transfer matrix against scikit-learn and hand-made cases; threat models; the Markdown."""

import math

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score

from eval.attack_sets.report import render_attack_markdown
from eval.attack_sets.results import AttackResults, CellPart, LeftOut, SetPart
from eval.attack_sets.transfer import Judging, Seen, cell_figures, threat_model
from eval.cli.attack import command
from eval.results import DatasetPart, ProvenancePart
from forensics.common.metrics import clustered_share
from forensics.common.seeds import rng_for

NAN = math.nan
JUDGING = Judging(threshold=0.5, draws=200, seed=0)


def seen(labels, clean, attacked, is_attacked=None, unsure_clean=None, unsure_attacked=None, clusters=None) -> Seen:
    n = len(labels)
    nothing = np.full(n, NAN)
    return Seen(
        np.array(labels),
        np.arange(n) if clusters is None else np.array(clusters),
        np.array(clean, np.float64),
        np.array(attacked, np.float64),
        np.ones(n, bool) if is_attacked is None else np.array(is_attacked),
        nothing if unsure_clean is None else np.array(unsure_clean, np.float64),
        nothing if unsure_attacked is None else np.array(unsure_attacked, np.float64),
    )


def test_figures_agree_with_scikit_learn():
    rng = rng_for(0, 1)
    labels = np.repeat([0, 1], 40)
    clean, attacked = rng.uniform(0, 1, 80) * 0.5 + labels * 0.4, rng.uniform(0, 1, 80)
    found = cell_figures(seen(labels, clean, attacked), JUDGING)
    mixed = np.where(labels == 1, attacked, clean)
    for name, scores in (("auc_clean", clean), ("auc_fakes_attacked", mixed), ("auc_both_attacked", attacked)):
        figure = found[name]
        assert figure.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        assert figure.low < figure.value < figure.high
    assert found["flipped"].value == pytest.approx(np.mean((clean >= 0.5) != (attacked >= 0.5)), abs=1e-6)
    assert found["fnr_attacked"].value == pytest.approx(np.mean(attacked[40:] < 0.5), abs=1e-6)
    assert found["fpr_clean"].value == pytest.approx(np.mean(clean[:40] >= 0.5), abs=1e-6)
    assert (found["n_real"], found["n_fake"], found["n_clusters"], found["n_lost"]) == (40, 40, 80, 0)


def test_lost_and_unscored_pictures_count_on_neither_side():
    """A fake whose face is no longer found is no success; one that had no score when clean was never in."""
    labels = [0, 0, 1, 1, 1]
    clean = [0.1, 0.2, 0.9, 0.8, NAN]
    attacked = [0.3, 0.4, 0.2, NAN, 0.1]
    found = cell_figures(seen(labels, clean, attacked), JUDGING)
    assert (found["n_real"], found["n_fake"], found["n_lost"]) == (2, 1, 1)
    assert found["auc_clean"].value == 1.0
    assert found["auc_fakes_attacked"].value == 0.75  # .2 beats .1 and ties with .2
    assert found["auc_both_attacked"].value == 0.0
    assert found["fnr_attacked"].value == 1.0 and found["fnr_clean"].value == 0.0
    assert found["flipped"].value == pytest.approx(1 / 3, abs=1e-6)


def test_fakes_alone_attacked_leaves_reals_clean():
    labels = [0, 0, 1, 1]
    found = cell_figures(
        seen(labels, [0.1, 0.6, 0.9, 0.8], [NAN, NAN, 0.3, 0.7], is_attacked=[False, False, True, True]), JUDGING
    )
    assert found["auc_fakes_attacked"].value == 0.75
    assert found["auc_both_attacked"].value is None and found["fpr_attacked"].value is None
    assert found["fpr_clean"].value == 0.5 and found["flipped"].value == 0.5
    assert (found["n_real"], found["n_fake"]) == (2, 2)


def test_inconclusive_is_counted_where_both_verdicts_exist():
    found = cell_figures(
        seen([0, 1, 1], [0.1, 0.9, 0.9], [0.2, 0.5, 0.6], unsure_clean=[0, 0, NAN], unsure_attacked=[0, 1, 1]), JUDGING
    )
    assert found["inconclusive_clean"].value == 0.0 and found["inconclusive_attacked"].value == 0.5
    without = cell_figures(seen([0, 1], [0.1, 0.9], [0.2, 0.5]), JUDGING)
    assert without["inconclusive_attacked"].value is None


def test_one_class_gives_nulls_and_nothing_scored_too():
    found = cell_figures(seen([1, 1], [0.9, 0.9], [0.1, 0.2]), JUDGING)
    assert found["auc_clean"].value is None and found["fnr_attacked"].value == 1.0
    empty = cell_figures(seen([0, 1], [NAN, NAN], [NAN, NAN]), JUDGING)
    assert empty["flipped"].value is None and empty["n_fake"] == 0


def test_clustered_share_draws_clusters_and_not_rows():
    """Twenty rows in two clusters that disagree: any share of whole clusters is possible, so the interval is all of it."""
    hits = np.repeat([True, False], 10)
    clustered = clustered_share(hits, np.repeat([0, 1], 10), 500, 0)
    assert (clustered.value, clustered.low, clustered.high) == (0.5, 0.0, 1.0)
    apart = clustered_share(hits, np.arange(20), 500, 0)
    assert 0.2 < apart.low < 0.4 and 0.6 < apart.high < 0.8
    assert apart == clustered_share(hits, np.arange(20), 500, 0)


@pytest.mark.parametrize("hit", [False, True])
def test_shares_of_none_and_of_all_have_an_interval_with_a_width(hit):
    """Wilson's for as many trials as there are clusters: 0 of 10 is [0, 0.2775] (Newcombe 1998, by the formula)."""
    found = clustered_share(np.full(40, hit), np.repeat(np.arange(10), 4), 200, 0)
    low, high = (found.low, found.high) if not hit else (1 - found.high, 1 - found.low)
    assert found.value == float(hit)
    assert (low, high) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.2775, abs=1e-4))
    one = clustered_share(np.array([True, False, True, True]), np.zeros(4), 200, 0)  # a single cluster says little
    assert one.value == 0.75 and one.high - one.low > 0.5


def test_clustered_share_repeats_rows_as_a_plain_bootstrap_does():
    rng = rng_for(3, 1)
    hits, clusters = rng.integers(0, 2, 30).astype(bool), rng.integers(0, 8, 30)
    clusters = np.unique(clusters, return_inverse=True)[1]
    n, draws = int(clusters.max()) + 1, 50
    stream = rng_for(5, draws)
    values = [np.concatenate([hits[clusters == c] for c in stream.integers(0, n, n)]).mean() for _ in range(draws)]
    found = clustered_share(hits, clusters, draws, 5)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=1e-12)


@pytest.mark.parametrize(
    ("target", "parts", "victim", "members", "expected"),
    [
        ("cnn", {"cnn"}, "cnn", {"cnn"}, "white-box"),
        ("default", {"cnn", "texture"}, "default", {"cnn", "texture"}, "white-box"),
        ("default", {"cnn", "texture"}, "cnn", {"cnn"}, "white-box in part"),
        ("cnn", {"cnn"}, "default", {"cnn", "texture"}, "white-box in part"),
        ("spectrum", {"spectrum"}, "default", {"cnn", "texture"}, "transfer"),
        ("default", {"cnn", "texture"}, "meso4", {"meso4"}, "transfer"),
    ],
)
def test_threat_models(target, parts, victim, members, expected):
    assert threat_model(target, frozenset(parts), victim, frozenset(members)) == expected


def a_result(name: str, sets: bool = True) -> AttackResults:
    """A small result whose names come from a hostile data set."""
    figures = cell_figures(seen([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.3, 0.2, 0.4, 0.9]), JUDGING)
    one = {"attack": "pgd", "epsilon": 2.0, "unit": "/255 L-inf", "victim": name}
    part = SetPart(
        folder="v-pgd-2", members=[name], without_gradient=[], steps=20, step_size=0.25, restarts=1, seed=0,
        recipe_sha256="0" * 64, n_real=2, n_fake=2, success_clean=0.0, success_before=0.5, success_after=None,
        n_not_scored_after=0, largest_change=2, mean_rms_change=1.5, **one,
    )  # fmt: skip
    cells = [
        CellPart.model_validate(
            {"set": "v-pgd-2", "target": target, "threat_model": "transfer", "family": name, **one, **figures}
        )
        for target in (name, "other")
    ]  # fmt: skip
    dataset = DatasetPart(
        names=[name], layout="manifest", split="all", limit=None, n=4, n_real=2, n_fake=2, generators={}, datasets={},
        sha256="", notes=[],
    )  # fmt: skip
    provenance = ProvenancePart(
        tool_version="1", options={}, weights={}, weights_trained_on="", seed=0, bootstrap_draws=200,
        clusters="groups", environment={}, clock={},
    )  # fmt: skip
    return AttackResults(
        dataset=dataset,
        sets=[part] if sets else [],
        cells=cells if sets else [],
        thresholds={name: 0.5, "other": 0.5},
        n_attackable=4,
        left_out=[LeftOut(path=name, label=1, outcome="no_face", message="no face was found")],
        provenance=provenance,
    )


def test_markdown_has_rectangular_tables_whatever_names_say():
    text = render_attack_markdown(a_result("a|b\n<script>[x](y)`"))
    assert "<script>" not in text and "[x](y)" not in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 5
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1, lines[0]
    assert "(fake): no face was found" in text and "25.0 %" in text  # one of four calls flips
    assert text == render_attack_markdown(a_result("a|b\n<script>[x](y)`"))


def test_markdown_of_nothing_attackable_still_says_what_was_left_out():
    text = render_attack_markdown(a_result("x", sets=False))
    assert "## Left out" in text and "## Sets" not in text


def test_results_survive_their_own_json():
    results = a_result("x")
    assert AttackResults.model_validate_json(results.to_json()) == results


def test_exit_status_and_tables_of_the_command(monkeypatch, tmp_path):
    """4 where nothing could be attacked, 3 where something was unreadable, 0 else; a table for people in all cases."""
    found = {"results": a_result("x")}
    monkeypatch.setattr("eval.attack_sets.run.run_attacks", lambda *_: found["results"])

    def call() -> Result:
        return CliRunner().invoke(command, ["data", "--output", str(tmp_path), "--quiet"], standalone_mode=False)

    done = call()
    assert (done.exception, done.return_value) == (None, 0)
    assert "transfer" in done.output and "v-pgd-2" in done.output and "1 items could not be attacked" in done.output
    found["results"] = a_result("x").model_copy(
        update={"left_out": [LeftOut(path="y", label=1, outcome="unreadable", message="not a readable PNG picture")]}
    )
    assert call().return_value == 3
    found["results"] = a_result("x", sets=False)
    assert call().return_value == 4


def test_auc_of_perfect_order_has_no_interval() -> None:
    """Every draw gives 0 or 1 alike: `[0.000, 0.000]` would claim a certainty that no number of pictures gives."""
    from eval.attack_sets.report import _cell
    from eval.attack_sets.results import Figure

    cell = _cell(Figure(value=0.0, low=None, high=None), is_share=False)
    assert (cell.text, cell.interval) == ("0.000", "")
    assert _cell(Figure(value=None, low=None, high=None), is_share=False).text != "0.000"
