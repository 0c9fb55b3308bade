"""What can be wrong with the shape of a row, and which of it needs no correction."""

from enum import StrEnum


class Flaw(StrEnum):
    """What is wrong with the shape of a row. The first five are for its owner to mend; rows with one of the
    others hold no record."""

    WIDTH = "row.width"
    QUOTES = "row.quotes"
    ENCODING = "row.encoding"
    NUL = "row.nul"
    CUT_OFF = "row.cut_off"
    BLANK = "blank_row"
    HEADER = "repeated_header"
    FOOTER = "report_footer"


# With what each says. Rules about a row as a whole have no word in the Table Schema standard.
FLAWS = {
    Flaw.WIDTH: "has more or fewer cells than the header",
    Flaw.QUOTES: "has a quote too many or too few, so where its cells end cannot be told",
    Flaw.ENCODING: "has bytes that are no text in the file's encoding",
    Flaw.NUL: "holds NUL bytes, as of a file that was torn",
    Flaw.CUT_OFF: "is the last one, and the file ends in the middle of it",
    Flaw.BLANK: "every cell is empty",
    Flaw.HEADER: "is the header once more",
    Flaw.FOOTER: "is a line of the report that wrote the file, behind its last record",
}


HARMLESS = frozenset({Flaw.BLANK, Flaw.HEADER, Flaw.FOOTER})
