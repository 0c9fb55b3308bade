"""Flaws in the structure of a row, and which of them need no correction."""

from enum import StrEnum


class Flaw(StrEnum):
    """What is wrong with the structure of a row. The user corrects the first six; rows with one of the
    others contain no record."""

    WIDTH = "row.width"
    QUOTES = "row.quotes"
    ENCODING = "row.encoding"
    NUL = "row.nul"
    CUT_OFF = "row.cut_off"
    LENGTH = "row.length"
    BLANK = "blank_row"
    HEADER = "repeated_header"
    FOOTER = "report_footer"


# The message of each. The Table Schema standard has no names for rules about a complete row.
FLAWS = {
    Flaw.WIDTH: "has more or fewer cells than the header",
    Flaw.QUOTES: "has unbalanced quotes, so it cannot be split into cells",
    Flaw.ENCODING: "has bytes that are not text in the file's encoding",
    Flaw.NUL: "contains NUL bytes, which are typical of a damaged file",
    Flaw.CUT_OFF: "is incomplete, because the file ends in the middle of it",
    Flaw.LENGTH: "is too long to be read (more than 64 million characters); only its beginning is shown",
    Flaw.BLANK: "every cell is empty",
    Flaw.HEADER: "repeats the header",
    Flaw.FOOTER: "is a footer line that the export wrote after its last record",
}

# Rows that are skipped, and not rejected.
HARMLESS = frozenset({Flaw.BLANK, Flaw.HEADER, Flaw.FOOTER})
