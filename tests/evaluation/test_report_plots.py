"""SVGs of the report: names stay text, ids stay apart, the same figure gives the same bytes."""

import re
import warnings
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from report_results import HOSTILE

from eval.report.curves import Scored, histogram_of
from eval.report.plots import (
    IntervalRow,
    Operated,
    StrengthLine,
    looks_of,
    plot_det,
    plot_histogram,
    plot_intervals,
    plot_reliability,
    plot_roc,
    plot_strengths,
    plot_swatch,
)
from eval.report.svg import drawing, inline_svg, new_figure, place_holder
from eval.statistics import even_prior_weights, reliability_bins
from forensics.common.metrics import Estimate

LOOKS = looks_of(["alpha", "beta"])
NAMES = (
    "$\\frac{1}{2}$",
    "<script>alert(1)</script>",
    "\u4f60\u597d \U0001f600",
    "a\u202eb\x00c\ud800d\ufffee",
    "]]>",
    "@0@",
)


def scored(seed: int = 0, n: int = 300) -> Scored:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return Scored(labels, 1 / (1 + np.exp(-rng.normal(1.2 * labels - 0.6))))


def tree_of(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - what the test has just drawn


def texts_of(svg: str) -> list[str]:
    return [element.text or "" for element in tree_of(svg).iter("text")]


def every_plot(prefix: str) -> list[str]:
    own = scored()
    curves = [Operated(LOOKS["alpha"], own, 0.5), Operated(LOOKS["beta"], scored(1), 0.3)]
    bins = reliability_bins(own.labels, own.scores)
    even = reliability_bins(own.labels, own.scores, weights=even_prior_weights(own.labels))
    rows = [IntervalRow(LOOKS["alpha"], "alpha", Estimate(0.8, 0.7, 0.9)), IntervalRow(LOOKS["beta"], "beta", None)]
    line = StrengthLine(LOOKS["alpha"], [Estimate(0.9, 0.8, 1.0), None, Estimate(0.7, np.nan, np.nan)])
    return [
        plot_swatch(LOOKS["alpha"]),
        plot_roc(curves, f"{prefix}-1", "roc"),
        plot_det(curves, f"{prefix}-2", "det"),
        plot_histogram(histogram_of(own, 0.5), 0.5, f"{prefix}-3", "histogram"),
        plot_reliability(bins, even, LOOKS["alpha"], f"{prefix}-4", "reliability"),
        plot_intervals(rows, (0.5, 1.0), f"{prefix}-5", "intervals"),
        plot_strengths([line], ["90", "60"], (0.5, 1.0), f"{prefix}-6", "strengths"),
    ]


def test_every_plot_repeats_to_the_byte() -> None:
    assert every_plot("a") == every_plot("a")


def test_ids_are_unique_among_all_plots_and_every_reference_finds_its_own() -> None:
    ids: list[str] = []
    for svg in every_plot("a"):
        own = re.findall(r' id="([^"]+)"', svg)
        assert set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(own)
        ids += own
    assert ids
    assert len(set(ids)) == len(ids)


def test_a_plot_brings_nothing_that_reaches_outside_of_it() -> None:
    for svg in every_plot("a"):
        tags = {element.tag for element in tree_of(svg).iter()}
        assert tags <= {"svg", "g", "path", "use", "defs", "clipPath", "rect", "text", "pattern"}
        assert "http" not in svg
        assert "font-family" not in svg


@pytest.mark.parametrize("name", [*NAMES, HOSTILE])
def test_names_are_text_whole_and_never_tex(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs that it has not
        with drawing():
            figure = new_figure(100, 50)
            figure.text(0.5, 0.5, place_holder(0))
            svg = inline_svg(figure, "p", name, [name])
    (text,) = texts_of(svg)
    label = tree_of(svg).attrib["aria-label"]
    assert text == label
    assert "<script" not in svg
    visible = [character for character in name if character.isprintable()]
    assert [character for character in visible if character not in text] == []
    if "\u202e" in name:
        assert "\u202e" not in svg
        assert "[U+202E]" in text


def test_long_names_are_cut_beside_a_bar() -> None:
    rows = [IntervalRow(LOOKS["alpha"], "n" * 300, Estimate(0.8, 0.7, 0.9))]
    name = next(text for text in texts_of(plot_intervals(rows, (0.5, 1.0), "p", "")) if text.startswith("n"))
    assert name.endswith("…")
    assert len(name) < 25


def test_undefined_is_said_and_not_drawn() -> None:
    rows = [IntervalRow(LOOKS["alpha"], "alpha", None)]
    texts = texts_of(plot_intervals(rows, (0.5, 1.0), "p", ""))
    assert "undefined" in texts
    assert not any(text.startswith(("0.5", "0.0")) and len(text) == 5 for text in texts)


def test_curves_survive_detectors_without_both_classes() -> None:
    """Nobody has a curve: the axes stand, empty."""
    nobody = Operated(LOOKS["alpha"], Scored(np.ones(4, np.int64), np.linspace(0, 1, 4)), 0.5)
    for plot in (plot_roc, plot_det):
        assert "0072b2" not in plot([nobody], "p", "")
        assert "0072b2" in plot([Operated(LOOKS["alpha"], scored(), 0.5)], "p", "")


def test_perfect_detector_has_its_mark_on_the_det_plot() -> None:
    """Both rates are 0, which lies at minus infinity: the mark stands in the corner."""
    perfect = Operated(LOOKS["alpha"], Scored(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])), 0.5)
    svg = plot_det([perfect], "p", "")
    assert "nan" not in svg.lower()
    assert "inf" not in svg.lower()
    assert svg.count("0072b2") >= 2


def test_strength_labels_are_shown_in_their_order() -> None:
    texts = texts_of(plot_strengths([], ["q $90$", "q 60"], (0.5, 1.0), "p", ""))
    assert [text for text in texts if text.startswith(("clean", "q"))] == ["clean", "q $90$", "q 60"]


def test_style_of_the_user_is_neither_used_nor_changed() -> None:
    before = plot_swatch(LOOKS["alpha"])
    with mpl.rc_context({"lines.markersize": 30, "axes.facecolor": "red", "font.size": 40}):
        assert plot_swatch(LOOKS["alpha"]) == before
        assert mpl.rcParams["font.size"] == 40
