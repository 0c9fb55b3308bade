"""A file's own columns as a LazyFrame of text, CSV and Parquet alike."""

from collections.abc import Iterator

import polars as pl
from polars.io.plugins import register_io_source

from importer.cells import where_all
from importer.read.files import SourceFile
from importer.read.parquet import parquet_frame
from importer.read.rows import Flaw

_BATCH = 40_000  # rows


def in_batches(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows with `_record`, their number, handed on many at a time: polars reads a CSV in pieces of a
    few thousand rows, and what Python has to say of each would cost more than the work on it."""

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = frame if columns is None else frame.select(columns)
        wanted = wanted if rows is None else wanted.head(rows)
        for batch in wanted.collect_batches(chunk_size=_BATCH, maintain_order=True, engine="streaming"):
            yield batch if predicate is None else batch.filter(predicate)

    source = register_io_source(batches, schema=frame.collect_schema(), is_pure=True)
    # Filters must not go past the number: polars would have to carry our functions into the source.
    return source.with_row_index("_record")


def raw_frame(file: SourceFile) -> pl.LazyFrame:
    """`_record`, `_flaw` and the file's columns, every cell text, an empty one null."""
    if file.kind == "parquet":
        return parquet_frame(file.readable, file.header).with_columns(_flaw=pl.lit(None, pl.String))
    names = ["_flaw", *file.header] if file.is_copy else list(file.header)
    frame = in_batches(
        pl.scan_csv(
            file.readable,
            separator="," if file.is_copy else file.dialect.delimiter,
            infer_schema=False,
            with_column_names=lambda _: names,
        )
    )
    flaw = pl.when(pl.col("_flaw") != "").then("_flaw") if file.is_copy else _header_again(file)
    return frame.with_columns(_flaw=flaw)


def _header_again(file: SourceFile) -> pl.Expr:
    """A header inside a file, as of several that were put one behind the other."""
    titles = {name: title for name, title in zip(file.header, file.titles, strict=True) if title}
    if not titles:
        return pl.lit(None, pl.String)

    def repeats(rows: pl.Series) -> pl.Series:
        return where_all(rows, lambda name, cells: cells == titles[name])

    again = pl.struct(list(titles)).map_batches(repeats, return_dtype=pl.Boolean, is_elementwise=True)
    return pl.when(again).then(pl.lit(Flaw.HEADER.value))
