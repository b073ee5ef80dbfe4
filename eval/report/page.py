"""What the pages of a benchmark share: the environment of their templates, with the rules of the scan report's pages."""

from collections.abc import Sequence
from functools import cache
from itertools import groupby

from jinja2 import ChoiceLoader, Environment, PackageLoader

from eval.report.markdown import shown_value
from eval.report.tables import Row
from forensics.report.html import OUTCOMES, format_bound, make_environment

MAX_PATH = 90
GROUP_TITLES = {"generator": "By generator", "data set": "By data set", "pooled": "Together"}


def shorten_middle(text: str, limit: int = MAX_PATH) -> str:
    """A path whose beginning and end are shown: the folder and the file's own name."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 3]}…{text[limit // 3 + 1 - limit :]}"


def group_rows(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Neighbouring rows of one group together, in their order."""
    return [(group, list(own)) for group, own in groupby(rows, key=lambda row: row.group)]


@cache
def page_environment() -> Environment:
    """Templates of this room, then those that they extend: base.html.j2, style.css.j2, macros.html.j2."""
    environment = make_environment(ChoiceLoader([PackageLoader("eval.report"), PackageLoader("forensics.report")]))
    environment.filters.update(
        bound=format_bound,
        shown=shown_value,
        outcome=OUTCOMES.__getitem__,
        middle=shorten_middle,
        groupby_in_order=group_rows,
    )
    environment.globals.update(GROUP_TITLES=GROUP_TITLES)
    return environment
