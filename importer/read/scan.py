"""Source files become the tables of a migration, on the best assumption first: that all are as they seem."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from importer.errors import SourceError
from importer.migration.file import Source
from importer.read.assemble import Assembly, Scanned
from importer.read.csv.structure_checks import Proofs
from importer.read.readable import Files, Ways
from importer.tables.schema import TABLES, load


def scan(source: Source, folder: Path, workdir: Path) -> dict[str, Scanned]:
    """Every table that the migration names, while the proofs of its files are still made. Raises one
    SourceError that names all that is wrong."""
    proofs = Proofs()
    assuming = Files(folder, Ways(workdir, proofs, assuming=True))
    proved = Files(folder, Ways(workdir, proofs))
    exact = Files(folder, Ways(workdir, proofs, exact=True))
    problems: list[str] = []
    tables: dict[str, Scanned] = {}
    for name in TABLES:
        try:
            scanned = _assumed(
                Assembly(source, assuming, load(name)),
                partial(_scanned, Assembly(source, proved, load(name))),
                Assembly(source, exact, load(name)).scanned,
            )
        except SourceError as error:
            problems.append(str(error))
        else:
            if scanned is not None:
                tables[name] = scanned
    if problems:
        raise SourceError("\n".join(dict.fromkeys("\n".join(problems).splitlines())))
    return tables


def _assumed(
    table: Assembly, proved: Callable[[], Scanned | None], exactly: Callable[[], Scanned | None]
) -> Scanned | None:
    """The table as it is if all proofs hold; `proved` is scanned where one does not."""

    def again() -> Scanned | None:
        scanned = proved()
        return replace(scanned, exactly=exactly) if scanned else None

    def where_unproved() -> Scanned | None:
        return None if table.proofs_hold() else again()

    try:
        scanned = table.scanned()
    except (SourceError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # What is wrong may come of reading a file that has no proof.
        return again()
    return replace(scanned, proved=where_unproved, exactly=exactly) if scanned else None


def _scanned(table: Assembly) -> Scanned | None:
    try:
        return table.scanned()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise SourceError(f"source.{table.name}: its files cannot be read as a table: {error}") from None
