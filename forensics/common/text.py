"""Text that comes from outside, made fit for where it is shown."""


def printable(text: str) -> str:
    """Names may hold bytes that are not text, or (in JSON) halves of characters: both are shown escaped, so that a record
    can always be written.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte of a file name
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


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


def number_or_csv_cell(text: str) -> str:
    """As `csv_cell`, but numbers stay as they are: no spreadsheet takes -0.5 for a formula."""
    try:
        float(text)
    except ValueError:
        return csv_cell(text)
    return text
