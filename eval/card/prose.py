"""The words of a card that no file of results can give: named blocks of Markdown.

A block begins with a line `<!-- block: NAME -->` and ends where the next one begins. Its text stands as it is, so that a
person can link and emphasise; what precedes the first block is a note to the writer. A measured figure may not be typed
into it: figures go stale, and those of the card come from files.
"""

import re

from forensics.common.errors import UsageError

# In the order in which a card shows them; the others may be left out.
REQUIRED = ("about", "use", "not-for", "data", "limits")
OPTIONAL = ("recipe", "generators")
BLOCK = re.compile(r"^<!-- block: (\S+) -->[ \t]*$", re.MULTILINE)
# A share in percent, a decimal from 0 to 1 with two places or more (the shape of an AUC), or any behind the word AUC.
TYPED_FIGURE = re.compile(
    r"\d(?:\s|&nbsp;)*(?:%|per\s?cent)|(?<![\d.])[01]\.\d{2,}(?![\d.])|(?<![\w.])\.\d{2,}(?!\w)"
    r"|\bAUC\b[^.\d]{0,20}[01]?\.\d(?!\d)",
    re.IGNORECASE,
)
LINK = re.compile(r"\]\([^)]*\)|https?://\S+")


def read_prose(text: str, name: str) -> dict[str, str]:
    """The blocks by name, without empty ones. `name` is the file's, for errors.

    Raises UsageError for blocks that are unknown, there twice, missing, or that hold a measured figure.
    """
    parts = BLOCK.split(text)[1:]
    blocks: dict[str, str] = {}
    for block, body in zip(parts[::2], parts[1::2], strict=True):
        if block not in (*REQUIRED, *OPTIONAL):
            raise UsageError(f"{name}: no block is called '{block}'", f"blocks: {', '.join((*REQUIRED, *OPTIONAL))}")
        if block in blocks:
            raise UsageError(f"{name}: block '{block}' is there twice", "put its text together")
        blocks[block] = body.strip()
        figure = TYPED_FIGURE.search(LINK.sub("", body))
        if figure:
            raise UsageError(
                f"{name}: block '{block}' types the figure '{figure[0]}'",
                "figures of a card come from files of results: say it in words, or link to where it is measured",
            )
    missing = [block for block in REQUIRED if not blocks.get(block)]
    if missing:
        raise UsageError(f"{name} lacks the block '{missing[0]}'", f"a line `<!-- block: {missing[0]} -->`, then text")
    return {block: body for block, body in blocks.items() if body}
