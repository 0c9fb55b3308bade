"""Prepare source files for polars: unchanged after a structure check, or copied row by row. Compressed files
are unpacked to disk, since polars would unpack them in memory."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from shutil import copyfileobj

import pyarrow as pa

from importer.errors import SourceError
from importer.migration.source import LookupTable, Table
from importer.read.csv.exact_rows import exact_rows
from importer.read.csv.structure import BOM_INSIDE, QUOTES_INSIDE, TOO_LONG, Structure
from importer.read.csv.structure_checks import StructureChecks
from importer.read.dialect import UTF8
from importer.read.find import find
from importer.read.guarded_csv import row_writer
from importer.read.limits import CHECKED_FIRST_BYTES, LONGEST_RECORD
from importer.read.look import is_rejects, look, with_encoding_of
from importer.read.source_file import SourceFile
from importer.read.workdir import full, says_full


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that polars reads correctly if its structure check (where there is one) finds no ambiguity.
    `why` lists what made a copy necessary."""

    file: SourceFile
    structure: Future[Structure] | None = None
    why: tuple[str, ...] = ()


class ReadMode(Enum):
    """How the files of a table are read, the fastest way first."""

    # Every CSV file is assumed to be unambiguous while its structure is still being checked.
    ASSUMED = "assumed"
    # A file that passes its structure check is read unchanged; others are copied row by row.
    CHECKED = "checked"
    # Every CSV file is copied row by row.
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: the folder for copies, the structure checks, and the mode."""

    workdir: Path
    checks: StructureChecks
    mode: ReadMode = ReadMode.CHECKED


def readable(file: SourceFile, reading: Reading, *, delimiter: str | None, found_out: bool) -> Readable:
    """The file that polars reads in place of `file`.

    `found_out` says that the encoding was detected: another one is detected where the file turns out not to
    be UTF-8. Raises SourceError for a file that cannot be read to its end.
    """
    if file.kind == "parquet":
        return Readable(file)
    plain, copied = _is_plain(file), reading.mode is ReadMode.EXACT or _must_be_copied(file)
    assumed = reading.mode is ReadMode.ASSUMED and plain and not copied
    name = f"{file.path.name}-{abs(hash(str(file.path))):x}"
    try:
        if plain and file.compression and (assumed or _can_be_checked(file)):
            file = _unpacked(file, reading.workdir / f"{name}.csv")
        if assumed and file.readable.stat().st_size < CHECKED_FIRST_BYTES:
            return Readable(file, reading.checks.of(file))
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
            if structure.ambiguities == {TOO_LONG}:
                raise SourceError(
                    f"{file.path}: row {structure.too_long:,} (without the header) has more than "
                    f"{LONGEST_RECORD:,} bytes, which is more than can be read; shorten its longest cell"
                )
            # A file that is copied anyway has notes of its own; only quotes inside cells are additional.
            why = structure.ambiguities & {QUOTES_INSIDE} if copied else structure.ambiguities
        copy, marked = _copied(file, reading.workdir / f"{name}.rows.csv")
        why |= {BOM_INSIDE} if marked else set()
        return Readable(copy, None, tuple(sorted(why)))
    except (OSError, EOFError, pa.ArrowException) as error:
        if says_full(error):
            raise SourceError(full(reading.workdir, str(file.path))) from None
        raise SourceError(f"{file.path}: cannot be read to its end: {error}") from None


@dataclass(slots=True)
class Files:
    """The files of a migration. Each is opened once for each pair of encoding and delimiter."""

    folder: Path
    reading: Reading
    known: dict[tuple[Path, str | None, str | None], Readable] = field(default_factory=dict)

    def of(self, table: Table | LookupTable) -> Iterator[Readable | str]:
        """The files of a table, ready for polars. For a file with a problem, a text that describes it."""
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
        # This program writes the rejects, so the encoding and delimiter of the source do not apply.
        if (encoding or delimiter) and is_rejects(path):
            encoding = delimiter = None
        file = look(path, encoding=encoding, delimiter=delimiter)
        return readable(file, self.reading, delimiter=delimiter, found_out=encoding is None)


def _is_plain(file: SourceFile) -> bool:
    return file.dialect.encoding == UTF8 and file.dialect.newline == "\n"


def _must_be_copied(file: SourceFile) -> bool:
    """Whether polars cannot read the file unchanged."""
    dialect = file.dialect
    return bool(dialect.preamble or dialect.escape or not dialect.delimiter.isascii() or file.is_rejects)


def _can_be_checked(file: SourceFile) -> bool:
    """Whether the structure check understands the file. Lines before the header do no harm."""
    return not (file.dialect.escape or not file.dialect.delimiter.isascii() or file.is_rejects)


def _unpacked(file: SourceFile, path: Path) -> SourceFile:
    """A copy without compression, which takes as long as reading the file once and no memory."""
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        with file.bytes() as source, part.open("wb") as out:
            copyfileobj(source, out, 1 << 20)
        part.replace(path)
    return replace(file, readable=path)


def _transcoded(file: SourceFile, path: Path) -> SourceFile:
    """A copy in UTF-8 in which no line ends with a bare CR. Undecodable bytes stay undecodable."""
    with file.text() as source, path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)
    return replace(file, readable=path)


def _copied(file: SourceFile, path: Path) -> tuple[SourceFile, bool]:
    """A copy whose rows all have the width of the header, with the flaw of each as first column; and whether
    the rows contained byte order marks."""
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
