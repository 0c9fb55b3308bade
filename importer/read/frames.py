"""A file's own columns as a LazyFrame of text, CSV and Parquet alike."""

import polars as pl

from importer.read.files import SourceFile
from importer.read.parquet import parquet_frame
from importer.read.rows import Flaw


def raw_frame(file: SourceFile) -> pl.LazyFrame:
    """`_record`, `_flaw` and the file's columns, every cell text, an empty one null."""
    if file.kind == "parquet":
        return parquet_frame(file.readable, file.header).with_columns(_flaw=pl.lit(None, pl.String))
    names = ["_flaw", *file.header] if file.is_copy else list(file.header)
    frame = pl.scan_csv(
        file.readable,
        separator="," if file.is_copy else file.dialect.delimiter,
        infer_schema=False,
        row_index_name="_record",
        with_column_names=lambda _: names,
    )
    flaw = pl.when(pl.col("_flaw") != "").then("_flaw") if file.is_copy else _header_again(file)
    return frame.with_columns(_flaw=flaw)


def _header_again(file: SourceFile) -> pl.Expr:
    """A header inside a file, as of several that were put one behind the other."""
    same = [pl.col(name) == title for name, title in zip(file.header, file.titles, strict=True) if title]
    return pl.when(pl.all_horizontal(same)).then(pl.lit(Flaw.HEADER.value))
