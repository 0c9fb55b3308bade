"""Fetch single source rows by number, with their line in an editor and their original cells.

Rows are fetched only where something is wrong with them, so a file may be read a second time.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from importer.read.csv.exact_rows import exact_rows
from importer.read.csv.structure import records
from importer.read.flaws import FLAWS, HARMLESS
from importer.read.frames import raw_frame
from importer.read.source_file import SourceFile


@dataclass(frozen=True, slots=True)
class Record:
    """A source row. `line` is the 1-based line on which it begins (in Parquet, the 1-based row)."""

    number: int
    line: int
    cells: tuple[str, ...]


def fetch(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    """The rows with these numbers (0-based, ascending, header not counted), in order."""
    if file.kind == "parquet":
        yield from _from_parquet(file, numbers)
    elif file.is_copy:
        yield from _from_rows(file, numbers)
    else:
        yield from _from_csv(file, numbers)


def find_fault(file: SourceFile) -> str | None:
    """What makes a CSV file unreadable, as `path:line: …`; None where nothing is found, or for Parquet."""
    if file.kind != "csv":
        return None
    try:
        for row in exact_rows(file):
            if row.flaw is not None and row.flaw not in HARMLESS:
                return f"{file.path}:{row.line}: {FLAWS[row.flaw]}"
    except (OSError, EOFError) as error:
        return f"{file.path}: cannot be read further: {error}"
    return None


def _from_csv(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    """From a file that has passed its structure check, so that every CSV reader finds the same cells."""
    with file.plain_bytes() as stream:
        found = records(stream, [number + 1 for number in numbers])
        for number, (line, data) in zip(numbers, found, strict=True):
            lines = io.StringIO(data.decode("utf-8").removesuffix("\n").removesuffix("\r"), newline="")
            (cells,) = csv.reader(lines, delimiter=file.dialect.delimiter, strict=True)
            yield Record(number, line, tuple(cells))


def _from_rows(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    wanted = iter(numbers)
    number = next(wanted, None)
    for row in exact_rows(file):
        if row.number == number:
            yield Record(row.number, row.line, row.cells)
            number = next(wanted, None)
        if number is None:
            return


def _from_parquet(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    wanted = pl.LazyFrame({"_record": numbers}, schema={"_record": pl.UInt64})
    found = (
        raw_frame(file).with_columns(pl.col("_record").cast(pl.UInt64)).join(wanted, on="_record", how="semi")
    )
    cells = found.sort("_record").select("_record", *file.header).collect(engine="streaming")
    for number, *row in cells.iter_rows():
        yield Record(number, number + 1, tuple("" if cell is None else cell for cell in row))
