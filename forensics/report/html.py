"""The HTML rendering of records: one page per input, and an index of many.

A page is one file: no script, no request, pictures inside (a Content-Security-Policy says so to the browser). The
template holds the prose, this module the numbers. Two rules hold for every expression of every template, because the
environment applies them: what is missing reads "not available", and characters that would hide or reorder text (control
and format characters of Unicode, such as the right-to-left override) are shown by their code point.

Language: SWGDE Best Practices for Digital Image Authentication and the ENFSI Guideline for Evaluative Reporting in
Forensic Science (2015), whose verbal scale words the likelihood ratio.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from forensics.analysis.protocol import Measure
from forensics.common.outcomes import Outcome
from forensics.detectors.model_set import FUSIONS
from forensics.report.findings import by_weight
from forensics.report.pictures import MAX_SHOWN_PX, MomentPicture, crop_uri, heatmap_uri, map_uri, pixels_sha256
from forensics.report.plot import lay_out_plot
from forensics.report.record import Interval, MomentPart, Record
from forensics.report.summary import face_count
from forensics.report.timeline import lay_out_timeline, moment_number

NOT_AVAILABLE = "not available"

# Upper ends of the ENFSI scale's steps for a likelihood ratio above one.
ENFSI_SCALE = (
    (2.0, "no support for either"),
    (10.0, "weak support"),
    (100.0, "moderate support"),
    (1_000.0, "moderately strong support"),
    (10_000.0, "strong support"),
    (1_000_000.0, "very strong support"),
    (math.inf, "extremely strong support"),
)

OUTCOMES = {
    Outcome.SCORED: "scored",
    Outcome.NO_FACE: "no face was found",
    Outcome.TOO_SMALL: "the faces are too small to be judged",
    Outcome.UNREADABLE: "the file could not be read",
    Outcome.NO_VIDEO: "the file holds no picture or video stream",
    Outcome.LIMIT_EXCEEDED: "a limit was exceeded before the analysis ended",
    Outcome.DETECTOR_ERROR: "a detector failed",
}

# What a picture that was judged as a whole has in place of faces.
PICTURE_OUTCOMES = {**OUTCOMES, Outcome.TOO_SMALL: "the picture is too small to be judged"}

VERDICTS = ("likely fake", "inconclusive", "likely real")
NO_VERDICT = "no verdict"

# Unicode categories without a glyph of their own: control, format, lone surrogate, line and paragraph separator.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class IndexEntry:
    """One line of an index: a record, and the name of its page relative to the index."""

    record: Record
    page: str


@dataclass(frozen=True)
class ShownMoment:
    """A moment of the record with its pictures; those that were not given are None."""

    number: int
    part: MomentPart
    is_key: bool
    crop: str | None
    crop_px: int | None
    heatmap: str | None


def render_page(record: Record, pictures: Sequence[MomentPicture], maps: Mapping[str, bytes] | None = None) -> str:
    """The page of one record. The same record and pictures give the same text.

    pictures: at most one per moment of the record, in any order; a moment without one says so. maps: those of its
    findings, PNG by file name; likewise.
    Raises ValueError for a picture that no moment names or whose pixels are not those that the moment's hash names.
    """
    timeline = lay_out_timeline(record)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            record=record,
            view=record.input.view,
            moments=match_pictures(record, pictures),
            timeline=timeline,
            findings=by_weight(record.evidence.findings) if record.evidence is not None else [],
            maps={name: map_uri(data) for name, data in (maps or {}).items()},
            pinned={pin.point.moment for row in timeline.rows for pin in row.pins} if timeline is not None else set(),
        )
    )


def render_index(entries: Sequence[IndexEntry]) -> str:
    """The overview of many records, in the order given."""
    labels = [entry.record.verdict.label if entry.record.verdict is not None else NO_VERDICT for entry in entries]
    counts = {label: labels.count(label) for label in (*VERDICTS, NO_VERDICT)}
    return _environment().get_template("index.html.j2").render(entries=entries, counts=counts)


def match_pictures(record: Record, pictures: Sequence[MomentPicture]) -> list[ShownMoment]:
    """The record's moments, in its order and numbered from 1, each with its picture.

    Raises ValueError as render_page does.
    """
    by_number: dict[int, MomentPicture] = {}
    for picture in pictures:
        number = moment_number(record.moments, picture.track, picture.timestamp_s)
        if number is None:
            raise ValueError(f"no moment of the record is track {picture.track} at {picture.timestamp_s} s")
        if pixels_sha256(picture.crop) != record.moments[number - 1].crop_sha256:
            raise ValueError(f"the crop of moment {number} is not the one that the record's hash names")
        by_number[number] = picture

    key, verdict = None, record.verdict
    if verdict is not None and verdict.top_track is not None and verdict.key_moment_s is not None:
        key = moment_number(record.moments, verdict.top_track, verdict.key_moment_s)
    shown = []
    for number, part in enumerate(record.moments, 1):
        found = by_number.get(number)
        shown.append(
            ShownMoment(
                number=number,
                part=part,
                is_key=number == key,
                crop=crop_uri(found) if found is not None else None,
                crop_px=found.crop.shape[0] if found is not None else None,
                heatmap=heatmap_uri(found) if found is not None else None,
            )
        )
    return shown


def reveal_hidden(text: str) -> str:
    """The text with each character that has no glyph of its own written as its code point, `[U+202E]`."""
    return "".join(
        f"[U+{ord(character):04X}]" if unicodedata.category(character) in HIDDEN_CATEGORIES else character
        for character in text
    )


def format_share(value: float | None) -> str | None:
    """A score or probability with three decimals; never 0 or 1, which no measurement supports."""
    if value is None or not math.isfinite(value):
        return None
    if value > 0.999:
        return "> 0.999"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_bound(value: float) -> str:
    """A threshold: as many decimals as it has, up to four, at least two."""
    text = f"{value:.4f}".rstrip("0")
    return text + "0" * (2 - len(text.partition(".")[2]))


def format_rate(interval: Interval | None) -> str | None:
    """An error rate in percent with its interval and what it was counted on."""
    if interval is None:
        return None
    value, low, high = (f"{100 * share:.1f}" for share in (interval.value, interval.low, interval.high))
    return f"{value} % (95 % interval {low} to {high} %, n = {interval.n})"


def format_seconds(value: float | None) -> str | None:
    """A time in seconds; from one minute on with minutes beside it."""
    if value is None:
        return None
    if value < 60:
        return f"{value:.2f} s"
    return f"{value:.2f} s ({int(value // 60)}:{value % 60:05.2f})"


def format_tick(value: float, in_minutes: bool) -> str:
    """The label of a time axis: `12.5 s`, or `3:20` where it counts minutes."""
    return f"{int(value // 60)}:{int(value % 60):02d}" if in_minutes else f"{value:g} s"


def format_bytes(value: int | None) -> str | None:
    """A file size, exact, and rounded in decimal units."""
    if value is None:
        return None
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value:,} bytes ({value / factor:.1f} {unit})"
    return f"{value} bytes"


def format_measure(value: Measure) -> str:
    """A number, text or truth that an analysis measured."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


def describe_outcome(outcome: Outcome, view: str = "scene") -> str:
    """An outcome in words, which do not speak of faces where none was looked for."""
    return (PICTURE_OUTCOMES if view == "whole" else OUTCOMES)[outcome]


def describe_ratio(ratio: float | None, view: str = "scene") -> str | None:
    """A likelihood ratio as a sentence, with its step of the ENFSI verbal scale; None for one that is not positive.

    view: the record's; in `whole` it is a picture that is real or fake.
    """
    if ratio is None or not math.isfinite(ratio) or ratio <= 0:
        return None
    times, likelier, other = (ratio, "fake", "real") if ratio >= 1 else (1 / ratio, "real", "fake")
    support = next(words for upper, words in ENFSI_SCALE if times < upper) + " (ENFSI scale)"
    thing = "picture" if view == "whole" else "face"
    if times < ENFSI_SCALE[0][0]:
        return f"Such a score is about as likely for a fake as for a real {thing}: {support}."
    amount = f"{times:.1f}" if times < 10 else f"{float(f'{times:.2g}'):,.0f}"
    return f"Such a score is about {amount} times likelier for a {likelier} than for a {other} {thing}: {support}."


def _finalize(value: Any) -> Any:
    """What every expression of a template passes before it is escaped."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOT_AVAILABLE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and not isinstance(value, Markup):
        return reveal_hidden(value)
    return value


def _page_address(page: str) -> str:
    """A relative address: whatever the name says, it stays a path (`javascript:` becomes a file of that name)."""
    return "./" + quote(page, safe="/", errors="surrogateescape")


def make_environment(loader: BaseLoader) -> Environment:
    """The rules of all pages: everything is escaped, nothing is undefined, what is missing or hidden is said."""
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        rate=format_rate, seconds=format_seconds, size=format_bytes, shown=format_measure, plot=lay_out_plot
    )
    return environment


@cache
def _environment() -> Environment:
    environment = make_environment(PackageLoader("forensics.report"))
    environment.filters.update(
        share=format_share,
        bound=format_bound,
        tick=format_tick,
        ratio=describe_ratio,
        address=_page_address,
        outcome=describe_outcome,
        face_count=face_count,
    )
    environment.globals.update(NO_VERDICT=NO_VERDICT, MAX_SHOWN_PX=MAX_SHOWN_PX, FUSIONS=FUSIONS)
    return environment
