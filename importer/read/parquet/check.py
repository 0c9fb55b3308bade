"""Read a Parquet file to its end with pyarrow, and print its column names, its number of rows, and the paths
into its structs and lists as JSON. It is a separate program, since a malicious file may crash the process
that reads it.

    python check.py FILE
"""

import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# No column of an export unpacks to so many times its size. A damaged byte count could use up the memory.
_MOST_UNPACKED = 10_000
# Rows that are read at once.
_BATCH = 1 << 15
# The range of 64 bit nanoseconds, in which polars reads INT96.
_REACH_MICROSECONDS = ((1 << 63) - 1) // 1_000


def main(path: Path) -> None:
    """Print what the file has. Raises SystemExit with a message where the file is damaged."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            nested = [path for field in file.schema_arrow for path in _nested(field.name, field.type)]
            fault = next(_faults(file.metadata, path.stat().st_size), None)
            if fault is None:
                with ThreadPoolExecutor() as pool:
                    rows = sum(pool.map(partial(_rows, path), range(file.metadata.num_row_groups)))
                if rows != file.metadata.num_rows:
                    fault = f"it has {rows:,} rows, but its footer says {file.metadata.num_rows:,}"
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        text = str(error).strip()
        fault = text.splitlines()[0] if text else type(error).__name__
    if fault is not None:
        sys.exit(fault)
    json.dump([names, rows, nested], sys.stdout)


def _nested(path: str, kind: pa.DataType) -> Iterator[str]:
    """The paths `a.b` of fields of structs, and `a[].b` of fields of lists of structs."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        path, kind = f"{path}[]", kind.value_type
    for number in range(kind.num_fields) if pa.types.is_struct(kind) else ():
        inner = kind.field(number)
        yield f"{path}.{inner.name}"
        yield from _nested(f"{path}.{inner.name}", inner.type)


def _rows(path: Path, group: int) -> int:
    """The number of rows in a row group, counted by reading them all. Raises ValueError for damaged
    columns."""
    rows = 0
    empty: Counter[str] = Counter()
    with pq.ParquetFile(path, page_checksum_verification=True, coerce_int96_timestamp_unit="us") as file:
        part = file.metadata.row_group(group)
        ticks = _ticks(file.metadata)
        chunks = {c.path_in_schema: c for c in (part.column(n) for n in range(part.num_columns))}
        for batch in file.iter_batches(_BATCH, row_groups=[group], use_threads=False):
            rows += batch.num_rows
            for name, cells in zip(batch.schema.names, batch.columns, strict=True):
                empty[name] += cells.null_count
                if pa.types.is_decimal(cells.type):
                    cells.validate(full=True)  # raises where a number has more digits than its type allows
                if name in chunks and chunks[name].physical_type == "INT96":
                    _check_times(name, cells, ticks.get(name, 1))
    # A changed page without a checksum is detected by its statistics in the footer.
    for name, chunk in chunks.items():
        if name in empty and chunk.statistics is not None and chunk.statistics.has_null_count:
            said, found = chunk.statistics.null_count, empty[name]
            if said != found:
                raise ValueError(f"column {name!r} has {found:,} empty cells, but its footer says {said:,}")
    return rows


def _ticks(metadata: pq.FileMetaData) -> dict[str, int]:
    """The unit of each column of times in the footer's schema, in microseconds."""
    said = (metadata.metadata or {}).get(b"ARROW:schema")
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(said))) if said else pa.schema([])
    ticks = {"s": 1_000_000, "ms": 1_000}
    return {f.name: ticks.get(f.type.unit, 1) for f in schema if pa.types.is_timestamp(f.type)}


def _check_times(name: str, cells: pa.Array, tick: int) -> None:
    """Raise ValueError for times that polars would change without an error: it converts INT96 to the unit in
    the footer or to 64 bit nanoseconds, and neither can represent all of them."""
    micros = cells.view(pa.int64())
    if tick > 1 and (micros.drop_null().to_numpy() % tick).any():
        raise ValueError(
            f"column {name!r} (INT96) has times with more digits than the unit in its footer allows"
        )
    reach = pc.min_max(micros)
    least, most = reach["min"].as_py(), reach["max"].as_py()
    if least is not None and max(-least, most) > _REACH_MICROSECONDS:
        raise ValueError(
            f"column {name!r} (INT96) has times outside the years 1677 to 2262, which nanoseconds cannot "
            "represent; write it with microsecond timestamps, or without those times"
        )


def _faults(metadata: pq.FileMetaData, size: int) -> Iterator[str]:
    """Messages about sizes and positions in the footer that are impossible."""
    if not metadata.num_columns:
        yield "it has no columns"
    for group in range(metadata.num_row_groups):
        part = metadata.row_group(group)
        for number in range(part.num_columns):
            chunk = part.column(number)
            packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
            starts = (chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
            if min(*starts, packed, unpacked) < 0 or max(starts) + 1 > size or packed > size:
                yield f"column {chunk.path_in_schema!r} would be outside the file"
            if unpacked > max(packed, 1 << 16) * _MOST_UNPACKED:
                yield f"column {chunk.path_in_schema!r} would unpack to {unpacked:,} bytes"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
