"""A Parquet file as a frame of text, equal to that of a CSV with the same data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

import importer
from importer.errors import SourceError
from importer.parse.nested import as_json
from importer.read.parquet import TOO_MUCH

# polars reads only one row group ahead, since one may be larger than everything else in memory.
os.environ.setdefault("POLARS_ROW_GROUP_PREFETCH_SIZE", "1")


def header(path: Path) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """The column names, the number of rows, and the paths into structs (`a.b`) and lists of structs
    (`a[].b`).

    A separate process reads the file to its end, since a damaged one may panic polars, crash pyarrow or use
    up the memory. Raises SourceError for such a file."""
    # It finds this package, nothing in the current folder, and no token.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIXA_")}
    own = str(Path(importer.__file__).parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "importer.read.parquet.check", str(path)]
    done = subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode == 0:
        names, rows, nested = json.loads(done.stdout)
        return tuple(names), int(rows), tuple(nested)
    said = done.stderr.strip().splitlines()
    if said and done.returncode == TOO_MUCH:
        raise SourceError(f"{path}: {said[-1]}")
    fault = said[-1] if said and done.returncode > 0 else "the process that reads it crashes"
    raise SourceError(f"{path}: is a damaged or unsupported Parquet file: {fault}")


def parquet_frame(path: Path, names: tuple[str, ...]) -> pl.LazyFrame:
    """`_record` (0-based) and every column as text, under the given names in order."""
    frame = pl.scan_parquet(path, row_index_name="_record", glob=False, low_memory=True)
    schema = frame.collect_schema()
    own = [name for name in schema if name != "_record"]
    return frame.select(
        "_record", *(_as_text(old, schema[old]).alias(new) for old, new in zip(own, names, strict=True))
    )


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as the text that a CSV with the same data would have: instants in ISO 8601, lists and structs
    as JSON. An empty list is an empty cell."""
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
