"""The beginning of a file → what it is: kind, compression, dialect, header."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from importer.errors import SourceError
from importer.read import dialect as dialects
from importer.read.dialect import Dialect
from importer.read.parquet.frame import header as parquet_header
from importer.read.rejects_format import unguarded
from importer.read.source_file import SourceFile

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


# What is often taken for a table, with what to do.
_OTHERS = {
    b"PK\x03\x04": "is a ZIP archive or a workbook (.xlsx, .ods): unpack it, or save each sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook (.xls): save each sheet as CSV UTF-8",
}


_SAMPLE_BYTES = 1 << 20


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
