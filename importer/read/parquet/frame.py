"""A Parquet file as the CSV that would hold the same data: every column text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from importer.errors import SourceError
from importer.parse.nested import as_json

# Row groups that polars reads ahead; each may be as large as all that else is in memory.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "1")


def header(path: Path) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """The columns' names, how many rows there are, and the paths into structs (`a.b`) and lists of them
    (`a[].b`), of a file that was read to its end in a process of its own. Raises SourceError for a damaged
    one, at which polars might panic, or pyarrow end the process."""
    command = [sys.executable, str(Path(__file__).with_name("check.py")), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if done.returncode == 0:
        names, rows, nested = json.loads(done.stdout)
        return tuple(names), int(rows), tuple(nested)
    said = done.stderr.strip().splitlines()
    fault = said[-1] if said and done.returncode > 0 else "reading it ends the program that reads it"
    raise SourceError(f"{path}: is a damaged Parquet file, or one that cannot be read rightly: {fault}")


def parquet_frame(path: Path, names: tuple[str, ...]) -> pl.LazyFrame:
    """`_record` (0-based) and every column as text, under these names."""
    frame = pl.scan_parquet(path, row_index_name="_record", glob=False, low_memory=True)
    schema = frame.collect_schema()
    own = [name for name in schema if name != "_record"]
    return frame.select(
        "_record", *(_as_text(old, schema[old]).alias(new) for old, new in zip(own, names, strict=True))
    )


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A Parquet column as the text that a CSV of the same data would hold: instants in ISO 8601, lists and
    structs as JSON. A list of nothing is an empty cell."""
    column = pl.col(name)
    if dtype == pl.String:
        return pl.when(column != "").then(column)
    if isinstance(dtype, pl.Datetime):
        return column.dt.to_string("iso:strict")
    if isinstance(dtype, pl.Duration):
        return column.dt.to_string("iso")
    if dtype == pl.Boolean:
        return pl.when(column).then(pl.lit("true")).when(~column).then(pl.lit("false"))
    if dtype == pl.Binary:
        return column.cast(pl.String, strict=False)
    if isinstance(dtype, pl.List):
        return pl.when(column.list.len() > 0).then(as_json(column))
    if dtype.is_nested():
        return pl.when(column.is_not_null()).then(as_json(column))
    return column.cast(pl.String, strict=False)
