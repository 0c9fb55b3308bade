"""The first rows of a file: enough to recognise its columns without reading all of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from importer.parse.nested import parsed
from importer.read.csv.exact_rows import exact_rows
from importer.read.frames import raw_frame
from importer.read.source_file import SourceFile

# A sample ends at so many rows or bytes, whichever comes first.
_ROWS, _BYTES = 20_000, 1 << 24
# So many cells of a column are searched for JSON.
_CELLS = 200
# A column contains JSON if at least this share of its cells do; the others may be damaged.
_MIN_SHARE_OF_OBJECTS = 0.9


@dataclass(frozen=True, slots=True)
class Sample:
    """`frame` has the file's columns as text without surrounding blanks, with null for empty cells.
    `is_whole` says that the file has no more rows."""

    frame: pl.DataFrame
    is_whole: bool

    def cells(self, header: str) -> pl.Series:
        """The non-empty cells of a column; none where the file does not have it."""
        if header not in self.frame.columns:
            return pl.Series(header, [], dtype=pl.String)
        return self.frame[header].drop_nulls()

    def nested(self) -> tuple[str, ...]:
        """The paths into JSON cells, in the form of SourceFile.nested."""
        return tuple(path for name in self.frame.columns for path in _paths(name, self.cells(name)))


def sample(file: SourceFile) -> Sample:
    """The first rows without flaws in their structure; none of a file that cannot be read."""
    frame = _of_csv(file) if file.kind == "csv" else _of_parquet(file)
    tidy = frame.head(_ROWS).with_columns(pl.all().str.strip_chars())
    kept = tidy.with_columns(pl.when(pl.all() != "").then(pl.all()))
    size = sum(int(column.str.len_bytes().sum()) for column in frame)
    return Sample(kept, is_whole=frame.height <= _ROWS and size <= _BYTES)


def _of_parquet(file: SourceFile) -> pl.DataFrame:
    frame = raw_frame(file).select(file.header).head(_ROWS + 1)
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return _nothing(file)


def _of_csv(file: SourceFile) -> pl.DataFrame:
    found: list[tuple[str, ...]] = []
    size = 0
    try:
        for row in exact_rows(file):
            if row.flaw is None:
                found.append(row.cells)
                size += sum(len(cell.encode()) for cell in row.cells)
            if len(found) > _ROWS or size > _BYTES:
                break
    except (OSError, EOFError, UnicodeError):
        return _nothing(file)
    columns = {name: [row[place] for row in found] for place, name in enumerate(file.header)}
    return pl.DataFrame(columns, schema=dict.fromkeys(file.header, pl.String))


def _nothing(file: SourceFile) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys(file.header, pl.String))


def _paths(name: str, cells: pl.Series) -> Iterator[str]:
    """`name.key` for the keys of JSON objects, `name[].key` for those of lists of objects."""
    some = [parsed(cell) for cell in cells.head(_CELLS)]
    objects = [value for value in some if isinstance(value, dict)]
    lists = [value for value in some if isinstance(value, list)]
    if not some or len(objects) + len(lists) < len(some) * _MIN_SHARE_OF_OBJECTS:
        return
    yield from dict.fromkeys(path for value in objects for path in _inner(name, value))
    items = (item for value in lists for item in value if isinstance(item, dict))
    yield from dict.fromkeys(path for item in items for path in _inner(f"{name}[]", item))


def _inner(start: str, value: Mapping[str, Any]) -> Iterator[str]:
    for key, inner in value.items():
        yield f"{start}.{key}"
        if isinstance(inner, dict):
            yield from (f"{start}.{key}.{deeper}" for deeper in inner)
