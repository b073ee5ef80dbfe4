"""The page and the index say what the record says: escaped, complete, and the same every time."""

import base64
import csv
import re
from html import unescape
from html.parser import HTMLParser
from types import ModuleType

import cv2
import numpy as np
import pytest

from forensics.common.outcomes import Outcome
from forensics.report.html import IndexEntry, describe_ratio, format_share, render_index, render_page
from forensics.report.pictures import MAX_SHOWN_PX, MomentPicture, data_uri, overlay_heatmap
from forensics.report.record import DetectorPart, Interval, Record
from forensics.report.summary import csv_text, face_count
from forensics.report.timeline import MAX_ROWS, lay_out_timeline, split_at_gaps, spread

HOSTILE_NAMES = (
    "<script>alert(1)</script>.mp4",
    '"><img src=x onerror=alert(1)>.jpg',
    "'-javascript:alert(1)//.mp4",
    "{{ 7 * 7 }}{% raw %}.mp4",
    "&lt;b&gt;.mp4",
)
ALLOWED_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section"),
    *("div", "p", "span", "strong", "b", "i", "bdi", "h1", "h2", "h3", "ul", "li", "dl", "dt", "dd", "br"),
    *("figure", "figcaption", "img", "a", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("svg", "g", "desc", "line", "path", "text", "tspan", "rect", "circle", "polyline"),
}


class Page(HTMLParser):
    """What a parser sees: tags, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        if tag in ("p", "dd", "dt", "h2", "h3", "li", "td", "text"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    def fact(self, name: str) -> str:
        """The value beside a name in the technical record."""
        found = re.search(rf"^{re.escape(name)}\n(.*)$", self.text, re.MULTILINE)
        assert found is not None, name
        return found[1]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_text_stays_text(records: ModuleType, name: str) -> None:
    """In every text field of the record, on the page and in the index: the name is shown whole and makes no element."""
    part = DetectorPart(name=name, score=0.5, is_calibrated=False, weight=None, description=name, error=name)
    record, pictures = records.make_shown_record(
        name,
        message=name,
        hint=name,
        detectors=[part],
        media=records.make_media().model_copy(update={"codec": name, "errors": [name]}),
        configuration={name: [name]},
        verdict=records.make_verdict().model_copy(update={"reasons": [name]}),
    )
    for html in (render_page(record, pictures), render_index([IndexEntry(record, f"{name}.html")])):
        page = Page(html)
        assert {tag for tag, _ in page.tags} <= ALLOWED_TAGS
        for tag, attributes in page.tags:
            assert not any(key.startswith("on") for key in attributes)
            for key in ("src", "href"):
                address = attributes.get(key)
                assert address is None or address.startswith(("data:image/jpeg;base64,", "#", "./")), (tag, address)
        assert page.text.count(name) >= 2


def test_characters_that_hide_are_shown(records: ModuleType) -> None:
    """A name that a browser would display as `photo-exe.jpg`, with a control, a zero-width and a lone surrogate."""
    record = records.make_record("photo-\u202egpj.exe\x07\u200b\udcff\n.mp4")
    for html in (render_page(record, []), render_index([IndexEntry(record, "a.html")])):
        html.encode("utf-8")
        assert "photo-[U+202E]gpj.exe[U+0007][U+200B][U+DCFF][U+000A].mp4" in html
        assert not set("\u202e\x07\u200b\udcff") & set(html)


def test_letters_of_any_script_are_left_alone(records: ModuleType) -> None:
    name = "مقابلة 会議 Łódź 🙂.mp4"
    assert name in render_page(records.make_record(name), [])


def test_index_addresses_stay_relative(records: ModuleType) -> None:
    entries = [
        IndexEntry(records.make_record(), page) for page in ("javascript:alert(1)", "//evil.example/x", "a b#c?.html")
    ]
    addresses = [attributes["href"] for tag, attributes in Page(render_index(entries)).tags if tag == "a"]
    assert addresses == ["./javascript%3Aalert%281%29", ".///evil.example/x", "./a%20b%23c%3F.html"]


def test_page_is_self_contained_and_deterministic(records: ModuleType) -> None:
    record, pictures = records.make_shown_record()
    html = render_page(record, pictures)
    assert html == render_page(Record.model_validate_json(record.to_json()), list(reversed(pictures)))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in html
    assert not re.search(r"<script|https?://|@import|url\((?!#)", html)
    # The clock of the record is the only one: another record differs in nothing but its times.
    later = record.clock.model_copy(update={"started_utc": "2031-01-01T00:00:00Z", "wall_s": 99.5})
    other = render_page(record.model_copy(update={"clock": later}), pictures)
    assert (
        other.replace("2031-01-01T00:00:00Z", record.clock.started_utc).replace("99.50 s (1:39.50)", "12.25 s") == html
    )


def test_verdict_and_its_error_rates_are_on_the_page(records: ModuleType) -> None:
    record, pictures = records.make_shown_record()
    text = Page(render_page(record, pictures)).text
    assert text.index("Likely fake") < text.index("Score over time") < text.index("Most suspicious moments")
    assert "0.860 calibrated probability of a fake, at even prior odds" in text
    assert "about 19 times likelier for a fake than for a real face: moderate support" in text
    assert "3.1 % (95 % interval 1.4 to 6.6 %, n = 193)" in text
    assert "Measured on DFDC preview, test split (412 videos)" in text
    assert "consistent with" in text
    assert "cannot be relied upon in isolation" in text
    for reason in record.verdict.reasons:
        assert reason in text
    prior = record.verdict.model_copy(update={"prior": 0.1})
    assert "at a prior of 10.0 % fakes" in Page(render_page(record.model_copy(update={"verdict": prior}), [])).text


def test_whole_technical_record_is_on_the_page(records: ModuleType) -> None:
    """Every leaf of the record that names or hashes something can be found on the page."""
    record, pictures = records.make_shown_record()
    page = Page(render_page(record, pictures))
    leaves = [record.input.sha256, record.configuration_sha256, *record.model.files, *record.model.files.values()]
    leaves += [*record.environment.libraries, *record.environment.ffmpeg.values(), *record.configuration]
    leaves += [moment.crop_sha256 for moment in record.moments]
    assert all(leaf in page.text for leaf in leaves)
    assert page.fact("detectors") == "cnn, spectrum"
    assert page.fact("heatmaps") == "yes"
    assert page.fact("Size") == "4,812,345 bytes (4.8 MB)"


def test_missing_values_are_never_zero(records: ModuleType) -> None:
    page = Page(render_page(records.make_failure(), []))
    assert "The file could not be read" in page.text
    assert "the file is empty" in page.text
    assert "Nothing can be concluded" in page.text
    assert page.fact("Size") == page.fact("SHA-256 before") == page.fact("SHA-256 after") == "not available"
    assert not re.search(r"\b(None|nan|Undefined)\b", page.text)
    assert "0.000" not in page.text

    row = Page(render_index([IndexEntry(records.make_failure(), "a.html")])).text
    assert row.count("not available") == 3  # probability, faces, key moment

    # What was not looked at to the end has no number of faces, in either table.
    broken = records.make_record(outcome=Outcome.DETECTOR_ERROR, verdict=None)
    assert broken.tracks and face_count(broken) is None
    row = Page(render_index([IndexEntry(broken, "a.html")])).text
    assert row.count("not available") == 3
    (line,) = csv.DictReader(csv_text([broken]).splitlines())
    assert line["faces"] == ""

    track = records.make_track(1, 0.5).model_copy(update={"probability": None, "outcome": Outcome.TOO_SMALL})
    detector = DetectorPart(
        name="cnn", score=None, is_calibrated=True, weight=1.0, description="", error="the weights do not fit"
    )
    verdict = records.make_verdict(probability=None).model_copy(update={"operating_point": None})
    page = Page(render_page(records.make_record(tracks=[track], detectors=[detector], verdict=verdict), []))
    assert "not available calibrated probability" in page.text
    assert "Likelihood ratio: not available." in page.text
    assert "the weights do not fit" in page.text
    assert "error rate of this answer is unknown" in page.text


def test_numbers_claim_no_certainty() -> None:
    assert format_share(1.0) == "> 0.999"
    assert format_share(0.0) == "< 0.001"
    assert format_share(0.8604) == "0.860"
    assert format_share(None) is None
    assert "no support for either" in describe_ratio(1.3)
    assert "about 4.0 times likelier for a real than for a fake" in describe_ratio(0.25)
    assert "about 1,200 times" in describe_ratio(1234.0)
    assert describe_ratio(0.0) is None


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_words(records: ModuleType, outcome: Outcome) -> None:
    text = Page(render_page(records.make_failure(outcome=outcome), [])).text
    assert outcome == "scored" or outcome.value not in text


def test_changed_and_truncated_files_are_pointed_out(records: ModuleType) -> None:
    record = records.make_record()
    assert "The file changed" not in render_page(record, [])
    changed = record.input.model_copy(update={"sha256_after": "34" * 32})
    media = record.media.model_copy(update={"is_complete": False, "frames_decoded": 159})
    text = Page(render_page(record.model_copy(update={"input": changed, "media": media}), [])).text
    assert "The file changed while it was analysed." in text
    assert "159 of 300 frames were decoded" in text


def test_image_has_pictures_but_no_timeline(records: ModuleType) -> None:
    track = records.make_track(1, 0.9, samples=1)
    record, pictures = records.make_shown_record(
        "portrait.jpg", indices=(0,), media=records.make_media("image"), tracks=[track]
    )
    page = Page(render_page(record, pictures))
    assert "Score over time" not in page.text
    assert "#pin-1" not in [attributes.get("href") for _, attributes in page.tags]
    assert sum(tag == "img" for tag, _ in page.tags) == 2


def test_moments_link_to_their_pictures(records: ModuleType) -> None:
    record, pictures = records.make_shown_record()
    page = Page(render_page(record, pictures[1:]))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    assert {"moment-1", "moment-2", "moment-3", "moment-4", "pin-1"} <= set(links)
    assert page.text.count("picture not available") == 1
    assert page.text.count("key moment") == 1


def test_pictures_must_be_those_of_the_record(records: ModuleType) -> None:
    record, pictures = records.make_shown_record()
    with pytest.raises(ValueError, match="hash"):
        render_page(record, [MomentPicture(1, pictures[0].timestamp_s, records.make_crop(99), None)])
    with pytest.raises(ValueError, match="no moment"):
        render_page(record, [MomentPicture(2, pictures[0].timestamp_s, pictures[0].crop, None)])


def test_timeline_places_scores_and_thresholds(records: ModuleType) -> None:
    """Time 0..10 s maps linearly to the plot's width, probability 0..1 to its height."""
    record, _ = records.make_shown_record()
    timeline = lay_out_timeline(record)
    assert [row.track.id for row in timeline.rows] == [1, 2, 3]
    assert timeline.end_s == 10.25  # track 2 outlasts the stated duration
    row, span = timeline.rows[0], timeline.right - timeline.left
    points = [point for segment in row.segments for point in segment]
    assert [point.timestamp_s for point in points] == [sample.timestamp_s for sample in record.tracks[0].samples]
    for point in points:
        assert point.x == pytest.approx(timeline.left + span * point.timestamp_s / 10.25, abs=0.06)
        assert point.y == pytest.approx(row.y + (1 - point.score) * row.height, abs=0.06)
    fake, between, real = row.bands
    assert (fake.y + fake.height - row.y) / row.height == pytest.approx(0.2, abs=1e-3)
    assert (real.y - row.y) / row.height == pytest.approx(0.75, abs=1e-3)
    assert between.label == "inconclusive"
    assert [pin.point.moment for pin in row.pins] == [1, 2, 3, 4]
    assert all(b.x - a.x >= 18 for a, b in zip(row.pins, row.pins[1:], strict=False))
    svg = render_page(record, [])
    assert unescape(svg).count("<title>") == 1 + sum(len(track.samples) for track in record.tracks)


def test_timeline_of_many_tracks_is_capped(records: ModuleType) -> None:
    tracks = [records.make_track(number, number / 20) for number in range(1, 13)]
    record = records.make_record(tracks=tracks, verdict=records.make_verdict(top_track=3))
    timeline = lay_out_timeline(record)
    assert [row.track.id for row in timeline.rows] == [3, 12, 11, 10, 9, 8, 7, 6]
    assert timeline.left_out == 12 - MAX_ROWS
    assert "4 further tracks are not drawn" in Page(render_page(record, [])).text


def test_curve_is_interrupted_where_the_face_was_gone(records: ModuleType) -> None:
    track = records.make_track(1, 0.5)
    kept = [sample for index, sample in enumerate(track.samples) if not 10 <= index < 15]
    row = lay_out_timeline(records.make_record(tracks=[track.model_copy(update={"samples": kept})])).rows[0]
    assert [len(segment) for segment in row.segments] == [10, 25]
    assert split_at_gaps([]) == ((),)


def test_spread_keeps_order_gap_and_limits() -> None:
    assert spread([10, 50], 5, 0, 100) == [10, 50]
    assert spread([1, 2, 99, 99], 10, 0, 100) == [1, 11, 90, 100]


def test_overlay_paints_only_where_heat_is() -> None:
    """A 2 x 2 map that is hot at the left: the cold right edge is unchanged, the hot one turns to inferno's yellow."""
    grey = np.full((80, 80, 3), 100, np.uint8)
    painted = overlay_heatmap(grey, np.array([[1, 0], [1, 0]], np.float32))
    assert np.array_equal(painted[:, -10:], grey[:, -10:])
    red, green, blue = painted[40, 2].astype(int)
    assert red > 180
    assert green > 180
    assert blue < green
    with pytest.raises(ValueError, match="0, 1"):
        overlay_heatmap(grey, np.full((2, 2), 1.5, np.float32))


def test_data_uri_decodes_to_the_picture_reduced(records: ModuleType) -> None:
    """Colours survive in RGB order, and 640 px become MAX_SHOWN_PX."""
    picture = np.zeros((640, 640, 3), np.uint8)
    picture[:, :320] = (200, 30, 60)
    raw = base64.b64decode(data_uri(picture).partition(",")[2])
    shown = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert shown.shape == (MAX_SHOWN_PX, MAX_SHOWN_PX, 3)
    assert np.abs(shown[100, 50].astype(int) - (200, 30, 60)).max() <= 4
    with pytest.raises(ValueError, match="uint8"):
        data_uri(np.zeros((4, 4), np.uint8))


def test_index_counts_and_lists(records: ModuleType) -> None:
    rows = [
        IndexEntry(records.make_record("a.mp4"), "a.html"),
        IndexEntry(records.make_record("b.mp4", verdict=records.make_verdict(0.1)), "b.html"),
        IndexEntry(records.make_failure("c.mp4"), "c.html"),
        IndexEntry(records.make_failure("d.mp4", Outcome.NO_FACE), "d.html"),
    ]
    html = render_index(rows)
    counts = re.findall(r"<strong>(\d+)</strong>", html)
    assert counts == ["1", "0", "1", "2"]  # fake, inconclusive, real, none
    assert [html.index(f'"./{name}.html"') for name in "abcd"] == sorted(
        html.index(f'"./{name}.html"') for name in "abcd"
    )
    assert "4 files analysed" in html
    assert "There are no files." in render_index([])


def test_rates_of_other_data_sets_are_listed(records: ModuleType) -> None:
    point = records.OPERATING_POINT.model_copy(
        update={"false_positive_rates": {"Celeb-DF": Interval(value=0.25, low=0.2, high=0.3, n=40)}}
    )
    verdict = records.make_verdict().model_copy(update={"operating_point": point})
    page = Page(render_page(records.make_record(verdict=verdict), []))
    assert page.fact("False positives, Celeb-DF") == "25.0 % (95 % interval 20.0 to 30.0 %, n = 40)"
