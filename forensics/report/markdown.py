"""Names that come from data, made fit to stand in Markdown (GitHub Flavored Markdown Spec 0.29).

Whatever they hold, they stay text: no markup, link, mention, formula or HTML.
"""

import re

from forensics.report.html import reveal_hidden

# Characters that begin markup wherever they stand, and those of a bare address, of which GitHub makes a link; an
# underscore between letters begins nothing.
MARKUP = re.compile(r"[\\`*\[\]<>|~$&]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|:(?=//)|(?<=www)\.", re.IGNORECASE)
# What would begin a heading or a list where a block begins with it.
BLOCK_START = re.compile(r"^( {0,3}\d{0,9})([-+#.)])(?=#*\s)")
# GitHub looks for people and issues in what is left after that, so something must stand between.
MENTION = re.compile(r"@(?=\w)|#(?=\d)")


def markdown_text(text: str) -> str:
    """Foreign text on one line, with nothing in it that Markdown, GitHub's included, would take for markup."""
    escaped = BLOCK_START.sub(r"\1\\\2", MARKUP.sub(r"\\\g<0>", reveal_hidden(text)))
    return MENTION.sub(r"\g<0><!-- -->", escaped)
