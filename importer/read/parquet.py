"""A Parquet file as the CSV that would hold the same data: every column text."""

from pathlib import Path

import polars as pl


def parquet_frame(path: Path) -> pl.LazyFrame:
    """`_record` (0-based) and every column as text."""
    frame = pl.scan_parquet(path, row_index_name="_record", glob=False)
    schema = frame.collect_schema()
    return frame.with_columns(_as_text(name, dtype) for name, dtype in schema.items() if name != "_record")


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A Parquet column as the text that a CSV of the same data would hold: instants in ISO 8601, lists and
    structs as JSON."""
    column = pl.col(name)
    if dtype == pl.String:
        return pl.when(column != "").then(column).alias(name)
    if isinstance(dtype, pl.Datetime):
        return column.dt.to_string("iso:strict").alias(name)
    if dtype == pl.Boolean:
        return pl.when(column).then(pl.lit("true")).when(~column).then(pl.lit("false")).alias(name)
    if dtype.is_nested():
        wrapped = pl.struct(column.alias("x")).struct.json_encode()
        return pl.when(column.is_not_null()).then(wrapped.str.slice(5).str.head(-1)).alias(name)
    return column.cast(pl.String, strict=False).alias(name)
