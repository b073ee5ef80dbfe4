"""Text that comes from outside, made fit for where it is shown."""


def printable(text: str) -> str:
    """File names may hold bytes that are not text: they are shown escaped, so that a record can always be written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def terminal_line(text: str) -> str:
    """One line without control or direction characters, which could move the cursor, hide text, or forge output."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in printable(text))
