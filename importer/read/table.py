"""A table before it is judged: its files, and their rows as lazy frames of text."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import polars as pl

from importer.migration.presets import Part
from importer.parse.fastpath import Evaluator, FullEvaluator
from importer.read.csv.structure import Structure
from importer.read.mapping import explode as items
from importer.read.source_file import SourceFile
from importer.tables.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that contributes rows to a table."""

    file: SourceFile
    # The kind of file that it was read as.
    part: Part
    # Canonical name → headers. The first one with a non-empty cell has the value.
    columns: Mapping[str, Sequence[str]]
    # Its structure check; None where it was copied row by row or is Parquet.
    structure: Future[Structure] | None = None
    # What was detected, for the user.
    notes: tuple[str, ...] = ()
    # Whether each of its records is one row of the table.
    is_each: bool = True

    @property
    def rows(self) -> int | None:
        """How many rows of the table it must have; None where that is not known. Waits for the structure
        check."""
        if not self.is_each:
            return None
        return self.structure.result().records - 1 if self.structure else self.file.rows

    def shown(self, canonical: str, record: int, cells: Mapping[str, str]) -> "Shown":
        """The header and cell from which a canonical value of the source row of a `_record` comes.

        Of several headers it is the first one with a non-empty cell. Where the row comes from a cell, the
        value is its item in that cell.
        """
        headers = self.columns.get(canonical, ())
        each = self.part.each
        if each and any(header in items.item_names(each, self.file.header) for header in headers):
            number, value = items.item_at(self.file, self.part, record, cells)
            return Shown(each.column, value, f"{canonical} of item {number}: ")
        header = next((h for h in headers if cells.get(h)), headers[0] if headers else "")
        return Shown(header, cells.get(header, ""))


@dataclass(frozen=True, slots=True)
class Shown:
    """A header and its cell. `of` says which part of the cell is meant, where it is not the complete cell."""

    header: str
    value: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a table that do not depend on others. `read` makes them from `source`, the original rows of a
    file, with a full or a fast evaluator."""

    source: pl.LazyFrame
    read: Callable[[pl.LazyFrame, Evaluator], pl.LazyFrame]


@dataclass(frozen=True, slots=True)
class Scanned:
    """A table before it is judged. All frames have the columns of tables/frames.py: SCANNED and `given`."""

    schema: TableSchema
    # Rows that can be judged one by one, file by file.
    pieces: tuple[Piece, ...]
    # Rows that had to be seen together, such as the newest of several versions.
    frames: tuple[pl.LazyFrame, ...]
    # The files; `_file` is an index into this.
    origins: tuple[Origin, ...]
    # The headers that nothing uses.
    unused: tuple[str, ...]
    # The message rows from which tickets are gathered, with the values of the ticket in each.
    scattered: tuple[pl.LazyFrame, ...] = ()
    # The canonical columns that have values, then `custom.<name>`.
    given: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        """Whether the rows are tickets that were gathered from messages."""
        return bool(self.scattered)

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(origin.file for origin in self.origins)

    @property
    def columns(self) -> tuple[Mapping[str, Sequence[str]], ...]:
        return tuple(origin.columns for origin in self.origins)

    @property
    def frame(self) -> pl.LazyFrame:
        """All rows of the table as one frame. Files are read again each time it is collected."""
        evaluator = FullEvaluator()
        pieces = [piece.read(piece.source, evaluator) for piece in self.pieces]
        return pl.concat([*pieces, *self.frames], how="diagonal")
