"""Robustness: every point is in the tables, strengths keep their order, what is undefined stays so."""

import math
from dataclasses import replace

import pytest
from report_results import HOSTILE, make_robustness
from test_report_markdown import row_of, tables_of
from test_report_page import ALLOWED_TAGS, Page

from eval.report.plots import looks_of
from eval.report.robustness import (
    aucs_table,
    drops_table,
    family_parts,
    render_robustness,
    render_robustness_markdown,
)
from forensics.common.metrics import Estimate


def test_drops_in_order_with_intervals() -> None:
    table = drops_table(make_robustness(), "faces")
    assert table.columns == ("alpha", "beta")
    assert [(row.group, row.label) for row in table.rows] == [
        *(("JPEG, quality", strength) for strength in ("90", "60", "30")),
        *(("Blur, sigma (px)", strength) for strength in ("0.5", "1.5")),
    ]
    assert [(cell.text, cell.interval) for cell in table.rows[2].cells] == [
        ("0.150", "[0.130, 0.170]"),
        ("0.075", "[0.055, 0.095]"),
    ]
    assert table.rows[0].counts == ("40", "36", "99.0 %")
    shades = [row.cells[0].shade for row in table.rows[:3]]
    assert shades == sorted(shades)


def test_aucs_begin_with_the_clean_one() -> None:
    rows = aucs_table(make_robustness(), "faces").rows
    assert (rows[0].group, rows[0].cells[0].text) == ("clean", "0.900")
    assert (rows[3].label, rows[3].cells[0].text, rows[3].cells[1].text) == ("30", "0.750", "0.825")


def test_gain_has_a_minus_sign_and_no_shade() -> None:
    table = make_robustness()
    points = [replace(table.points[0], drop=-0.0204, drop_low=-0.0404, drop_high=-0.0001), *table.points[1:]]
    cell = drops_table(replace(table, points=points), "faces").rows[0].cells[0]
    assert (cell.text, cell.interval, cell.shade) == ("−0.020", "[−0.040, 0.000]", 0)


def test_undefined_points_and_missing_detectors_are_no_numbers() -> None:
    table = make_robustness()
    blank = {"auc": None, "low": None, "high": None, "drop": None, "drop_low": None, "drop_high": None}
    points = [replace(table.points[0], **blank), *(p for p in table.points[1:] if p.detector == "alpha")]
    clean = {key: Estimate(math.nan, math.nan, math.nan) for key in table.clean}
    changed = replace(table, points=points, clean=clean)
    assert [cell.text for cell in drops_table(changed, "faces").rows[0].cells] == ["n/a", "–"]
    assert [cell.text for cell in aucs_table(changed, "faces").rows[0].cells] == ["n/a", "n/a"]
    page = Page(render_robustness(points, clean, {}))
    assert "nan" not in page.text
    assert "None" not in page.text


def test_one_panel_per_family_and_perturbation() -> None:
    parts = family_parts(make_robustness(), looks_of(["alpha", "beta"]))
    assert [part.family for part in parts] == ["faces", "all data sets together"]
    assert [panel.title for panel in parts[0].panels] == ["JPEG", "Blur"]
    texts = Page(f"<p>{parts[0].panels[0].svg}</p>").svg_texts
    assert texts[:4] == ["clean", "90", "60", "30"]


def test_page_of_its_own() -> None:
    table = make_robustness()
    html = render_robustness(table.points, table.clean, table.about)
    page = Page(html)
    assert html == render_robustness(table.points, table.clean, table.about)
    assert page.count("div", "plot-box") == 4
    assert not {tag for tag, _ in page.tags} - ALLOWED_TAGS
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(set(ids)) == len(ids)
    assert "0.5 is guessing" in page.text


def test_nothing_measured_is_said() -> None:
    assert "Nothing was measured." in Page(render_robustness([], {}, {})).text
    assert render_robustness_markdown([], {}, {}).startswith("# Robustness")


def test_markdown_has_the_same_drops() -> None:
    table = make_robustness()
    text = render_robustness_markdown(table.points, table.clean, table.about)
    tables = tables_of(text)
    assert row_of(tables["Lost AUC: faces"], "JPEG, quality", "30")[5:] == [
        "0.150 [0.130, 0.170]",
        "0.075 [0.055, 0.095]",
    ]
    assert row_of(tables["AUC: all data sets together"], "clean")[5] == "0.900 [0.870, 0.930]"
    assert "- seed: 7" in text


def test_strength_may_be_a_name() -> None:
    table = make_robustness()
    points = [replace(point, strength=f"profile {point.strength}") for point in table.points]
    assert drops_table(replace(table, points=points), "faces").rows[0].label == "profile 90"


@pytest.mark.parametrize("field", ["detector", "family", "title", "unit", "strength"])
def test_hostile_names_are_text(field: str) -> None:
    table = make_robustness(("alpha",), ("faces",))
    points = [replace(point, **{field: HOSTILE}) for point in table.points]
    page = Page(render_robustness(points, {}, {HOSTILE: HOSTILE}))
    assert not {tag for tag, _ in page.tags} - ALLOWED_TAGS
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert "[U+202E]" in page.text
    for shown in tables_of(render_robustness_markdown(points, {}, {})).values():
        assert len({len(row) for row in shown}) == 1
