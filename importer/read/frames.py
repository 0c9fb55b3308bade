"""The columns of a file as a lazy frame of text, for CSV and Parquet alike."""

from collections.abc import Iterator

import polars as pl
from polars.io.plugins import register_io_source

from importer.parse.distinct import rows_where_all
from importer.parse.fastpath import Evaluator, FullEvaluator
from importer.read.flaws import Flaw
from importer.read.limits import LONGEST_RECORD
from importer.read.parquet.frame import parquet_frame
from importer.read.source_file import SourceFile

# A batch ends at so many rows or bytes, whichever comes first.
_ROWS, _BYTES = 100_000, 1 << 26


def batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows of a file in large batches, in order.

    polars reads a CSV in pieces of a few thousand rows, and the overhead of Python on each would exceed the
    work on it. Where texts are long, a batch has fewer rows. A row group of Parquet is never split.

    Raises ComputeError for a cell that is too long: work on it needs many times its size.
    """
    held: list[pl.DataFrame] = []
    rows = size = 0
    for piece in frame.collect_batches(maintain_order=True, engine="streaming"):
        held.append(piece)
        rows += piece.height
        own = int(piece.estimated_size())
        if own > LONGEST_RECORD:
            _refuse_long_cells(piece)
        size += own
        if rows >= _ROWS or size >= _BYTES:
            yield pl.concat(held)
            held, rows, size = [], 0, 0
    if held:
        yield pl.concat(held)


def _refuse_long_cells(rows: pl.DataFrame) -> None:
    longest = rows.select(pl.max_horizontal(0, pl.col(pl.String).str.len_bytes().max())).item()
    if longest > LONGEST_RECORD:
        raise pl.exceptions.ComputeError(
            f"a cell has {longest:,} bytes, and at most {LONGEST_RECORD:,} are read"
        )


def in_batches(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The same rows in batches, with their number as `_record` (0-based)."""

    def handed_on(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = frame if columns is None else frame.select(columns)
        wanted = wanted if rows is None else wanted.head(rows)
        for batch in batches(wanted):
            yield batch if predicate is None else batch.filter(predicate)

    source = register_io_source(handed_on, schema=frame.collect_schema(), is_pure=True)
    # The number keeps polars from pushing filters, and with them our Python functions, into the source.
    return source.with_row_index("_record")


def source_frame(file: SourceFile) -> pl.LazyFrame:
    """`_record` (0-based, header not counted) and the file's columns as text, with null for empty cells. A
    copy has `_flaw` too."""
    if file.kind == "parquet":
        return parquet_frame(file.readable, file.header)
    return _csv(file, number="_record")


def raw_frame(file: SourceFile) -> pl.LazyFrame:
    """The same columns with `_flaw`, in batches for CSV."""
    frame = source_frame(file) if file.kind == "parquet" else in_batches(_csv(file))
    return with_flaw(frame, file, FullEvaluator())


def _csv(file: SourceFile, number: str | None = None) -> pl.LazyFrame:
    names = ["_flaw", *file.header] if file.is_copy else list(file.header)
    return pl.scan_csv(
        file.readable,
        separator="," if file.is_copy else file.dialect.delimiter,
        infer_schema=False,
        glob=False,
        with_column_names=lambda _: names,
        row_index_name=number,
    )


def with_flaw(frame: pl.LazyFrame, file: SourceFile, evaluator: Evaluator) -> pl.LazyFrame:
    """The frame with `_flaw`: what is wrong with the structure of a row, or null."""
    if file.is_copy:
        return frame.with_columns(_flaw=pl.when(pl.col("_flaw") != "").then("_flaw"))
    flaw = pl.lit(None, pl.String) if file.kind == "parquet" else _header_again(file, evaluator)
    return frame.with_columns(flaw.alias("_flaw"), *evaluator.plain())


def _header_again(file: SourceFile, evaluator: Evaluator) -> pl.Expr:
    """The flaw of a header inside a file, as in files that were concatenated."""
    titles = {name: title for name, title in zip(file.header, file.titles, strict=True) if title}
    if not titles:
        return pl.lit(None, pl.String)

    def repeats(rows: pl.Series) -> pl.Series:
        return rows_where_all(rows, lambda name, cells: cells == titles[name])

    first, title = next(iter(titles.items()))
    other = (pl.col(first) != title).fill_null(value=True)
    again = evaluator.rows(list(titles), repeats, none=other)
    return pl.when(again).then(pl.lit(Flaw.HEADER.value))
