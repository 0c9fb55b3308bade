"""Scan the tables of a migration. The fastest mode of reading comes first; callers fall back to others."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from importer.errors import SourceError
from importer.migration.source import Source
from importer.read.assemble import Assembly
from importer.read.csv.structure import Structure
from importer.read.csv.structure_checks import StructureChecks
from importer.read.readable import Files, Reading, ReadMode
from importer.read.table import Scanned
from importer.tables.schema import TABLES, TableSchema, load


@dataclass(frozen=True, slots=True)
class TableReader:
    """Reads one table of a migration, in any mode."""

    source: Source
    schema: TableSchema
    files: Mapping[ReadMode, Files]

    def scan(self, mode: ReadMode) -> "TableScan | None":
        """The table; None where the migration has no such table. Raises SourceError that lists all problems
        of its files."""
        assembly = Assembly(self.source, self.files[mode], self.schema)
        try:
            table = assembly.scanned()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise SourceError(
                f"source.{self.schema.name}: its files cannot be read as a table: {error}"
            ) from None
        return TableScan(self, mode, table, tuple(assembly.checks)) if table else None


@dataclass(frozen=True, slots=True)
class TableScan:
    """A table as read in one mode."""

    # Reads the same table in other modes.
    reader: TableReader
    mode: ReadMode
    table: Scanned
    # The structure checks of its files; files that are Parquet or copies have none.
    checks: tuple[Future[Structure], ...]

    def is_unambiguous(self) -> bool:
        """Whether all its structure checks have passed. Waits for them."""
        return all(check.exception() is None and not check.result().ambiguities for check in self.checks)

    def again(self, mode: ReadMode) -> "TableScan":
        """The same table, read in another mode. Raises SourceError that lists all problems of its files, and
        AssertionError where the mode is the same."""
        scan = self.reader.scan(mode)
        if scan is None or mode is self.mode:
            raise AssertionError(f"{self.table.schema.name}: cannot be read again as {mode.value}")
        return scan


def scan(source: Source, folder: Path, workdir: Path) -> dict[str, TableScan]:
    """Every table that the migration names, by name. The structure checks of their files may still be
    running.

    Copies of files go to `workdir`. Raises one SourceError that lists the problems of all tables.
    """
    checks = StructureChecks()
    files = {mode: Files(folder, Reading(workdir, checks, mode)) for mode in ReadMode}
    problems: list[str] = []
    tables: dict[str, TableScan] = {}
    for name in TABLES:
        try:
            found = _first(TableReader(source, load(name), files))
        except SourceError as error:
            problems.append(str(error))
        else:
            if found is not None:
                tables[name] = found
    if problems:
        raise SourceError("\n".join(dict.fromkeys("\n".join(problems).splitlines())))
    return tables


def _first(reader: TableReader) -> TableScan | None:
    try:
        return reader.scan(ReadMode.ASSUMED)
    except SourceError:
        # The problem may be that an ambiguous file was read before its structure check.
        return reader.scan(ReadMode.CHECKED)
