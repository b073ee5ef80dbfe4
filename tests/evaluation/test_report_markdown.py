"""report.md says what the results say, in tables that a Markdown parser reads, and takes no name for markup."""

import re

import pytest
from markdown_it import MarkdownIt
from report_results import HOSTILE, make_block, make_coverage, make_detector, make_results

from eval.report.markdown import bullets, markdown_table, markdown_text, render_markdown
from eval.report.tables import Cell, Row, Table
from eval.results import Results

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def tables_of(markdown: str) -> dict[str, list[list[str]]]:
    """Rows of cells as plain text, by the heading above the table."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    tokens = PARSER.parse(markdown)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline" and before is not None and before.type == "heading_open":
            title = plain(token)
        if token.type == "table_open":
            found[title] = []
        elif token.type == "tr_open":
            found[title].append([])
        elif token.type == "inline" and before is not None and before.type in ("th_open", "td_open"):
            found[title][-1].append(plain(token))
    return found


def plain(token) -> str:  # type: ignore[no-untyped-def]
    """The text that a reader sees; anything but text and comments fails."""
    assert {child.type for child in token.children} <= {
        "text",
        "text_special",
        "html_inline",
        "strong_open",
        "strong_close",
    }
    assert all(child.content == "<!-- -->" for child in token.children if child.type == "html_inline")
    return "".join(child.content for child in token.children if child.type in ("text", "text_special"))


def row_of(table: list[list[str]], *labels: str) -> list[str]:
    (found,) = [row for row in table if tuple(row[: len(labels)]) == labels]
    return found


def test_matrix_of_families_and_detectors() -> None:
    results = make_results({"alpha": make_detector(), "beta": make_detector(overall=make_block(0.777))})
    tables = tables_of(render_markdown(results))
    assert tables["AUC"][0] == ["", "Family", "reals", "fakes", "groups", "alpha", "beta"]
    assert row_of(tables["AUC"], "generator", "gan")[2:] == ["80", "70", "60", *["0.801 [0.850, 0.940]"] * 2]
    assert row_of(tables["AUC"], "generator", "diffusion")[5] == "0.802 [0.850, 0.940]"
    assert row_of(tables["AUC"], "data set", "scenes")[5] == "0.902 [0.850, 0.940]"
    assert row_of(tables["AUC"], "pooled", "everything pooled")[5:] == ["0.888 [0.850, 0.940]", "0.777 [0.850, 0.940]"]
    assert row_of(tables["TPR at FPR 5 %"], "generator", "gan")[5] == "52.0 % [40.0, 61.0]"
    assert row_of(tables["FNR"], "generator", "gan")[5] == "21.3 % [14.0, 30.0]"
    assert row_of(tables["FPR"], "generator", "gan")[5] == "11.2 % [5.0, 20.0]"
    assert row_of(tables["Everything pooled"], "EER")[1] == "17.1 %"


def test_families_come_before_what_is_pooled() -> None:
    headings = list(tables_of(render_markdown(make_results())))
    assert headings.index("AUC") < headings.index("FPR") < headings.index("Everything pooled")
    assert headings.index("Calibration per data set") < headings.index("Calibration, pooled")


def test_failures_counted_wrong_stand_beside_what_was_scored() -> None:
    table = tables_of(render_markdown(make_results()))["With failures counted as wrong, pooled"]
    assert row_of(table, "failed reals, fakes")[1] == "2, 2"
    assert row_of(table, "AUC")[1] == "0.876 (0.888)"
    assert row_of(table, "FNR")[1] == "23.5 % (21.3 %)"


def test_nothing_failed_means_no_such_table() -> None:
    whole = make_detector(overall=make_block(), coverage=make_coverage(failed=0))
    text = render_markdown(make_results({"alpha": whole}))
    assert "failures counted as wrong, pooled" not in text
    assert "Not everything was scored" not in text


def test_coverage_has_every_outcome_of_every_detector() -> None:
    odd = make_coverage().model_copy(update={"outcomes": {"scored": 150, "no_face": 1, "detector_error": 3}})
    results = make_results({"alpha": make_detector(), "beta": make_detector(coverage=odd)})
    table = tables_of(render_markdown(results))["Coverage"]
    assert table[0] == [
        *("Detector", "inputs", "scored", "share scored", "reals scored", "fakes scored", "detector error", "no face")
    ]
    assert row_of(table, "alpha")[1:] == ["154", "150", "97.4 %", "80 of 82", "70 of 72", "0", "4"]
    assert row_of(table, "beta")[-2:] == ["3", "1"]
    assert "97.4 % of the inputs" in render_markdown(results)


def test_undefined_figures_say_why() -> None:
    part = make_detector(by_generator={"gan": make_block(None)}, overall=make_block(None))
    text = render_markdown(make_results({"alpha": part}, n_real=0))
    assert row_of(tables_of(text)["AUC"], "generator", "gan")[5] == "n/a (1)"
    assert "Notes: (1) no fakes were scored." in text
    assert "All inputs are fakes" in text
    assert re.search(r"\b(None|nan|inf)\b", text) is None


def test_family_that_one_detector_has_not_is_a_dash() -> None:
    results = make_results({"alpha": make_detector(), "beta": make_detector(by_generator={})})
    assert row_of(tables_of(render_markdown(results))["AUC"], "generator", "gan")[5:] == ["0.801 [0.850, 0.940]", "–"]


def test_counts_that_differ_between_detectors_are_a_span() -> None:
    fewer = make_detector(overall=make_block(n_real=1070, n_clusters=12))
    table = tables_of(render_markdown(make_results({"alpha": make_detector(), "beta": fewer})))["AUC"]
    assert row_of(table, "pooled")[2:5] == ["80 to 1,070", "70", "12 to 60"]


@pytest.mark.parametrize(("n_clusters", "is_rough"), [(29, True), (30, False)])
def test_few_clusters_are_said_to_make_rough_intervals(n_clusters: int, is_rough: bool) -> None:
    part = make_detector(by_generator={"gan": make_block(n_clusters=n_clusters)})
    assert (f"gan ({n_clusters}) rest on fewer than 30" in render_markdown(make_results({"alpha": part}))) == is_rough


def test_interval_without_width_is_no_certainty() -> None:
    block = make_block(fnr=0.0, intervals={"fnr": (0.0, 0.0)})
    text = render_markdown(make_results({"alpha": make_detector(by_generator={"gan": block})}))
    assert row_of(tables_of(text)["FNR"], "generator", "gan")[5] == "0.0 % (1) [0.0, 0.0]"
    assert "about 3/n" in text


def test_provenance_names_weights_options_seed_and_draws() -> None:
    text = render_markdown(make_results(limit=20, notes=["two files were left out"]))
    for fact in (
        f"- SHA-256 of model.json: {'ef' * 32}", "- Option detector: alpha, beta", "- Option limit: none", "- Seed: 7",
        "- Bootstrap draws: 2000", "- Note: two files were left out", "- Limit: 20", "--limit 20 was given",
        "threshold 0.5 (shipped)",
    ):  # fmt: skip
        assert fact in text
    assert "2025" not in text  # the clock differs on a re-run


def test_levels_and_verdicts_where_there_are_any() -> None:
    verdicts = {"real": {"likely real": 70, "inconclusive": 12}, "fake": {"likely fake": 72}}
    coverage = make_coverage().model_copy(update={"verdicts": verdicts})
    text = render_markdown(
        make_results(
            {"alpha": make_detector(coverage=coverage, by_level={"frame": make_block(0.654)}), "beta": make_detector()}
        )
    )
    tables = tables_of(text)
    assert row_of(tables["Other levels"], "per frame", "AUC")[5:] == ["0.654 [0.850, 0.940]", "–"]
    assert row_of(tables["Verdicts"], "alpha", "real") == [
        "alpha",
        "real",
        "82",
        "70 (85.4 %)",
        "12 (14.6 %)",
        "0 (0.0 %)",
    ]


@pytest.mark.parametrize("name", [HOSTILE, "a|b", "\\|", "``", "_x_ *y* ~~z~~", "![i](x)", "&lt;", "$a$", "<!-- -->"])
def test_hostile_names_are_text_in_one_cell(name: str) -> None:
    results = make_results({name: make_detector((name,), (name,))}, (name,), (name,), notes=[name], split=name)
    for shown in (
        render_markdown(results),
        markdown_table(Table("", "", "x", (), (name,), (Row("", name, (), (Cell("1"),)),))),
    ):
        for table in tables_of(shown).values():
            assert len({len(row) for row in table}) == 1
    head, row = tables_of("# t\n\n" + shown)["t"]
    assert head[1] == row[0] == name.replace("\u202e", "[U+202E]").replace("\n", "[U+000A]")


def test_every_inline_of_a_hostile_report_is_text() -> None:
    results = make_results({HOSTILE: make_detector((HOSTILE,), (HOSTILE,))}, (HOSTILE,), (HOSTILE,), notes=[HOSTILE])
    types = {child.type for token in PARSER.parse(render_markdown(results)) for child in token.children or []}
    assert types <= {"text", "text_special", "softbreak", "html_inline", "code_inline", "strong_open", "strong_close"}


def test_names_in_cautions_are_text() -> None:
    few = make_detector(by_generator={HOSTILE: make_block(n_clusters=3)})
    text = render_markdown(make_results({"alpha": few}, (HOSTILE,)))
    (line,) = [line for line in text.splitlines() if line.startswith("- Few independent groups")]
    assert f"the intervals of {markdown_text(HOSTILE)} (3)" in line


@pytest.mark.parametrize("name", ["# x", "## x", "- x", "+ x", "1. x", "12) x", "* x", "> x"])
def test_a_name_begins_no_heading_and_no_list(name: str) -> None:
    types = [token.type for token in PARSER.parse(bullets([markdown_text(name)]))]
    assert types.count("list_item_open") == 1
    assert not {"heading_open", "blockquote_open"} & set(types)
    assert [token.content for token in PARSER.parse(markdown_text(name)) if token.type == "inline"]


def test_no_bare_address_mention_or_issue_is_left() -> None:
    assert (
        markdown_text("https://a.b www.c.d @team #12 a_b.c")
        == "https\\://a.b www\\.c.d @<!-- -->team #<!-- -->12 a_b.c"
    )


def test_same_results_same_text() -> None:
    first = render_markdown(make_results())
    assert render_markdown(Results.model_validate_json(make_results().to_json())) == first


def test_inputs_read_in_part_are_said() -> None:
    results = make_results()
    name, part = next(iter(results.detectors.items()))
    changed = part.model_copy(update={"coverage": make_coverage(n_partial=3)})
    text = render_markdown(results.model_copy(update={"detectors": {**results.detectors, name: changed}}))
    assert "3 inputs are damaged or cut off" in text
    assert "damaged or cut off" not in render_markdown(results)
