"""The HTML rendering of an inspection's record, under the rules of all pages (`forensics.report.html`).

Order of a reader's questions: what was found, how far it supports anything, finding by finding, what was not run, what
is needed to repeat it.
"""

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader

from forensics.report.evidence import EvidenceRecord
from forensics.report.findings import by_weight
from forensics.report.html import make_environment
from forensics.report.pictures import map_uri


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
            maps={name: map_uri(data) for name, data in pictures.items()},
        )
    )


@cache
def _environment() -> Environment:
    return make_environment(PackageLoader("forensics.report"))
