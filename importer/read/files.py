"""Paths become source files whose kind, dialect and header are known. Looks at the first record only."""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from importer.errors import SourceError

Kind = Literal["csv", "parquet"]
REASON_COLUMNS = ("_line", "_column", "_rule", "_value", "_message")

_DELIMITERS = ",;\t|"
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

# A cell may be as long as a mail with its whole history; the csv module would stop at 128 KiB.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One export file. `header` are its column names in order; `compression` is pyarrow's name for it."""

    path: Path
    kind: Kind
    header: tuple[str, ...]
    compression: str | None = None
    encoding: str = "utf-8"
    delimiter: str = ","

    @property
    def encoding_name(self) -> str:
        return self.encoding.removesuffix("-sig")

    def text(self) -> io.TextIOBase:
        """The decompressed, decoded text, line ends as they are."""
        return io.TextIOWrapper(cast(Any, _Bytes(self)), encoding=self.encoding, newline="")


def find(patterns: Sequence[str], folder: Path) -> Iterator[Path | str]:
    """The files that the patterns name, each pattern's in order of name; a text says what one does not
    find."""
    for pattern in patterns:
        path = folder / pattern
        if path.is_dir():
            yield f"{path}: is a folder; name its files ({pattern.rstrip('/')}/*.csv)"
        elif path.exists():
            yield path
        elif any(sign in pattern for sign in "*?["):
            matches = sorted(match for match in _glob(folder, pattern) if match.is_file())
            yield from matches
            if not matches:
                yield f"{path}: no file matches this pattern"
        else:
            yield f"{path}: there is no such file"


def look(path: Path, *, encoding: str, delimiter: str | None) -> SourceFile:
    """Open a file far enough to know its kind and header.

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
        return _look_parquet(path)
    if ".parquet" in path.suffixes:
        raise SourceError(f"{path}: is no Parquet file, although its name says so (it must begin with PAR1)")
    return _look_csv(path, _compression(start), _utf8_without_bom(encoding), delimiter)


def _look_parquet(path: Path) -> SourceFile:
    # pyarrow raises on a damaged file where polars would panic or end the process.
    try:
        schema = pq.ParquetFile(path).schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(f"{path}: is a damaged Parquet file: {first_line}") from None
    return SourceFile(path, "parquet", tuple(schema.names))


def _look_csv(path: Path, compression: str | None, encoding: str, delimiter: str | None) -> SourceFile:
    file = SourceFile(path, "csv", (), compression, encoding, delimiter or ",")
    try:
        with file.text() as stream:
            start = stream.read(1 << 20)
    except LookupError:
        raise SourceError(f"{path}: {encoding!r} is no known encoding") from None
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: its beginning is no {file.encoding_name} text (byte {error.start}); "
            'set the table\'s encoding, such as encoding = "cp1252"'
        ) from None
    except UnicodeError as error:
        raise SourceError(f"{path}: is no {encoding} text: {error}; set the table's encoding") from None
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SourceError(f"{path}: cannot be decompressed: {error}") from None
    if not start.strip():
        raise SourceError(f"{path}: is empty, not even a header stands in it")
    if "\0" in start:
        raise SourceError(f"{path}: is no CSV text (it holds NUL bytes); CSV or Parquet is expected")
    if "\r" in start and "\n" not in start:
        raise SourceError(f"{path}: its lines end with CR alone; save it with LF or CRLF line ends")
    delimiter = delimiter or _sniff(start)
    header = tuple(
        name.strip() for name in next(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter))
    )
    return SourceFile(path, "csv", header, compression, encoding, delimiter)


def _sniff(start: str) -> str:
    """The delimiter that parts the header into the most columns; a comma for a single column."""
    widths = {d: len(next(csv.reader(io.StringIO(start, newline=""), delimiter=d))) for d in _DELIMITERS}
    return max(_DELIMITERS, key=lambda d: widths[d])


def _compression(start: bytes) -> str | None:
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def _utf8_without_bom(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


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
