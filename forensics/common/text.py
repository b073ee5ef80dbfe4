"""Text that comes from outside, made fit for where it is shown."""


def printable(text: str) -> str:
    """File names may hold bytes that are not text: they are shown escaped, so that a record can always be written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def terminal_line(text: str) -> str:
    """One line without control or direction characters, which could move the cursor, hide text, or forge output."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in printable(text))


# A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(text: str) -> str:
    """Text that a spreadsheet will not take for a formula; `uncsv_cell` gives it back."""
    return f"'{text}" if text.removeprefix("'").startswith(FORMULA_STARTS) else text


def uncsv_cell(cell: str) -> str:
    """What `csv_cell` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].removeprefix("'").startswith(FORMULA_STARTS) else cell
