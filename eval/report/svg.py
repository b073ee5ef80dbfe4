"""Figures of matplotlib as SVG that one page can hold many of: no shared ids, no leaking style, no foreign text inside.

Names from data never reach matplotlib, which would measure them, warn of glyphs it lacks, or take `$` for TeX. A figure
is drawn with place holders (`place_holder(0)`), and the names are put into the finished tree, where they can only be
text. Ids get the figure's prefix, metadata and the style sheet (it would hold for the whole page) go, fonts become the
page's. The same figure gives the same bytes.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from forensics.report.html import reveal_hidden

SVG = "{http://www.w3.org/2000/svg}"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
# With this, one unit of the drawing is one CSS pixel at full size.
UNITS_PER_INCH = 72
# The page's light style: figures lie on a white card in the dark one too.
INK, MUTED, LINE, HAIR = "#1c2227", "#58626a", "#c9c7be", "#e7e5dd"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "deepfake-forensics",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that every machine measures alike
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": HAIR,
    "grid.linewidth": 1,
    "hatch.linewidth": 1,
    "path.simplify": False,  # curves are thinned before they are drawn, by a known tolerance
}
PLACE_HOLDER = re.compile(r"@(\d+)@")
# What XML 1.0 cannot hold although it is no control character.
NOT_XML = re.compile("[\ufffe\uffff]")
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
FONT = re.compile(r"font:\s*(?P<words>[a-z0-9 ]*?)\s*(?P<size>[\d.]+px)[^;]*|font-family:[^;]*;\s*")


@contextmanager
def drawing() -> Iterator[None]:
    """The style of all figures, whatever the user's own matplotlib is set to; figures are made and inlined within."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def new_figure(width_px: float, height_px: float) -> Figure:
    """An empty figure of a size in CSS pixels, without a background of its own."""
    figure = Figure(figsize=(width_px / UNITS_PER_INCH, height_px / UNITS_PER_INCH), dpi=UNITS_PER_INCH)
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    return figure


def place_holder(number: int) -> str:
    """What to draw where the name of that number shall stand."""
    return f"@{number}@"


def inline_svg(figure: Figure, prefix: str, alternative: str, names: Sequence[str] = ()) -> Markup:
    """The figure as an <svg> element to stand in a page.

    prefix: makes its ids unique within the page; letters, digits and dashes. alternative: what a screen reader says.
    names: texts of the place holders; characters without a glyph are shown by their code point.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - what matplotlib has just drawn, free of foreign text
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    for element in root.iter():
        _clean(element, prefix)
        found = PLACE_HOLDER.fullmatch(element.text or "")
        if found is not None:
            element.text = _shown(names[int(found[1])])
    size = [float(value) for value in root.attrib["viewBox"].split()[2:]]
    root.attrib = {
        "class": "plot",
        "viewBox": f"0 0 {size[0]:g} {size[1]:g}",
        "width": f"{size[0]:g}",
        "height": f"{size[1]:g}",
        "role": "img",
        "aria-label": _shown(alternative),
        # What matplotlib says in its style sheet.
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - serialised, so escaped


def _clean(element: ElementTree.Element, prefix: str) -> None:
    """One element without ids that nothing refers to, with prefixed references, the page's font, and short numbers."""
    element.tag = element.tag.removeprefix(SVG)  # inside HTML, elements have no name space of their own
    attributes = element.attrib
    name = attributes.pop("id", None)
    if name is not None and element.tag in ("clipPath", "pattern", "path"):
        attributes["id"] = f"{prefix}-{name}"
    target = attributes.pop(XLINK_HREF, None)
    if target is not None:
        attributes["href"] = f"#{prefix}-{target.removeprefix('#')}"
    for key, value in attributes.items():
        if key in ("d", "x", "y", "width", "height", "transform"):
            attributes[key] = LONG_NUMBER.sub(_shorten, " ".join(value.split()))
    for key in ("clip-path", "style"):
        if key in attributes:
            attributes[key] = REFERENCE.sub(rf"url(#{prefix}-\1)", attributes[key])
    if element.tag == "text":
        attributes["style"] = FONT.sub(_font, attributes.get("style", ""))
        if attributes.get("transform", "").startswith("rotate(-0 "):
            del attributes["transform"]
    if not (element.text or "").strip():
        element.text = None
    element.tail = None


def _shown(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", reveal_hidden(text))


def _shorten(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _font(found: re.Match[str]) -> str:
    if found["size"] is None:
        return ""
    words = found["words"].strip()
    return f"font-size: {found['size']}" + (f"; font-weight: {words}" if words else "")
