"""What a table is before it is judged: its files, and their rows as lazy frames of text."""

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
    """A file as it became part of a table."""

    file: SourceFile
    # The kind of file that it was read as.
    part: Part
    # Canonical name → the headers of which the first that is not empty has the value.
    columns: Mapping[str, Sequence[str]]
    # What its bytes show, once that has been checked; None where it was copied row by row or is Parquet.
    structure: Future[Structure] | None = None
    # What was found out about it, for the user.
    notes: tuple[str, ...] = ()
    # Whether each of its records is one row of the table.
    is_each: bool = True

    @property
    def rows(self) -> int | None:
        """How many rows it must make of the table; None where that is not known."""
        if not self.is_each:
            return None
        return self.structure.result().records - 1 if self.structure else self.file.rows

    def shown(self, canonical: str, record: int, cells: Mapping[str, str]) -> "Shown":
        """What stands for a canonical value in the source row of a `_record`: of several headers the first
        under which anything stands; of a row out of a cell the item in that."""
        headers = self.columns.get(canonical, ())
        each = self.part.each
        if each and any(header in items.item_names(each, self.file.header) for header in headers):
            number, value = items.item_at(self.file, self.part, record, cells)
            return Shown(each.column, value, f"{canonical} of item {number}: ")
        header = next((h for h in headers if cells.get(h)), headers[0] if headers else "")
        return Shown(header, cells.get(header, ""))


@dataclass(frozen=True, slots=True)
class Shown:
    """A header and its cell; `of` says which part of the cell is meant, where it is not all of it."""

    header: str
    value: str
    of: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a table that know nothing of others: `read` makes them, with any care, out of `source`, a
    file's rows as they stand there."""

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
    # The headers that nothing takes.
    unused: tuple[str, ...]
    # The rows of messages out of which tickets are gathered, with what each says of its ticket.
    scattered: tuple[pl.LazyFrame, ...] = ()
    # The canonical columns of which anything is known, then `custom.<name>`.
    given: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        """Whether the rows are tickets that were gathered out of messages."""
        return bool(self.scattered)

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(origin.file for origin in self.origins)

    @property
    def columns(self) -> tuple[Mapping[str, Sequence[str]], ...]:
        return tuple(origin.columns for origin in self.origins)

    @property
    def frame(self) -> pl.LazyFrame:
        """The table as one, for a look at it."""
        evaluator = FullEvaluator()
        pieces = [piece.read(piece.source, evaluator) for piece in self.pieces]
        return pl.concat([*pieces, *self.frames], how="diagonal")
