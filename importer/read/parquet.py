"""A Parquet file as the CSV that would hold the same data: every column text."""

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from importer.errors import SourceError

# No column of an export unpacks to so many times its size; a damaged count of bytes would end the process.
_MOST_UNPACKED = 10_000


def header(path: Path) -> tuple[str, ...]:
    """The columns' names. Raises SourceError for a damaged file: pyarrow tells where polars would panic or
    end the process, so its structure is looked at here before polars reads it."""
    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            fault = _fault(file.metadata, path.stat().st_size)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(f"{path}: is a damaged Parquet file: {first_line}") from None
    if fault or not names:
        raise SourceError(f"{path}: is a damaged Parquet file: {fault or 'it has no column'}")
    return names


def _fault(metadata: pq.FileMetaData, size: int) -> str | None:
    """What the sizes and places in the footer say that cannot be."""
    rows = 0
    for group in range(metadata.num_row_groups):
        part = metadata.row_group(group)
        rows += part.num_rows
        for number in range(part.num_columns):
            chunk = part.column(number)
            packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
            starts = (chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
            if min(*starts, packed, unpacked) < 0 or max(starts) + 1 > size or packed > size:
                return f"column {chunk.path_in_schema!r} would lie outside the file"
            if unpacked > max(packed, 1 << 16) * _MOST_UNPACKED:
                return f"column {chunk.path_in_schema!r} would unpack to {unpacked:,} bytes"
    if rows != metadata.num_rows:
        return f"its row groups have {rows:,} rows, its footer says {metadata.num_rows:,}"
    return None


def parquet_frame(path: Path, names: tuple[str, ...]) -> pl.LazyFrame:
    """`_record` (0-based) and every column as text, under these names."""
    frame = pl.scan_parquet(path, row_index_name="_record", glob=False)
    schema = frame.collect_schema()
    own = [name for name in schema if name != "_record"]
    return frame.select(
        "_record", *(_as_text(old, schema[old]).alias(new) for old, new in zip(own, names, strict=True))
    )


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A Parquet column as the text that a CSV of the same data would hold: instants in ISO 8601, lists and
    structs as JSON."""
    column = pl.col(name)
    if dtype == pl.String:
        return pl.when(column != "").then(column)
    if isinstance(dtype, pl.Datetime):
        return column.dt.to_string("iso:strict")
    if dtype == pl.Boolean:
        return pl.when(column).then(pl.lit("true")).when(~column).then(pl.lit("false"))
    if dtype == pl.Binary:
        return column.cast(pl.String, strict=False)
    if dtype.is_nested():
        wrapped = pl.struct(column.alias("x")).struct.json_encode()
        return pl.when(column.is_not_null()).then(wrapped.str.slice(5).str.head(-1))
    return column.cast(pl.String, strict=False)
