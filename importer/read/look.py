"""Detect the kind, compression, dialect and header of a file from its beginning."""

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
from importer.read.guarded_csv import unguarded
from importer.read.limits import MOST_COLUMNS
from importer.read.parquet.frame import header as parquet_header
from importer.read.source_file import SourceFile

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


# Files that are often mistaken for CSV, with what to do.
_OTHERS = {
    b"PK\x03\x04": "is a ZIP archive or a workbook (.xlsx, .ods): unpack it, or save each sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook (.xls): save each sheet as CSV UTF-8",
}


# Encoding, dialect and header are detected from this many bytes.
_SAMPLE_BYTES = 1 << 20


def look(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> SourceFile:
    """Detect the kind, dialect and header of a file. A given `encoding` or `delimiter` is not detected.

    Raises SourceError for a file that is not a table: empty, unreadable, binary or damaged Parquet.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if not start:
        raise SourceError(f"{path}: is empty; a header line is expected")
    if start == b"PAR1":
        titles, rows, nested = parquet_header(path)
        _refuse_our_names(path, titles)
        return SourceFile(path, "parquet", titles, _distinct(titles), readable=path, rows=rows, nested=nested)
    if start in _OTHERS:
        raise SourceError(f"{path}: {_OTHERS[start]}")
    if ".parquet" in path.suffixes:
        raise SourceError(
            f"{path}: is not a Parquet file, although its name contains .parquet (it must begin with PAR1)"
        )
    compression = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    return _look_csv(SourceFile(path, "csv", (), (), compression, readable=path), encoding, delimiter)


def is_rejects(path: Path) -> bool:
    """Whether a file is a file of rejects, also after other programs have saved it. False for unreadable
    files."""
    try:
        return look(path).is_rejects
    except SourceError:
        return False


def with_encoding_of(file: SourceFile, bad: bytes, delimiter: str | None) -> SourceFile:
    """The file in another encoding, detected from `bad`: lines of it that are not UTF-8.

    Raises SourceError where no encoding fits, or where the file has no valid header in it.
    """
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
        raise SourceError(
            f"{file.path}: unknown encoding {encoding!r}; set a name that Python knows, e.g. cp1252"
        ) from None
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
            f"{file.path}: is not {dialect.encoding_name} text: {error}; set the table's encoding"
        ) from None
    start = start.lstrip("\ufeff")
    if not start.strip("\0 \t\r\n\ufeff"):
        raise SourceError(f"{file.path}: is empty; a header line is expected")
    if _is_json(start):
        name, stem = file.path.name, file.path.stem
        raise SourceError(
            f"{file.path}: is JSON, but CSV or Parquet is expected; convert JSON Lines to Parquet with:\n"
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
            f"{file.path}:{dialect.preamble + 1}: its header has unbalanced quotes, so its columns cannot be "
            "read; correct the header"
        ) from None
    if goes_on and not lines.read(1) and not start.endswith(("\n", "\r")):
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its first line is longer than {len(start):,} characters, "
            "so it cannot be a header; check the encoding and the line ends of the file"
        )
    if like := [title for title in titles if _VALUE.match(title)]:
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its first line looks like a row, not like a header "
            f"({', '.join(like[:3])}); add a header above it, or delete the lines above the header"
        )
    if any(not title.isprintable() for title in titles) and "\0" in start:
        raise SourceError(f"{file.path}: is not CSV text (it contains NUL bytes); CSV or Parquet is expected")
    reasons = replace(file, titles=titles).reasons
    if len(titles) - reasons > MOST_COLUMNS:
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its header has {len(titles):,} columns, and at most "
            f"{MOST_COLUMNS:,} are read; check the delimiter, or keep only the columns that are needed"
        )
    titles = (*titles[:reasons], *(unguarded(title) if reasons else title for title in titles[reasons:]))
    if any(dialects.has_undecoded(title) for title in titles):
        raise SourceError(
            f"{file.path}:{dialect.preamble + 1}: its header has bytes that are not {dialect.encoding_name} "
            "text; set the table's encoding"
        )
    _refuse_our_names(file.path, titles)
    if not any(titles):
        raise SourceError(f"{file.path}: its first line contains no column name; a header is expected")
    return replace(file, dialect=dialect, titles=titles, header=_distinct(titles))


def _refuse_our_names(path: Path, titles: Sequence[str]) -> None:
    if ours := sorted(_OUR_NAMES & {*titles}):
        raise SourceError(
            f"{path}: this program reserves the column name {' and '.join(ours)}; rename the column"
        )


# Columns that reading adds to those of a file.
_OUR_NAMES = frozenset({"_record", "_flaw"})


# A header that is an e-mail address or a time shows that the first line is a row.
_VALUE = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$|\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def _is_json(start: str) -> bool:
    """Whether a text is JSON, or its first line is."""
    for text in (start.lstrip().partition("\n")[0], start):
        try:
            return isinstance(json.loads(text), dict | list)
        except (ValueError, RecursionError):
            continue
    return start.lstrip()[:2] in ("[{", '{"')


def _distinct(titles: Sequence[str]) -> tuple[str, ...]:
    """The titles, with a number added to repeated ones such that no two are equal."""
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
