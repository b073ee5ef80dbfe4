"""The HTML rendering of an inspection's record, under the rules of all pages (`forensics.report.html`).

Order of a reader's questions: what was found, how far it supports anything, finding by finding, what was not run, what
is needed to repeat it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader

from forensics.report.evidence import EvidenceRecord, FindingPart
from forensics.report.html import format_bytes, format_rate, format_seconds, make_environment
from forensics.report.pictures import data_uri
from forensics.report.plot import lay_out_plot

# Wide enough to see a region of a map, small enough that a page of ten can be sent by mail.
MAP_PX = 900
MAP_QUALITY = 80
# What a reader wants to see first.
ORDER = ("inconsistent", "suspicious", "consistent", "inconclusive", "not applicable")


def render_evidence(record: EvidenceRecord, pictures: Mapping[str, bytes]) -> str:
    """The page of one record; pictures: its maps, PNG by file name (one that is missing is said to be).

    The same record and pictures give the same text.
    """
    return (
        _environment()
        .get_template("evidence.html.j2")
        .render(
            record=record,
            findings=by_weight(record.findings),
            maps={name: _uri(data) for name, data in pictures.items()},
            counts={state: sum(part.state == state for part in record.findings) for state in ORDER},
        )
    )


def by_weight(findings: Sequence[FindingPart]) -> list[FindingPart]:
    """Findings in the order in which a reader wants them; of one state, in that of the record."""
    return sorted(findings, key=lambda part: ORDER.index(part.state))


def _uri(data: bytes) -> str | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else data_uri(np.ascontiguousarray(picture[..., ::-1]), MAP_PX, MAP_QUALITY)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


@cache
def _environment() -> Environment:
    environment = make_environment(PackageLoader("forensics.report"))
    environment.filters.update(
        seconds=format_seconds, size=format_bytes, rate=format_rate, shown=_shown, plot=lay_out_plot
    )
    environment.globals.update(ORDER=ORDER)
    return environment
