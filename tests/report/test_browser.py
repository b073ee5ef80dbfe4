"""The page in a real browser: nothing runs, everything shows, links lead where they say."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from skimage import data

from forensics.config import InspectConfig
from forensics.inspection import InspectionResult, Inspector
from forensics.report.evidence import evidence_part
from forensics.report.evidence_page import render_evidence
from forensics.report.html import IndexEntry, render_index, render_page
from forensics.report.printing import print_to_pdf

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402 - after the check that it is installed

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1200,1600"),
)
# Each would leave a mark in the document if the browser took it for anything but text.
HOSTILE_NAME = (
    '"><img src=x onerror="document.title=1"><script>document.title=1</script><a href=javascript:0>\u202e.mp4'
)

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
def inspection(tmp_path_factory: pytest.TempPathFactory) -> InspectionResult:
    """Of a picture with a cloned patch, whose tags are hostile."""
    pixels = data.astronaut().copy()
    pixels[300:420, 20:160] = pixels[60:180, 180:320]
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0131] = HOSTILE_NAME
    path = tmp_path_factory.mktemp("inspected") / "photo.jpg"
    picture.save(path, quality=92, exif=exif)
    with Inspector(InspectConfig(case=HOSTILE_NAME)) as inspector:
        return inspector.inspect(path)


@pytest.fixture
def pages(records: ModuleType, inspection: InspectionResult, tmp_path: Path) -> Path:
    """A folder with the page of a hostile video, that of a failure, their index, and those of an inspection and of a scan
    that holds its findings.
    """
    record, pictures = records.make_shown_record(HOSTILE_NAME)
    found = record.model_copy(update={"evidence": evidence_part(inspection.record)})
    (tmp_path / "both.html").write_text(render_page(found, pictures, inspection.pictures), encoding="utf-8")
    page = render_evidence(inspection.record, inspection.pictures)
    (tmp_path / "inspection.html").write_text(page, encoding="utf-8")
    failure = records.make_failure("x" * 200 + ".mp4")
    (tmp_path / "video.html").write_text(render_page(record, pictures), encoding="utf-8")
    (tmp_path / "failure.html").write_text(render_page(failure, []), encoding="utf-8")
    entries = [IndexEntry(record, "video.html"), IndexEntry(failure, "failure.html")]
    (tmp_path / "index.html").write_text(render_index(entries), encoding="utf-8")
    return tmp_path


def resize(browser: "webdriver.Chrome", width: int, height: int) -> None:
    """Sets the viewport itself: a window cannot be as narrow as a phone."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_page_shows_and_nothing_runs(browser: "webdriver.Chrome", pages: Path) -> None:
    resize(browser, 1200, 1600)
    browser.get((pages / "index.html").as_uri())
    browser.find_element(By.CSS_SELECTOR, "th a").click()
    assert browser.current_url == (pages / "video.html").as_uri()

    label = browser.find_element(By.ID, "verdict-label")
    assert label.is_displayed()
    assert label.text == "Likely fake"
    assert label.location["y"] < 400
    assert browser.find_element(By.TAG_NAME, "h1").text == HOSTILE_NAME.replace("\u202e", "[U+202E]")
    assert browser.title.startswith("likely fake: ")
    assert browser.execute_script("return document.scripts.length") == 0

    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 8  # four moments, each with its heat map
    assert min(widths) > 0
    # Console messages include violations of the page's own policy.
    assert browser.get_log("browser") == []


def test_policy_stops_a_script_that_got_in(browser: "webdriver.Chrome", pages: Path) -> None:
    """Were escaping to fail somewhere, the page's policy would still not let it run."""
    html = (pages / "failure.html").read_text(encoding="utf-8")
    broken = html.replace(
        "<main>", "<main><script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
    )
    assert broken != html
    (pages / "broken.html").write_text(broken, encoding="utf-8")
    browser.get((pages / "broken.html").as_uri())
    assert browser.title != "ran"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_moment_of_the_timeline_leads_to_its_picture(browser: "webdriver.Chrome", pages: Path) -> None:
    resize(browser, 1200, 800)
    browser.get((pages / "video.html").as_uri())
    figure = browser.find_element(By.ID, "moment-3")
    assert figure.value_of_css_property("outline-style") == "none"
    browser.find_element(By.CSS_SELECTOR, "#pin-3 text").click()
    assert browser.current_url.endswith("#moment-3")
    assert figure.value_of_css_property("outline-style") == "solid"
    top, bottom = browser.execute_script(
        "const box = arguments[0].getBoundingClientRect(); return [box.top, box.bottom]", figure
    )
    assert top >= 0
    assert bottom <= 800


@pytest.mark.parametrize("name", ["video.html", "failure.html", "index.html", "inspection.html", "both.html"])
def test_phone_needs_no_sideways_scrolling(browser: "webdriver.Chrome", pages: Path, name: str) -> None:
    resize(browser, 360, 800)
    browser.get((pages / name).as_uri())
    shown, available = browser.execute_script(
        "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
    )
    assert available == 360
    assert shown <= available


@pytest.mark.parametrize("name", ["inspection.html", "both.html"])
def test_findings_show_and_nothing_runs(
    browser: "webdriver.Chrome", pages: Path, inspection: InspectionResult, name: str
) -> None:
    resize(browser, 1200, 1600)
    browser.get((pages / name).as_uri())
    for part in inspection.record.findings:
        if part.state != "not applicable":
            assert browser.find_element(By.ID, part.analysis).is_displayed()
    flagged = browser.find_element(By.CSS_SELECTOR, "#copy-move .state")
    assert flagged.text == "inconsistent"
    browser.find_element(By.CSS_SELECTOR, '.summary-table a[href="#copy-move"]').click()
    assert 0 <= browser.execute_script("return document.getElementById('copy-move').getBoundingClientRect().top") < 1600
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) >= len(inspection.pictures) > 0
    assert min(widths) > 0
    plots = browser.execute_script("return [...document.querySelectorAll('svg.plot')].map(p => p.clientHeight)")
    assert len(plots) == sum(len(part.plots) for part in inspection.record.findings)
    assert min(plots) > 50
    assert browser.execute_script("return document.scripts.length") == 0
    assert browser.get_log("browser") == []


def test_page_prints_as_pdf(pages: Path) -> None:
    printed = print_to_pdf((pages / "inspection.html").read_text(encoding="utf-8"))
    assert printed.startswith(b"%PDF-") and printed.rstrip().endswith(b"%%EOF")
    assert printed.count(b"/Type /Page") > 1
    assert b"/Subtype /Image" in printed
