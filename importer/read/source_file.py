"""A source file with its kind, dialect and header, and the file that polars reads in place of it.

polars reads a CSV file unchanged if it passes its structure check (csv/structure.py). Others are first copied
row by row into an unambiguous CSV (csv/exact_rows.py, readable.py), with the flaw of each row.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa

from importer.errors import SourceError
from importer.read.dialect import Dialect
from importer.read.limits import MOST_UNPACKED, UNPACKED_FREELY_BYTES
from importer.read.rejects_format import REASON_COLUMNS

Kind = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of an export."""

    path: Path
    kind: Kind
    # The column names as the file has them.
    titles: tuple[str, ...]
    # The same made distinct: a second `Comment` is `Comment (2)`.
    header: tuple[str, ...]
    # pyarrow's name of the compression; None without one.
    compression: str | None = None
    # How a CSV file is written.
    dialect: Dialect = field(default_factory=Dialect)
    # What polars reads: the file itself, or a copy.
    readable: Path = Path()
    # Whether the copy was written row by row, with a first column `_flaw`.
    is_copy: bool = False
    # How many rows a Parquet file has; None for CSV.
    rows: int | None = None
    # The paths into structs (`a.b`) and lists of structs (`a[].b`) of a Parquet file.
    nested: tuple[str, ...] = ()

    @property
    def reasons(self) -> int:
        """How many of the first columns are reason columns: more than 0 for a file of rejects that is read
        again. Only the last one, `_source`, may be missing."""
        if self.titles[: len(REASON_COLUMNS)] == REASON_COLUMNS:
            return len(REASON_COLUMNS)
        return len(REASON_COLUMNS) - 1 if self.titles[: len(REASON_COLUMNS) - 1] == REASON_COLUMNS[:-1] else 0

    @property
    def is_rejects(self) -> bool:
        return self.reasons > 0

    @property
    def repeats(self) -> dict[str, list[str]]:
        """For each title that occurs more than once, its distinct names in `header`."""
        found: dict[str, list[str]] = {}
        for title, name in zip(self.titles, self.header, strict=True):
            found.setdefault(title, []).append(name)
        return {title: names for title, names in found.items() if len(names) > 1 and title}

    def bytes(self) -> io.BufferedReader:
        """The decompressed bytes of the file. Reading them raises SourceError where it unpacks to too
        much."""
        return io.BufferedReader(cast(Any, _Bytes(self)), 1 << 20)

    def plain_bytes(self) -> BinaryIO:
        """The decompressed bytes of `readable`."""
        if self.readable == self.path and self.compression:
            return self.bytes()
        return cast(BinaryIO, self.readable.open("rb", buffering=0))

    def text(self) -> io.TextIOWrapper:
        """The decompressed and decoded text. Lines end with LF or CR LF; a bare CR ends a line only where
        `dialect.newline` says so."""
        newline = None if self.dialect.newline == "\r" else "\n"
        return io.TextIOWrapper(
            self.bytes(), encoding=self.dialect.encoding, errors=self.dialect.errors, newline=newline
        )


class _Bytes(io.RawIOBase):
    """pyarrow's decompressing stream as a raw stream for the io module."""

    def __init__(self, file: SourceFile) -> None:
        self._path, self._is_packed = file.path, file.compression is not None
        self._stream = pa.input_stream(str(file.path), compression=file.compression)
        self._unpacked, self._most = 0, UNPACKED_FREELY_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._unpacked += len(data)
        if self._is_packed and self._unpacked > self._most:
            self._refuse_bomb()
        return len(data)

    def _refuse_bomb(self) -> None:
        """Raise SourceError where the file is not large enough for what was read of it."""
        packed = self._path.stat().st_size
        self._most = max(packed * MOST_UNPACKED, UNPACKED_FREELY_BYTES)
        if self._unpacked > self._most:
            raise SourceError(
                f"{self._path}: has {packed:,} bytes, but unpacks to more than {self._most:,}, which no "
                "export does; if it is one, unpack the file yourself and name the unpacked file"
            )

    def close(self) -> None:
        self._stream.close()
        super().close()
