"""The CSV files of rejected rows: their reason columns, and cells that no spreadsheet executes."""

import csv
import re
from collections.abc import Callable, Sequence
from typing import TextIO

# What stands before the source's own columns in a file of rejects.
# `_source` says which row it was, for the mended one to stand for it.
REASON_COLUMNS = ("_line", "_column", "_rule", "_value", "_message", "_source")


_EXECUTED = re.compile(r"'*[=+\-@\t\r]")


_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def guarded(cell: str) -> str:
    """The cell with a `'` before it if a spreadsheet would execute it, or if it looks like one guarded so."""
    return f"'{cell}" if _EXECUTED.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that `guarded` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def row_writer(out: TextIO) -> Callable[[Sequence[object]], object]:
    """Writes rows as CSV that has one reading only. The csv module leaves a carriage return without quotes,
    and takes it for the end of a line when it reads."""
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[object]) -> object:
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        return (quoted if has_return else plain).writerow(row)

    return write
