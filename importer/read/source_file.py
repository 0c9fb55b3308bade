"""Paths become source files whose kind, dialect and header are known, and that polars can read.

A CSV file is read by polars as it is where its bytes prove that it has one reading only (proof.py). Another
one is copied first, row by row, into one that has (rows.py); what is broken in it is named there.
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, cast

import pyarrow as pa

from importer.errors import SourceError
from importer.read import dialect as dialects
from importer.read.dialect import Dialect
from importer.read.parquet.frame import header as parquet_header

Kind = Literal["csv", "parquet"]
# What stands before the source's own columns in a file of rejects.
# `_source` says which row it was, for the mended one to stand for it.
REASON_COLUMNS = ("_line", "_column", "_rule", "_value", "_message", "_source")

_EXECUTED = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# What is often taken for a table, with what to do.
_OTHERS = {
    b"PK\x03\x04": "is a ZIP archive or a workbook (.xlsx, .ods): unpack it, or save each sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook (.xls): save each sheet as CSV UTF-8",
}
_SAMPLE_BYTES = 1 << 20
_UNREAD = (".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".zip", ".xml", ".sql")
_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One export file. `titles` are its column names as they stand there, `header` the same made distinct
    (a second `Comment` is `Comment (2)`); `compression` is pyarrow's name for it.

    `readable` is what polars reads: the file itself, or a copy. `is_copy` says that the copy was written row
    by row, with a first column `_flaw`. `rows` are those of a Parquet file, `nested` the paths into its
    structs (`a.b`) and lists of structs (`a[].b`).
    """

    path: Path
    kind: Kind
    titles: tuple[str, ...]
    header: tuple[str, ...]
    compression: str | None = None
    dialect: Dialect = field(default_factory=Dialect)
    readable: Path = Path()
    is_copy: bool = False
    rows: int | None = None
    nested: tuple[str, ...] = ()

    @property
    def reasons(self) -> int:
        """How many of the first columns are reasons: some, if it is a file of rejects that comes back."""
        if self.titles[: len(REASON_COLUMNS)] == REASON_COLUMNS:
            return len(REASON_COLUMNS)
        return len(REASON_COLUMNS) - 1 if self.titles[: len(REASON_COLUMNS) - 1] == REASON_COLUMNS[:-1] else 0

    @property
    def is_rejects(self) -> bool:
        return self.reasons > 0

    @property
    def repeats(self) -> dict[str, list[str]]:
        """The distinct names of each title that stands more than once."""
        found: dict[str, list[str]] = {}
        for title, name in zip(self.titles, self.header, strict=True):
            found.setdefault(title, []).append(name)
        return {title: names for title, names in found.items() if len(names) > 1 and title}

    def bytes(self) -> io.BufferedReader:
        """The decompressed bytes."""
        return io.BufferedReader(cast(Any, _Bytes(self)), 1 << 20)

    def plain_bytes(self) -> BinaryIO:
        """The bytes that polars reads, decompressed."""
        if self.readable == self.path and self.compression:
            return self.bytes()
        return cast(BinaryIO, self.readable.open("rb", buffering=0))

    def text(self) -> io.TextIOWrapper:
        """The decompressed, decoded text. Lines end with LF or CR LF; a bare CR ends one only where all
        lines end so."""
        newline = None if self.dialect.newline == "\r" else "\n"
        return io.TextIOWrapper(
            self.bytes(), encoding=self.dialect.encoding, errors=self.dialect.errors, newline=newline
        )


def find(patterns: Sequence[str], folder: Path) -> Iterator[Path | str]:
    """The files that the patterns name, each pattern's in order of name; a text says what one does not
    find."""
    for pattern in patterns:
        path = Path(os.path.normpath(folder / pattern))
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and _is_table(file))
            inside = [file for file in inside if not is_ours(file, path)]
            yield from inside
            if not inside:
                yield f"{path}: no CSV or Parquet file is in this folder"
        elif path.exists():
            yield path
        elif any(sign in pattern for sign in "*?["):
            matches = sorted(match for match in _glob(folder, pattern) if match.is_file())
            yield from matches
            if not matches:
                yield f"{path}: no file matches this pattern"
        else:
            yield f"{path}: there is no such file"


def no_tables(folder: Path) -> list[Path]:
    """The files below a folder that may hold data of an export, and that nothing here reads."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in _UNREAD)


def is_ours(file: Path, folder: Path) -> bool:
    """Whether this program wrote the file, and it is no export: it belongs to a report below the folder, or
    lists agents."""
    reports = [up for up in file.parents if up.is_relative_to(folder) and up.suffix == ".report"]
    return file.name.endswith(".people.csv") or any((up / "report.json").exists() for up in reports)


def look(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> SourceFile:
    """Open a file far enough to know its kind, dialect and header.

    Raises SourceError for what is no table: empty, unreadable, binary, damaged Parquet.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if not start:
        raise SourceError(f"{path}: is empty, not even a header stands in it")
    if start == b"PAR1":
        titles, rows, nested = parquet_header(path)
        _refuse_our_names(path, titles)
        return SourceFile(path, "parquet", titles, _distinct(titles), readable=path, rows=rows, nested=nested)
    if start in _OTHERS:
        raise SourceError(f"{path}: {_OTHERS[start]}")
    if ".parquet" in path.suffixes:
        raise SourceError(f"{path}: is no Parquet file, although its name says so (it must begin with PAR1)")
    compression = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    return _look_csv(SourceFile(path, "csv", (), (), compression, readable=path), encoding, delimiter)


def is_rejects(path: Path) -> bool:
    """Whether a file is one of rejects, in however many hands it has been since."""
    try:
        return look(path).is_rejects
    except SourceError:
        return False


def with_encoding_of(file: SourceFile, bad: bytes, delimiter: str | None) -> SourceFile:
    """The file again, in the encoding of these lines of it, which are no UTF-8."""
    try:
        return _with_header(file, dialects.other_encoding(bad), delimiter)
    except UnicodeError as error:
        raise SourceError(f"{file.path}: {error}; set the table's encoding") from None


def _look_csv(file: SourceFile, encoding: str | None, delimiter: str | None) -> SourceFile:
    try:
        with file.bytes() as stream:
            sample = stream.read(_SAMPLE_BYTES)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SourceError(f"{file.path}: cannot be decompressed: {error}") from None
    try:
        dialect = dialects.with_encoding(sample, encoding)
    except LookupError:
        raise SourceError(f"{file.path}: {encoding!r} is no known encoding") from None
    except UnicodeError as error:
        raise SourceError(f"{file.path}: {error}; CSV or Parquet is expected") from None
    return _with_header(file, dialect, delimiter)


def _with_header(file: SourceFile, dialect: Dialect, delimiter: str | None) -> SourceFile:
    try:
        with replace(file, dialect=dialect).text() as stream:
            start = stream.read(_SAMPLE_BYTES)
            goes_on = bool(stream.read(1))
    except UnicodeError as error:
        raise SourceError(
            f"{file.path}: is no {dialect.encoding_name} text: {error}; set the table's encoding"
        ) from None
    start = start.lstrip("\ufeff")
    if not start.strip("\0 \t\r\n\ufeff"):
        raise SourceError(f"{file.path}: is empty, not even a header stands in it")
    if _is_json(start):
        name, stem = file.path.name, file.path.stem
        raise SourceError(
            f"{file.path}: is JSON, and CSV or Parquet is expected; of JSON Lines this makes Parquet:\n"
            '  python -c "import polars; '
            f"polars.read_ndjson('{name}').write_parquet('{stem}.parquet')\""
        )
    dialect = dialects.with_shape(dialect, start, delimiter)
    lines = io.StringIO(start, newline=None if dialect.newline == "\r" else "\n")
    for _ in range(dialect.preamble):
        lines.readline()
    lines = io.StringIO(lines.read().lstrip("\ufeff"), newline="\n")
    try:
        titles = tuple(name.strip("\ufeff \t\r\n") for name in next(dialect.reader(lines, strict=True)))
    except (csv.Error, StopIteration):
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its header has a quote too many or too few, so its columns "
            "cannot be told"
        ) from None
    if goes_on and not lines.read(1) and not start.endswith(("\n", "\r")):
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its first line is longer than {len(start):,} characters, "
            "so it is no header; are its encoding and its line ends what they seem?"
        )
    if like := [title for title in titles if _VALUE.match(title)]:
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its first line looks like a row, not like a header "
            f"({', '.join(like[:3])}); put the columns' names above it, or remove what stands above them"
        )
    if any(not title.isprintable() for title in titles) and "\0" in start:
        raise SourceError(f"{file.path}: is no CSV text (it holds NUL bytes); CSV or Parquet is expected")
    reasons = replace(file, titles=titles).reasons
    titles = (*titles[:reasons], *(unguarded(title) if reasons else title for title in titles[reasons:]))
    if any(dialects.has_undecoded(title) for title in titles):
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its header has bytes that are no {dialect.encoding_name} "
            "text; set the table's encoding"
        )
    _refuse_our_names(file.path, titles)
    if not any(titles):
        raise SourceError(f"{file.path}: its first line names no column; a header is expected")
    return replace(file, dialect=dialect, titles=titles, header=_distinct(titles))


def _refuse_our_names(path: Path, titles: Sequence[str]) -> None:
    if ours := sorted(_OUR_NAMES & {*titles}):
        raise SourceError(
            f"{path}: a column is called {' and '.join(ours)}, as one of this program's own; call it "
            "something else"
        )


# What rows are numbered and marked by while they are read.
_OUR_NAMES = frozenset({"_record", "_flaw"})
# An e-mail address or a time is the name of no column.
_VALUE = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$|\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def _is_json(start: str) -> bool:
    """Whether a text is JSON, or begins with a line that is."""
    for text in (start.lstrip().partition("\n")[0], start):
        try:
            return isinstance(json.loads(text), dict | list)
        except ValueError:
            continue
    return start.lstrip()[:2] in ("[{", '{"')


def guarded(cell: str) -> str:
    """The cell with a `'` before it if a spreadsheet would execute it, or if it looks like one guarded so."""
    return f"'{cell}" if _EXECUTED.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that `guarded` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def row_writer(out: TextIO) -> Callable[[Sequence[object]], object]:
    """Writes rows as CSV that has one reading only. The csv module leaves a carriage return without quotes,
    and takes it for the end of a line when it reads."""
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[object]) -> object:
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in row)
        return (quoted if has_return else plain).writerow(row)

    return write


def _distinct(titles: Sequence[str]) -> tuple[str, ...]:
    """A repeated title gets a number; it must not become the name of another column."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    taken = set(titles)
    for title in titles:
        seen[title] += 1
        name = title if seen[title] == 1 else f"{title} ({seen[title]})"
        while seen[title] > 1 and name in taken:
            seen[title] += 1
            name = f"{title} ({seen[title]})"
        taken.add(name)
        names.append(name)
    return tuple(names)


def _is_table(path: Path) -> bool:
    return not path.name.startswith((".", "_")) and any(suffix in _TABLES for suffix in path.suffixes)


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    base = Path(pattern)
    if base.is_absolute():
        return Path(base.anchor).glob(str(base.relative_to(base.anchor)))
    return folder.glob(pattern)


class _Bytes(io.RawIOBase):
    """pyarrow's decompressing stream as a raw stream that io can wrap."""

    def __init__(self, file: SourceFile) -> None:
        self._stream = pa.input_stream(str(file.path), compression=file.compression)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
