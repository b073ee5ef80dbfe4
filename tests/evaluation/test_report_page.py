"""The benchmark page: structure, figures, escaping, thumbnails, determinism."""

import re
from html.parser import HTMLParser

import pytest
from report_results import HOSTILE, make_block, make_coverage, make_detector, make_results, make_robustness, make_rows

from eval.report.html import THUMBNAIL_BYTES, render_report
from eval.report.mistakes import FAILURES_SHOWN, SHOWN, mistakes_of, paths_shown, worst_mistakes
from eval.report.page import MAX_PATH, shorten_middle
from eval.report.plots import MAX_NAME
from eval.results import Results
from eval.score_table import ScoreRow
from forensics.common.errors import UsageError
from forensics.common.outcomes import Outcome

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
ALLOWED_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "nav"),
    *("div", "p", "span", "strong", "b", "i", "bdi", "h1", "h2", "h3", "h4", "ul", "ol", "li", "dl", "dt", "dd", "sup"),
    *("figure", "figcaption", "img", "a", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("svg", "g", "defs", "path", "use", "text", "rect", "clippath"),
}


class Page(HTMLParser):
    """What a parser sees: tags with attributes, text per element, tables as rows of cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.svg_texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag  # what is opened is closed, in order
        if tag in ("p", "dd", "dt", "h1", "h2", "h3", "h4", "li", "td", "th", "tr", "summary", "span"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "text":
            self.svg_texts.append(data)
        elif "style" not in self._open:
            self.text += data

    def count(self, tag: str, name: str = "") -> int:
        """Elements with a tag and, if given, a class."""
        return sum(t == tag and (not name or name in (a.get("class") or "").split()) for t, a in self.tags)


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results()


@pytest.fixture(scope="module")
def html(results: Results) -> str:
    return render_report(results, make_rows(results), {"faces/real/0000.png": PIXEL}, make_robustness())


def test_page_has_every_section_and_figure(html: str) -> None:
    page = Page(html)
    headings = re.findall(r"<h2[^>]*>([^<]*)", html)
    assert headings == [
        *("What was judged", "Per family", "ROC and DET curves", "Scores of reals and fakes", "Calibration"),
        *("Robustness", "Worst mistakes", "Coverage", "All figures", "Provenance"),
    ]
    # Generators, ROC and DET per data set and pooled, histograms, reliability, families x perturbations.
    assert page.count("div", "plot-box") == 2 + 6 + 2 + 2 + 4
    assert (
        page.count("svg", "plot") == page.count("div", "plot-box") + 2 * 4
    )  # legends: families, curves, robustness twice
    assert not {tag for tag, _ in page.tags} - ALLOWED_TAGS
    anchors = {a["href"] for t, a in page.tags if t == "a"}
    assert anchors <= {f"#{a['id']}" for _, a in page.tags if "id" in a}


def test_every_figure_says_how_to_read_it(html: str) -> None:
    captions = re.findall(r'<figcaption class="how">([^<]*)</figcaption>', html)
    assert len(captions) == 4
    assert all(len(caption.split()) > 20 and caption.endswith(".") for caption in captions)


def test_figures_of_the_results_stand_on_the_page(html: str) -> None:
    page = Page(html)
    for figure in ("0.801", "0.802", "0.901", "[0.850, 0.940]", "52.0 %", "0.876", "80 of 82", "97.4 %", "0.081"):
        assert figure in page.text, figure
    assert "0.801" in page.svg_texts
    assert f"SHA-256\n{'ef' * 32}" in page.text


def test_page_asks_for_nothing_and_runs_nothing(html: str) -> None:
    page = Page(html)
    (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    for tag, attributes in page.tags:
        assert tag != "script"
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:image/"))
    assert "url(http" not in html
    assert "@import" not in html


def test_ids_of_the_page_are_unique(html: str) -> None:
    ids = [a["id"] for _, a in Page(html).tags if "id" in a]
    assert len(set(ids)) == len(ids)


def test_same_input_same_bytes(results: Results, html: str) -> None:
    again = Results.model_validate_json(results.to_json())
    assert render_report(again, make_rows(again), {"faces/real/0000.png": PIXEL}, make_robustness()) == html


def test_hostile_names_are_text_everywhere() -> None:
    """Names of detectors, generators, data sets, files, options: no element, no attribute, no direction mark."""
    verdicts = {"real": {HOSTILE: 3}, "fake": {HOSTILE: 4}}
    coverage = make_coverage().model_copy(update={"verdicts": verdicts, "outcomes": {HOSTILE: 1, "scored": 150}})
    part = make_detector(
        (HOSTILE,), (HOSTILE,), description=HOSTILE, threshold_origin=HOSTILE, fingerprint=HOSTILE, coverage=coverage,
        overall=make_block(None, undefined={"auc": HOSTILE}),
    )  # fmt: skip
    results = make_results({HOSTILE: part}, (HOSTILE,), (HOSTILE,), notes=[HOSTILE], split=HOSTILE, layout=HOSTILE)
    changes = {"clusters": HOSTILE, "options": {HOSTILE: [HOSTILE]}, "environment": {HOSTILE: HOSTILE}}
    results = results.model_copy(update={"provenance": results.provenance.model_copy(update=changes)})
    rows = make_rows(results)
    html = render_report(results, rows, {row.path: PIXEL for row in rows}, make_robustness((HOSTILE,), (HOSTILE,)))
    page = Page(html)
    assert not {tag for tag, _ in page.tags} - ALLOWED_TAGS
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes)
        if tag == "img":
            assert attributes["src"] == PIXEL
    assert "\u202e" not in html
    assert "49" not in [text.strip() for text in page.text.split("\n")]  # {{ 7 * 7 }}
    shown = HOSTILE.replace("\u202e", "[U+202E]").replace("\n", "[U+000A]")
    assert page.text.count(shown) >= 12
    assert any(text == f"{HOSTILE[: MAX_NAME - 1]}…" for text in page.svg_texts)  # beside a bar
    assert any(shown in (a.get("aria-label") or "") for t, a in page.tags if t == "svg")


def test_one_class_nothing_scored_no_pictures() -> None:
    """Everything that can be undefined is, and the page says so instead of failing."""
    rows = [ScoreRow(f"{i}.png", 0, None, Outcome.UNREADABLE, dataset="faces", detector="alpha") for i in range(3)]
    coverage = make_coverage(0, 0, 0).model_copy(update={"n": 3, "share": 0.0, "outcomes": {"unreadable": 3}})
    empty = make_block(None, n_clusters=0, n_real=0, n_fake=0, undefined={})
    part = make_detector(
        (), (), by_dataset={"faces": empty}, overall=empty, coverage=coverage, fingerprint="", coverage_by_dataset={}
    )
    results = make_results({"alpha": part}, (), ("faces",), n_fake=0, n=3, n_real=3, sha256="")
    page = Page(render_report(results, rows, {}))
    assert "No fakes, so no figures per generator." in page.text
    assert "No curve: no detector scored both reals and fakes here." in page.text
    assert "Nothing was scored." in page.text
    assert "no reason was recorded" in page.text
    assert "the file could not be read: 2.png" in page.text
    assert "All inputs are reals" in page.text
    assert page.count("img") == 0
    assert re.search(r"\b(None|nan|inf)\b", page.text) is None


def test_results_without_any_detector_make_a_page() -> None:
    results = make_results({}, (), (), n=0, n_real=0, n_fake=0)
    assert "Benchmark of 0 detectors" in Page(render_report(results, [], {})).text


def test_only_pictures_are_taken_for_thumbnails(results: Results) -> None:
    for uri in ("javascript:alert(1)", "https://example.org/x.png", "data:text/html,x", ""):
        with pytest.raises(UsageError, match="thumbnail"):
            render_report(results, [], {"a": uri})


def test_thumbnails_stop_before_the_page_grows_too_large() -> None:
    results = make_results({f"detector {i}": make_detector() for i in range(3)})
    rows = make_rows(results, 20)
    large = PIXEL + "A" * 120_000
    html = render_report(results, rows, {row.path: large for row in rows})
    used = html.count(large) * len(large)
    assert 0.7 * THUMBNAIL_BYTES < used <= THUMBNAIL_BYTES
    assert "no picture" in html
    # Every detector's first mistakes come before anybody's later ones.
    for part in html.split("<summary>")[1:]:
        if "reals called fake" in part.split("</summary>")[0]:
            assert large in part.split("</details>")[0]


def test_thousands_of_rows_stay_a_small_page() -> None:
    results = make_results({f"detector {i}": make_detector() for i in range(4)})
    rows = make_rows(results, 700)
    assert len(rows) == 11_200
    assert len(render_report(results, rows, {})) < 2_000_000


def test_threshold_marks_right_and_wrong() -> None:
    results = make_results({"alpha": make_detector(threshold=0.7)}, ("gan",), ("faces",))
    rows = [
        ScoreRow("faces/real/a.png", 0, 0.7, dataset="faces", detector="alpha"),
        ScoreRow("faces/real/b.png", 0, 0.69, dataset="faces", detector="alpha"),
        ScoreRow("faces/fake/c.png", 1, 0.69, generator="gan", dataset="faces", detector="alpha"),
        ScoreRow("faces/fake/d.png", 1, 0.7, generator="gan", dataset="faces", detector="alpha"),
    ]
    shots = re.findall(
        r'<li class="shot">.*?<b>([\d.]+)</b><span[^>]*>(\w+)</span>.*?<bdi>([^<]*)',
        render_report(results, rows, {}),
        re.S,
    )
    assert shots == [
        ("0.700", "wrong", "faces/real/a.png"),
        ("0.690", "right", "faces/real/b.png"),
        ("0.690", "wrong", "faces/fake/c.png"),
        ("0.700", "right", "faces/fake/d.png"),
    ]


def test_worst_mistakes_are_the_extremes_and_failures() -> None:
    rows = [ScoreRow(f"r{i:02d}", 0, i / 100) for i in range(30)] + [
        ScoreRow(f"f{i:02d}", 1, i / 100) for i in range(30)
    ]
    rows += [ScoreRow(f"x{i:02d}", i % 2, None, Outcome.NO_FACE) for i in range(FAILURES_SHOWN + 3)]
    worst = worst_mistakes("alpha", 0.25, rows)
    assert [row.path for row in worst.reals] == [f"r{29 - i}" for i in range(SHOWN)]
    assert [row.path for row in worst.fakes] == [f"f{i:02d}" for i in range(SHOWN)]
    assert (worst.n_wrong_reals, worst.n_wrong_fakes, worst.n_failures) == (5, 25, FAILURES_SHOWN + 3)
    assert [row.path for row in worst.failures] == [f"x{i:02d}" for i in range(FAILURES_SHOWN)]


def test_ties_among_mistakes_are_in_the_order_of_their_paths() -> None:
    rows = [ScoreRow(name, 0, 0.9) for name in "hgfedcba"]
    assert [row.path for row in worst_mistakes("alpha", 0.5, rows).reals] == list("abcdef")


def test_paths_shown_are_those_of_the_page(results: Results) -> None:
    rows = [*make_rows(results), ScoreRow("stranger", 0, 0.9, detector="nobody")]
    paths = paths_shown(results, rows)
    assert len(paths) == len(set(paths))
    assert "stranger" not in paths
    html = render_report(results, rows, dict.fromkeys(paths, PIXEL))
    # Failures are listed without a picture: most cannot be decoded.
    pictured = {row.path for one in mistakes_of(results, rows) for row in (*one.reals, *one.fakes)}
    assert set(paths) == pictured
    assert html.count(PIXEL) == 2 * 2 * SHOWN


def test_long_paths_keep_both_ends() -> None:
    path = f"folder/{'x' * 300}/name.png"
    short = shorten_middle(path)
    assert len(short) == MAX_PATH
    assert short.startswith("folder/")
    assert short.endswith("/name.png")
    assert shorten_middle("a/b.png") == "a/b.png"
