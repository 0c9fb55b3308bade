"""Single source rows again, by number: with the line an editor shows and the cells as the file has them.

Only asked when something is wrong with a row, so it may read a file a second time.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from importer.read.files import SourceFile
from importer.read.parquet import parquet_frame
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
    """Out of a file that has one reading only, so that the csv module's is it."""
    wanted = iter(numbers)
    number = next(wanted, None)
    with file.text() as stream:
        reader = csv.reader(stream, delimiter=file.dialect.delimiter)
        next(reader)
        line = reader.line_num + 1
        for index, row in enumerate(reader):
            if index == number:
                yield Record(index, line, tuple(row))
                number = next(wanted, None)
            if number is None:
                return
            line = reader.line_num + 1


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
    wanted = pl.Series(numbers, dtype=pl.UInt32)
    frame = parquet_frame(file.readable, file.header)
    frame = frame.filter(pl.col("_record").is_in(wanted.implode())).sort("_record")
    for number, *cells in frame.select("_record", *file.header).collect(engine="streaming").iter_rows():
        yield Record(number, number + 1, tuple("" if cell is None else cell for cell in cells))
