"""Single source rows again, by number: with the line an editor shows and the cells as the file has them.

Only asked when something is wrong with a row, so it may read a file a second time.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from importer.read.files import SourceFile
from importer.read.parquet import parquet_frame


@dataclass(frozen=True, slots=True)
class Record:
    """`line` is the 1-based line on which the row begins (in Parquet, the 1-based row)."""

    number: int
    line: int
    cells: tuple[str, ...]


def fetch(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    """The rows of these numbers (0-based, ascending, header not counted)."""
    yield from _from_csv(file, numbers) if file.kind == "csv" else _from_parquet(file, numbers)


def fault(file: SourceFile) -> str | None:
    """What makes a CSV file unreadable, `path:line: …`, or None where nothing is found."""
    if file.kind != "csv":
        return None
    line = 1
    try:
        with file.text() as stream:
            rows = csv.reader(stream, delimiter=file.delimiter, strict=True)
            for row in rows:
                if len(row) > len(file.header):
                    return (
                        f"{file.path}:{line}: has {len(row)} cells where the header has {len(file.header)}; "
                        "a cell with the delimiter in it must stand in quotes"
                    )
                line = rows.line_num + 1
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        return (
            f"{file.path}: after line {line}: byte {byte:#x} is no {file.encoding_name}; "
            "set the table's encoding"
        )
    except csv.Error as error:
        return f"{file.path}:{line}: {error}; the row that begins here has a quote too many or too few"
    except (OSError, EOFError) as error:
        return f"{file.path}: after line {line}: cannot be read on: {error}"
    return None


def _from_csv(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    wanted = iter(numbers)
    number = next(wanted, None)
    with file.text() as stream:
        rows = csv.reader(stream, delimiter=file.delimiter)
        next(rows)
        line = rows.line_num + 1
        for index, row in enumerate(rows):
            if index == number:
                yield Record(index, line, tuple(row))
                number = next(wanted, None)
            if number is None:
                return
            line = rows.line_num + 1


def _from_parquet(file: SourceFile, numbers: Sequence[int]) -> Iterator[Record]:
    wanted = pl.Series(numbers, dtype=pl.UInt32)
    frame = parquet_frame(file.path).filter(pl.col("_record").is_in(wanted.implode())).sort("_record")
    for number, *cells in frame.select("_record", *file.header).collect(engine="streaming").iter_rows():
        yield Record(number, number + 1, tuple("" if cell is None else cell for cell in cells))
