"""The benchmark pages in a real browser: nothing runs, every figure shows, a phone needs no sideways scrolling."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from report_results import HOSTILE, make_detector, make_results, make_robustness, make_rows

from eval.report.html import render_report
from eval.report.mistakes import paths_shown
from eval.report.robustness import render_robustness
from forensics.report.pictures import data_uri

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402 - after the check that it is installed

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1300,1600"),
)
LONG = "a_detector_whose_name_has_no_place_to_break_" * 4

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="needs chromium and chromedriver (Debian: chromium-driver)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["webdriver.Chrome"]:
    """A fresh profile; explicit paths, so that Selenium looks for nothing and downloads nothing."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=CHROMEDRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark and a robustness page of detectors with hostile and long names."""
    folder = tmp_path_factory.mktemp("pages")
    part = make_detector(("gan", HOSTILE), ("faces", HOSTILE))
    results = make_results(
        {"alpha": part, HOSTILE: part, LONG: part}, ("gan", HOSTILE), ("faces", HOSTILE), split=HOSTILE
    )
    rows = make_rows(results)
    picture = data_uri(np.full((160, 120, 3), 128, np.uint8))
    thumbnails = dict.fromkeys(paths_shown(results, rows)[:-1], picture)
    table = make_robustness(("alpha", HOSTILE, LONG), ("faces", HOSTILE))
    (folder / "bench.html").write_text(render_report(results, rows, thumbnails, table), encoding="utf-8")
    (folder / "robustness.html").write_text(
        render_robustness(table.points, table.clean, {HOSTILE: LONG}), encoding="utf-8"
    )
    return folder


def resize(browser: "webdriver.Chrome", width: int, height: int) -> None:
    """Sets the viewport itself: a window cannot be as narrow as a phone."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.parametrize(("name", "n_plots"), [("bench.html", 2 + 6 + 3 + 3 + 4), ("robustness.html", 4)])
def test_every_figure_shows_and_nothing_runs(browser: "webdriver.Chrome", pages: Path, name: str, n_plots: int) -> None:
    resize(browser, 1300, 1600)
    browser.get((pages / name).as_uri())
    assert browser.execute_script("return document.scripts.length") == 0
    assert browser.title != "1"
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('.plot-box svg')].map(svg => svg.getBoundingClientRect())"
        ".map(box => [box.width, box.height])"
    )
    assert len(sizes) == n_plots
    assert min(width for width, _ in sizes) > 250
    assert min(height for _, height in sizes) > 100
    # Console messages include violations of the page's own policy.
    assert browser.get_log("browser") == []


def test_pictures_show_in_what_is_folded_too(browser: "webdriver.Chrome", pages: Path) -> None:
    browser.get((pages / "bench.html").as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 20
    assert min(widths) > 0


def test_curves_lie_inside_their_axes(browser: "webdriver.Chrome", pages: Path) -> None:
    """Ids that clash between figures would clip one by another's frame: then a curve shows nothing, or too much."""
    resize(browser, 1300, 1600)
    browser.get((pages / "bench.html").as_uri())
    clips = browser.execute_script(
        "return [...document.querySelectorAll('.plot-box svg')].map(svg => [...svg.querySelectorAll('[clip-path]')]"
        ".every(one => svg.contains(document.getElementById(one.getAttribute('clip-path').slice(5, -1)))))"
    )
    assert all(clips)


def test_hostile_name_is_shown_as_it_is(browser: "webdriver.Chrome", pages: Path) -> None:
    browser.get((pages / "bench.html").as_uri())
    names = [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".legend bdi")]
    shown = HOSTILE.replace("\u202e", "[U+202E]").replace("\n", "[U+000A]")
    assert shown in [" ".join(name.split()) for name in names]
    assert browser.find_elements(By.CSS_SELECTOR, "img[src=x]") == []


@pytest.mark.parametrize("name", ["bench.html", "robustness.html"])
def test_phone_needs_no_sideways_scrolling(browser: "webdriver.Chrome", pages: Path, name: str) -> None:
    resize(browser, 360, 800)
    browser.get((pages / name).as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    shown, available = browser.execute_script(
        "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
    )
    assert available == 360
    assert shown <= available
    # A figure fits into the column, and its smallest text stays legible.
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.plot-box svg')].map("
        "svg => 11 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))"
    )
    assert smallest >= 9


def test_table_scrolls_inside_its_own_box(browser: "webdriver.Chrome", pages: Path) -> None:
    resize(browser, 360, 800)
    browser.get((pages / "bench.html").as_uri())
    label, first = browser.execute_script(
        "const box = document.querySelector('#families .scroll'); box.scrollLeft = 200;"
        "return [box.querySelector('tbody th[scope=row]').getBoundingClientRect().left, box.getBoundingClientRect().left]"
    )
    assert label == pytest.approx(first, abs=1)  # the family's name stays in sight
