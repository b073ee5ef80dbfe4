"""`forensics bench compare`: pairing, families, tests against direct calls, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from eval.blocks import columns_of
from eval.cli.compare import command
from eval.comparison import compare_files, families_of_rows, pair_rows, read_columns
from eval.report.comparison import Comparison, render_comparison
from eval.report.markdown import markdown_text
from eval.score_table import ScoreRow, write_scores
from eval.statistics import delong_test, holm, paired_bootstrap_difference
from forensics.common.errors import UsageError
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress

SILENT = Progress(quiet=True)


def table_of(detector: str, strength: float, seed: int, n: int = 240) -> list[ScoreRow]:
    """Two data sets; `one` has fakes of two generators; three items of each recording; scores separate by `strength`."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        dataset = "one" if i % 3 else "two"
        label = (i // 3) % 2
        generator = {"one": ("gan", "swap")[i % 2], "two": "diffusion"}[dataset] if label else ""
        score = float(1 / (1 + np.exp(-rng.normal(strength * (label - 0.5)))))
        row = ScoreRow(
            f"{dataset}/{i}.png", label, score, generator=generator, dataset=dataset, source=f"s{i // 6}",
            detector=detector, sha256=f"{i:064x}",
        )  # fmt: skip
        rows.append(row)
    return rows


def failed(row: ScoreRow) -> ScoreRow:
    return replace(row, score=None, outcome=Outcome.NO_FACE)


def written(folder: Path, *tables: list[ScoreRow]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(folder / "scores.csv", [row for table in tables for row in table])
    (folder / "results.json").write_text("{}", encoding="utf-8")
    return folder / "results.json"


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return (
        written(tmp_path / "strong", table_of("cnn", 3, 1)),
        written(tmp_path / "weak", table_of("cnn", 1, 2), table_of("spectrum", 1, 3)),
    )


def test_figures_are_those_of_the_statistics_on_the_common_items(runs, tmp_path):
    found = compare_files(runs, 200, 7, SILENT)
    assert [column.name for column in found.columns] == ["cnn (strong)", "cnn (weak)", "spectrum"]
    assert [(pair.a, pair.b) for pair in found.pairs] == [
        ("cnn (strong)", "cnn (weak)"),
        ("cnn (strong)", "spectrum"),
        ("cnn (weak)", "spectrum"),
    ]
    a, b = table_of("cnn", 3, 1), table_of("cnn", 1, 2)
    pooled = found.pairs[0].families[-1]
    columns, scores_b = columns_of(a), columns_of(b).scores
    plain = delong_test(columns.labels, columns.scores, scores_b)
    clustered = delong_test(columns.labels, columns.scores, scores_b, columns.clusters)
    drawn = paired_bootstrap_difference(columns.labels, columns.scores, scores_b, columns.clusters, 200, 7)
    assert pooled.kind == "pooled"
    assert (pooled.n_real, pooled.n_fake, pooled.n_clusters) == (120, 120, len(np.unique(columns.clusters)))
    assert (pooled.auc_a, pooled.auc_b) == (pytest.approx(plain.auc_a, abs=1e-6), pytest.approx(plain.auc_b, abs=1e-6))
    assert (pooled.delong.z, pooled.delong.p) == (pytest.approx(plain.z, abs=1e-5), pytest.approx(plain.p, abs=1e-9))
    assert (pooled.clustered.z, pooled.clustered.p) == (
        pytest.approx(clustered.z, abs=1e-5),
        pytest.approx(clustered.p, abs=1e-9),
    )
    assert (pooled.low, pooled.high) == (
        pytest.approx(drawn.difference.low, abs=1e-6),
        pytest.approx(drawn.difference.high, abs=1e-6),
    )
    assert pooled.clustered.p < 0.01
    assert found.pairs[2].families[-1].clustered.p > 0.05


def test_families_come_first_and_hold_the_reals_of_their_data_sets(runs):
    families = compare_files(runs, 100, 0, SILENT).pairs[0].families
    assert [(family.kind, family.name) for family in families] == [
        ("generator", "gan"),
        ("generator", "swap"),
        ("data set", "one"),
        ("data set", "two"),
        ("pooled", "everything pooled"),
    ]  # of `diffusion` and `two`, which are the same items, only the data set
    rows = table_of("cnn", 3, 1)
    by_name = {name: rows_of for _, name, rows_of in families_of_rows(rows)}
    wanted = [i for i, row in enumerate(rows) if row.dataset == "one" and row.generator in ("", "gan")]
    assert np.flatnonzero(by_name["gan"]).tolist() == wanted
    gan = families[0]
    assert (gan.n_real, gan.n_fake) == (
        sum(rows[i].label == 0 for i in wanted),
        sum(rows[i].label == 1 for i in wanted),
    )


def test_one_data_set_of_one_generator_is_one_row():
    rows = [replace(row, dataset="d", generator="g" if row.label else "") for row in table_of("cnn", 1, 0)]
    assert [kind for kind, _, _ in families_of_rows(rows)] == ["pooled"]


def test_p_values_are_adjusted_over_the_whole_table(runs):
    families = [family for pair in compare_files(runs, 100, 0, SILENT).pairs for family in pair.families]
    assert len(families) == 15
    for kind in ("delong", "clustered"):
        tests = [getattr(family, kind) for family in families]
        assert [test.p_holm for test in tests] == pytest.approx(holm([test.p for test in tests]).tolist(), abs=1e-9)
        assert max(test.p_holm for test in tests) <= 1


def test_only_what_both_scored_counts_and_the_rest_is_told(tmp_path):
    a, b = table_of("cnn", 2, 1), table_of("mesonet", 1, 2)
    a[0], a[1], b[1], b[2], b[3] = failed(a[0]), failed(a[1]), failed(b[1]), failed(b[2]), failed(b[3])
    files = [written(tmp_path / "a", a), written(tmp_path / "b", b[:-4])]
    (pair,) = compare_files(files, 100, 0, SILENT).pairs
    assert (pair.n_items_a, pair.n_items_b, pair.n_shared) == (240, 236, 236)
    counts = (pair.n_both_scored, pair.n_only_a_scored, pair.n_only_b_scored, pair.n_neither_scored)
    assert counts == (232, 2, 1, 1)
    pooled = pair.families[-1]
    assert pooled.n_real + pooled.n_fake == 232
    kept = [i for i in range(236) if a[i].score is not None and b[i].score is not None]
    labels, scores = np.array([a[i].label for i in kept]), np.array([a[i].score for i in kept])
    assert pooled.auc_a == pytest.approx(delong_test(labels, scores, scores).auc_a, abs=1e-6)


def test_items_are_paired_by_their_bytes_where_known_else_by_their_paths(tmp_path):
    a = table_of("cnn", 2, 1)
    moved = [replace(row, path=f"elsewhere/{row.path}", detector="b") for row in a][::-1]
    moved[5] = replace(failed(moved[5]), sha256="")  # unreadable: no bytes, and nobody misses them
    files = [written(tmp_path / "a", a), written(tmp_path / "b", moved)]
    (pair,) = compare_files(files, 100, 0, SILENT).pairs
    assert (pair.paired_by, pair.n_both_scored) == ("sha256", 239)
    assert pair.families[-1].difference == 0
    unhashed = [replace(row, sha256="") for row in table_of("b", 1, 2)][::-1]
    (pair,) = compare_files([files[0], written(tmp_path / "c", unhashed)], 100, 0, SILENT).pairs
    assert (pair.paired_by, pair.n_shared) == ("path", 240)
    assert pair.families[-1].auc_b == pytest.approx(_auc(unhashed), abs=1e-6)


def _auc(rows: list[ScoreRow]) -> float:
    labels, scores = np.array([row.label for row in rows]), np.array([row.score for row in rows])
    return delong_test(labels, scores, scores).auc_a


def test_copies_of_the_same_bytes_stay_separate_items(tmp_path):
    a = [replace(row, sha256="same") for row in table_of("a", 2, 1)[:8]]
    b = [replace(row, detector="b", path=f"x/{row.path}") for row in a][::-1]
    columns = read_columns([written(tmp_path / "a", a), written(tmp_path / "b", b)])
    paired = pair_rows(*columns)
    assert [row.path for row in paired.b] == [f"x/{row.path}" for row in paired.a]
    assert len(paired.a) == 8


def test_groups_are_known_if_either_table_knows_them(tmp_path):
    a = table_of("cnn", 2, 1)
    bare = [ScoreRow(row.path, row.label, row.score, detector="tool") for row in a]
    (pair,) = compare_files([written(tmp_path / "bare", bare), written(tmp_path / "a", a)], 100, 0, SILENT).pairs
    assert pair.families[-1].n_clusters == len(np.unique(columns_of(a).clusters)) < 240
    assert len(pair.families) == 5


def test_same_seed_same_bytes_and_swapped_files_swapped_signs(runs):
    first = compare_files(runs, 100, 3, SILENT)
    assert compare_files(runs, 100, 3, SILENT).to_json() == first.to_json()
    assert compare_files(runs, 100, 4, SILENT).to_json() != first.to_json()
    forth, back = first.pairs[0], compare_files(runs[::-1], 100, 3, SILENT).pairs[1]
    assert (forth.a, forth.b) == (back.b, back.a)
    for one, other in zip(forth.families, back.families, strict=True):
        assert other.difference == -one.difference
        assert (other.low, other.high) == (pytest.approx(-one.high, abs=2e-6), pytest.approx(-one.low, abs=2e-6))


def test_one_class_is_undefined_with_a_reason_and_an_exit_status(tmp_path):
    a = [row for row in table_of("a", 1, 1) if row.label == 0]
    b = [replace(row, detector="b") for row in a]
    file = written(tmp_path / "run", a, b)
    (pair,) = compare_files([file], 100, 0, SILENT).pairs
    pooled = pair.families[-1]
    assert (pooled.auc_a, pooled.difference, pooled.low, pooled.delong.p, pooled.clustered.p_holm) == (None,) * 5
    assert pooled.undefined == "no fakes were scored by both"
    assert CliRunner().invoke(command, [str(file)], standalone_mode=False).return_value == 4
    mixed = written(
        tmp_path / "mixed", table_of("a", 1, 1), [failed(row) for row in table_of("b", 1, 1)], table_of("c", 2, 3)
    )
    shown = CliRunner().invoke(command, [str(mixed), "--draws", "100"], standalone_mode=False)
    assert shown.return_value == 3
    assert "n/a: no item was scored by both" in shown.output


def test_command_prints_and_writes_json_and_markdown(runs, tmp_path):
    arguments = [*map(str, runs), "--draws", "100", "--output", str(tmp_path / "out"), "-q"]
    shown = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert shown.exception is None
    assert shown.return_value == 0
    lines = shown.output.splitlines()
    assert lines[0] == "cnn (strong) (a) and cnn (weak) (b): 240 shared items, paired by sha256; 240 scored by both"
    assert " ".join(lines[1].split()) == ("set real/fake AUC a AUC b a - b [95 %] z DeLong p (Holm) clustered p (Holm)")
    assert [line.split("  ")[0] for line in lines[2:7]] == [
        "fakes of gan",
        "fakes of swap",
        "one",
        "two",
        "everything pooled",
    ]
    assert sum(line.startswith("everything pooled") for line in lines) == 3
    found = Comparison.model_validate(json.loads((tmp_path / "out/compare.json").read_text(encoding="utf-8")))
    assert found == compare_files(runs, 100, 0, SILENT)
    text = (tmp_path / "out/compare.md").read_text(encoding="utf-8")
    assert text == render_comparison(found)
    assert text.count("| generator | gan |") == 3
    # A second run renews its own files; somebody else's are left alone.
    assert CliRunner().invoke(command, arguments, standalone_mode=False).return_value == 0
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/compare.md").write_text("mine", encoding="utf-8")
    refused = CliRunner().invoke(command, [*map(str, runs), "-o", str(tmp_path / "foreign")], standalone_mode=False)
    assert isinstance(refused.exception, UsageError)
    assert (tmp_path / "foreign/compare.md").read_text(encoding="utf-8") == "mine"


def test_names_from_data_stay_text_in_markdown_and_terminal(tmp_path):
    evil = "a|b `c` <script>\x1b[31m"
    a = [replace(row, detector=evil, generator=row.generator and "g|<b>") for row in table_of("", 1, 1)]
    file = written(tmp_path / "run", a, table_of("plain", 1, 2))
    text = render_comparison(compare_files([file], 100, 0, SILENT))
    assert "<script>" not in text
    assert "\x1b" not in text
    shown = markdown_text(evil)
    assert f"## {shown} (a) against " in text or f" against {shown} (b)" in text  # escaped once
    assert all(line.count("|") - line.count("\\|") == 12 for line in text.splitlines() if line.startswith("|"))
    assert "\x1b" not in CliRunner().invoke(command, [str(file), "--draws", "100"], standalone_mode=False).output


@pytest.mark.parametrize("how", ["folder", "scores.csv", "results.json"])
def test_a_run_may_be_named_in_three_ways(tmp_path, how):
    written(tmp_path / "run", table_of("a", 1, 1), table_of("b", 1, 2))
    path = tmp_path / "run" if how == "folder" else tmp_path / "run" / how
    assert [column.name for column in read_columns([path, path])] == ["a", "b"]


def test_what_cannot_be_compared_is_said_with_a_hint(tmp_path):
    one = written(tmp_path / "one", table_of("cnn", 1, 1))
    with pytest.raises(UsageError, match="nothing to compare") as alone:
        read_columns([one, one])
    other = [replace(row, path=f"x/{row.path}", sha256="") for row in table_of("b", 1, 2)]
    with pytest.raises(UsageError, match="share no items") as strangers:
        compare_files([one, written(tmp_path / "other", other)], 100, 0, SILENT)
    swapped = [replace(row, label=1 - row.label, detector="b") for row in table_of("b", 1, 2)]
    with pytest.raises(UsageError, match="label of 240 of 240 items") as flipped:
        compare_files([one, written(tmp_path / "swapped", swapped)], 100, 0, SILENT)
    few = [replace(row, label=1 - row.label) if i < 2 else row for i, row in enumerate(table_of("b", 1, 2))]
    with pytest.raises(UsageError, match=r"label of 2 of 240 items, as two/0.png, one/1.png") as some:
        compare_files([one, written(tmp_path / "few", few)], 100, 0, SILENT)
    with pytest.raises(UsageError, match="no such file") as missing:
        read_columns([tmp_path / "nowhere/results.json", one])
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/results.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no scores.csv beside") as bare:
        read_columns([tmp_path / "bare/results.json", one])
    assert "turn its labels" in flipped.value.hint
    assert "correct the manifest" in some.value.hint
    assert all(error.value.hint for error in (alone, strangers, missing, bare))
