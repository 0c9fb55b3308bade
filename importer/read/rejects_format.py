"""The format of CSV files of rejected rows: reason columns, and protection against formulas in cells."""

import csv
import re
from collections.abc import Callable, Sequence
from typing import TextIO

# The columns in front of the source's own columns in a file of rejects.
# `_source` identifies the source row, which the corrected row replaces.
REASON_COLUMNS = ("_line", "_column", "_rule", "_value", "_message", "_source")


_EXECUTED = re.compile(r"'*[=+\-@\t\r]")


_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def guarded(cell: str) -> str:
    """The cell with a `'` in front if a spreadsheet would execute it, or if it looks like a guarded cell."""
    return f"'{cell}" if _EXECUTED.match(cell) else cell


def unguarded(cell: str) -> str:
    """The inverse of `guarded`."""
    return cell[1:] if _GUARDED.match(cell) else cell


def row_writer(out: TextIO) -> Callable[[Sequence[object]], object]:
    """A function that writes a row as unambiguous CSV. The csv module does not quote a carriage return when
    it writes, but ends the line there when it reads."""
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[object]) -> object:
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        return (quoted if has_return else plain).writerow(row)

    return write
