"""CSV that is safe in a spreadsheet: cells that it would execute begin with a `'`, which is removed when they
are read back. Every CSV that a run writes for people is written here."""

import csv
import re
from collections.abc import Callable, Sequence
from typing import TextIO

WriteRow = Callable[[Sequence[object]], object]

_EXECUTED = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def guarded(cell: str) -> str:
    """The cell with a `'` in front if a spreadsheet would execute it, or if it looks like a guarded cell."""
    return f"'{cell}" if _EXECUTED.match(cell) else cell


def unguarded(cell: str) -> str:
    """The inverse of `guarded`."""
    return cell[1:] if _GUARDED.match(cell) else cell


def row_writer(out: TextIO) -> WriteRow:
    """A function that writes a row as unambiguous CSV. The csv module does not quote a carriage return when
    it writes, but ends the line there when it reads."""
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[object]) -> object:
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        return (quoted if has_return else plain).writerow(row)

    return write


def guarded_row_writer(out: TextIO) -> WriteRow:
    """The same with every text guarded."""
    write = row_writer(out)
    return lambda row: write([guarded(cell) if isinstance(cell, str) else cell for cell in row])
