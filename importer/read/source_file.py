"""Paths become source files whose kind, dialect and header are known, and that polars can read.

A CSV file is read by polars as it is where its bytes prove that it has one reading only (proof.py). Another
one is copied first, row by row, into one that has (rows.py); what is broken in it is named there.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa

from importer.read.dialect import Dialect
from importer.read.rejects_format import REASON_COLUMNS

Kind = Literal["csv", "parquet"]


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
