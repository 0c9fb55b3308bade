"""Source files become files that polars reads right: checked as they are, or copied row by row."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import pyarrow as pa

from importer.errors import SourceError
from importer.migration.file import LookupTable, Table
from importer.read.csv.exact_rows import exact_rows
from importer.read.csv.structure import BOM_INSIDE, QUOTES_INSIDE, Structure
from importer.read.csv.structure_checks import StructureChecks
from importer.read.dialect import UTF8
from importer.read.find import find
from importer.read.look import is_rejects, look, with_encoding_of
from importer.read.rejects_format import row_writer
from importer.read.source_file import SourceFile


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that polars can read, if the check of its `structure` (where there is one) finds no ambiguity.
    `why` says what made a copy necessary."""

    file: SourceFile
    structure: Future[Structure] | None = None
    why: tuple[str, ...] = ()


class ReadMode(Enum):
    """How the files of a table are read, the fastest way first."""

    # A CSV file is taken to have one reading only, while its structure is still being checked.
    ASSUMED = "assumed"
    # As the structure checks say: as it is where it has one reading only, else by a copy made row by row.
    CHECKED = "checked"
    # By a copy made row by row, whatever the checks say.
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a file needs: where copies go, the structure checks, and the mode."""

    workdir: Path
    checks: StructureChecks
    mode: ReadMode = ReadMode.CHECKED


def readable(file: SourceFile, reading: Reading, *, delimiter: str | None, found_out: bool) -> Readable:
    """What polars shall read of a file. `found_out` says that nobody set its encoding, so that another may be
    taken where its bytes turn out to be no UTF-8. Raises SourceError for what cannot be read to its end."""
    if file.kind == "parquet":
        return Readable(file)
    plain, copied = _is_plain(file), reading.mode is ReadMode.EXACT or _must_be_copied(file)
    if reading.mode is ReadMode.ASSUMED and plain and not copied:
        return Readable(file, reading.checks.of(file))
    name = f"{file.path.name}-{abs(hash(str(file.path))):x}"
    try:
        why: set[str] = set()
        if reading.mode is not ReadMode.EXACT and _can_be_checked(file):
            source = file if plain else _transcoded(file, reading.workdir / f"{name}.utf8.csv")
            future = reading.checks.of(source)
            structure = future.result()
            if file.dialect.encoding == UTF8 and found_out and structure.no_utf8 and not structure.utf8:
                other = with_encoding_of(file, structure.no_utf8, delimiter)
                return readable(other, reading, delimiter=delimiter, found_out=False)
            if not copied and not structure.ambiguities:
                return Readable(source, future)
            # Of a file that is copied for its first lines the rest is news.
            why = structure.ambiguities & {QUOTES_INSIDE} if copied else structure.ambiguities
        copy, marked = _copied(file, reading.workdir / f"{name}.rows.csv")
        why |= {BOM_INSIDE} if marked else set()
        return Readable(copy, None, tuple(sorted(why)))
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SourceError(f"{file.path}: cannot be read to its end: {error}") from None


@dataclass(slots=True)
class Files:
    """Files that were looked at, each once."""

    folder: Path
    reading: Reading
    known: dict[tuple[Path, str | None, str | None], Readable] = field(default_factory=dict)

    def of(self, table: Table | LookupTable) -> Iterator[Readable | str]:
        """The files of a table, ready for polars; a text says what is wrong with one."""
        for found in find(table.files, self.folder):
            if isinstance(found, str):
                yield found
                continue
            key = (found, table.encoding, table.delimiter)
            try:
                if key not in self.known:
                    self.known[key] = self._ready(found, table.encoding, table.delimiter)
                yield self.known[key]
            except SourceError as error:
                yield str(error)

    def _ready(self, path: Path, encoding: str | None, delimiter: str | None) -> Readable:
        # Rejects are written by us, whatever the source was written in.
        if (encoding or delimiter) and is_rejects(path):
            encoding = delimiter = None
        file = look(path, encoding=encoding, delimiter=delimiter)
        return readable(file, self.reading, delimiter=delimiter, found_out=encoding is None)


def _is_plain(file: SourceFile) -> bool:
    return file.dialect.encoding == UTF8 and file.dialect.newline == "\n"


def _must_be_copied(file: SourceFile) -> bool:
    """What polars has no words for."""
    dialect = file.dialect
    return bool(dialect.preamble or dialect.escape or not dialect.delimiter.isascii() or file.is_rejects)


def _can_be_checked(file: SourceFile) -> bool:
    """Whether its bytes can be looked at without what polars has no words for, some first lines aside."""
    return not (file.dialect.escape or not file.dialect.delimiter.isascii() or file.is_rejects)


def _transcoded(file: SourceFile, path: Path) -> SourceFile:
    """A copy in UTF-8 with line ends that polars knows. What is no text stays no text."""
    with file.text() as source, path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)
    return replace(file, readable=path)


def _copied(file: SourceFile, path: Path) -> tuple[SourceFile, bool]:
    """A copy whose rows all have the header's width, each with its flaw in front; and whether byte order
    marks stood in it."""
    width = len(file.header)
    marked = False
    with path.open("w", encoding="utf-8", newline="") as out:
        write = row_writer(out)
        write(["_flaw", *file.header])
        for row in exact_rows(file):
            marked |= row.marked
            cells = row.cells[:width] + ("",) * (width - len(row.cells))
            if row.flaw is not None:
                cells = tuple(cell.replace("\0", "") for cell in cells)
            write([row.flaw or "", *(_safe(cell) for cell in cells)])
    return replace(file, readable=path, is_copy=True), marked


def _safe(cell: str) -> str:
    return cell if cell.isascii() else cell.encode("utf-8", "replace").decode("utf-8")
