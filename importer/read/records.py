"""Single source rows again, by number: with the line an editor shows and the cells as the file has them.

Only asked when something is wrong with a row, so it may read a file a second time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from importer.read.files import SourceFile
from importer.read.frames import raw_frame
from importer.read.proof import lines
from importer.read.rows import FLAWS, HARMLESS, rows


@dataclass(frozen=True, slots=True)
class Record:
    """`line` is the 1-based line on which the row begins (in Parquet, the 1-based row)."""

    number: int
    line: int
    cells: tuple[str, ...]


def fetch(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    """The rows of these numbers (0-based, ascending, header not counted)."""
    if file.kind == "parquet":
        yield from _from_parquet(file, numbers)
    elif file.is_copy:
        yield from _from_rows(file, numbers)
    else:
        yield from _from_csv(file, numbers)


def fault(file: SourceFile) -> str | None:
    """What makes a CSV file unreadable, `path:line: …`, or None where nothing is found."""
    if file.kind != "csv":
        return None
    try:
        for row in rows(file):
            if row.flaw is not None and row.flaw not in HARMLESS:
                return f"{file.path}:{row.line}: {FLAWS[row.flaw]}"
    except (OSError, EOFError) as error:
        return f"{file.path}: cannot be read on: {error}"
    return None


def _from_csv(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    """Out of a file that has one reading only: the cells as polars reads them, the lines by its bytes."""
    cells = _cells(raw_frame(file), file, numbers)
    with file.plain_bytes() as stream:
        where = lines(stream, [number + 1 for number in numbers])
        for (number, *row), line in zip(cells, where, strict=True):
            yield Record(number, line, tuple("" if cell is None else cell for cell in row))


def _from_rows(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    wanted = iter(numbers)
    number = next(wanted, None)
    for row in rows(file):
        if row.number == number:
            yield Record(row.number, row.line, row.cells)
            number = next(wanted, None)
        if number is None:
            return


def _from_parquet(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    for number, *row in _cells(raw_frame(file), file, numbers):
        yield Record(number, number + 1, tuple("" if cell is None else cell for cell in row))


def _cells(frame: pl.LazyFrame, file: SourceFile, numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    wanted = pl.LazyFrame({"_record": numbers}, schema={"_record": pl.UInt64})
    found = frame.with_columns(pl.col("_record").cast(pl.UInt64)).join(wanted, on="_record", how="semi")
    return found.sort("_record").select("_record", *file.header).collect(engine="streaming").iter_rows()
