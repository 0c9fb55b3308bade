"""Read a Parquet file to its end with pyarrow, and print its column names, its number of rows, and the paths
into its structs and lists as JSON. It is a separate program, since a malicious file may crash the process
that reads it or use up its memory.

    python -m importer.read.parquet.check FILE
"""

import base64
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from importer.read.limits import (
    DEEPEST_STRUCT,
    LONGEST_RECORD,
    MOST_CLAIMED,
    MOST_COLUMNS,
    MOST_ROWS,
    MOST_UNPACKED,
    ROWS_FREELY,
    UNPACKED_FREELY_BYTES,
)
from importer.read.parquet import TOO_MUCH

# So many rows or bytes are read at once, as far as the footer says how many bytes a row has.
_BATCH_ROWS, _BATCH_BYTES = 1 << 15, 1 << 26
# The range of 64 bit nanoseconds, in which polars reads INT96.
_REACH_MICROSECONDS = ((1 << 63) - 1) // 1_000


# Of so many bytes, in which column.
_LONG_CELL = (
    f"has a cell of {{:,}} bytes in column {{!r}}, and at most {LONGEST_RECORD:,} are read; shorten it"
)


class _TooMuch(Exception):
    """The file is more than can be read; the text says of what, and what to do."""


@dataclass(slots=True)
class _Counted:
    """What was read: rows, and bytes of texts."""

    rows: int = 0
    text: int = 0

    def add(self, text: int, size: int) -> None:
        """Add bytes of texts. Raises _TooMuch where they are too many for a file of so many bytes."""
        self.text += text
        if self.text > max(most := size * MOST_UNPACKED, UNPACKED_FREELY_BYTES):
            raise _TooMuch(
                f"has {size:,} bytes, but unpacks to more than {max(most, UNPACKED_FREELY_BYTES):,}, which "
                "no export does; if it is one, write it again without compression"
            )


def main(path: Path) -> None:
    """Print what the file has. Raises SystemExit with a message where the file is damaged, and with TOO_MUCH
    where it is more than can be read."""
    _bound_memory()
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            size = path.stat().st_size
            _check_sizes(file.metadata, size)
            names = file.schema_arrow.names
            nested = [path for field in file.schema_arrow for path in _nested(field.name, field.type)]
            fault = next(_faults(file.metadata, size), None)
            if fault is None:
                found = _read(path, file.metadata, size)
                if found.rows != file.metadata.num_rows:
                    fault = f"it has {found.rows:,} rows, but its footer says {file.metadata.num_rows:,}"
    except _TooMuch as error:
        print(error, file=sys.stderr)
        sys.exit(TOO_MUCH)
    except MemoryError:
        print(
            "needs too much memory to be unpacked; write it with fewer rows in a row group", file=sys.stderr
        )
        sys.exit(TOO_MUCH)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        text = str(error).strip()
        fault = text.splitlines()[0] if text else type(error).__name__
    if fault is not None:
        sys.exit(fault)
    json.dump([names, found.rows, nested], sys.stdout)


def _bound_memory() -> None:
    """Let this process have half of the memory of the machine, so that it fails before the machine does."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (half if most < 0 else min(half, most), most))


def _check_sizes(metadata: pq.FileMetaData, size: int) -> None:
    """Raise _TooMuch where the footer of a file of so many bytes says that the file has too much of
    something."""
    if metadata.num_columns > MOST_COLUMNS:
        raise _TooMuch(
            f"has {metadata.num_columns:,} columns, and at most {MOST_COLUMNS:,} are read; keep only the "
            "columns that are needed"
        )
    rows = max(metadata.num_rows, sum(metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)))
    if rows > min(MOST_ROWS, max(ROWS_FREELY, size)):
        raise _TooMuch(
            f"has {size:,} bytes and says that it has {rows:,} rows, which no export does; write it again "
            "with the rows that it really has"
        )
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.total_uncompressed_size > max(chunk.num_values, 1) * LONGEST_RECORD:
                raise _TooMuch(
                    _LONG_CELL.format(
                        chunk.total_uncompressed_size // max(chunk.num_values, 1), chunk.path_in_schema
                    )
                )
    schema = metadata.schema
    deep = (schema.column(n).path.count(".") for n in range(metadata.num_columns))
    if (depth := max(deep, default=0)) > DEEPEST_STRUCT:
        raise _TooMuch(
            f"has values that are nested {depth:,} levels deep, and at most {DEEPEST_STRUCT} are read; write "
            "them as JSON"
        )


def _read(path: Path, metadata: pq.FileMetaData, size: int) -> _Counted:
    """Read the file to its end. Raises ValueError for damaged columns, _TooMuch where it unpacks to too
    much."""
    workers = os.cpu_count() or 1
    groups = [range(first, metadata.num_row_groups, workers) for first in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(partial(_read_groups, path, size), groups))
    whole = _Counted(sum(one.rows for one in found))
    whole.add(sum(one.text for one in found), size)
    return whole


def _nested(path: str, kind: pa.DataType) -> Iterator[str]:
    """The paths `a.b` of fields of structs, and `a[].b` of fields of lists of structs."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        path, kind = f"{path}[]", kind.value_type
    for number in range(kind.num_fields) if pa.types.is_struct(kind) else ():
        inner = kind.field(number)
        yield f"{path}.{inner.name}"
        yield from _nested(f"{path}.{inner.name}", inner.type)


def _read_groups(path: Path, size: int, groups: range) -> _Counted:
    """Read some row groups of a file of so many bytes to their end. Raises ValueError for damaged columns,
    _TooMuch where they unpack to too much."""
    found = _Counted()
    with pq.ParquetFile(path, page_checksum_verification=True, coerce_int96_timestamp_unit="us") as file:
        for group in groups:
            _read_group(file, group, size, found)
    return found


def _read_group(file: pq.ParquetFile, group: int, size: int, found: _Counted) -> None:
    empty: Counter[str] = Counter()
    part = file.metadata.row_group(group)
    ticks = _ticks(file.metadata)
    chunks = {c.path_in_schema: c for c in (part.column(n) for n in range(part.num_columns))}
    fitting = _BATCH_BYTES * part.num_rows // max(part.total_byte_size, 1)
    rows = max(1, min(_BATCH_ROWS, fitting))
    for batch in file.iter_batches(rows, row_groups=[group], use_threads=False):
        found.rows += batch.num_rows
        for name, cells in zip(batch.schema.names, batch.columns, strict=True):
            empty[name] += cells.null_count
            found.add(_bytes_of_text(name, cells), size)
            if pa.types.is_decimal(cells.type):
                cells.validate(full=True)  # raises where a number has more digits than its type allows
            if name in chunks and chunks[name].physical_type == "INT96":
                _check_times(name, cells, ticks.get(name, 1))
    # A changed page without a checksum is detected by its statistics in the footer.
    for name, chunk in chunks.items():
        if name in empty and chunk.statistics is not None and chunk.statistics.has_null_count:
            said, counted = chunk.statistics.null_count, empty[name]
            if said != counted:
                raise ValueError(f"column {name!r} has {counted:,} empty cells, but its footer says {said:,}")


def _bytes_of_text(name: str, cells: pa.Array) -> int:
    """How many bytes of text or nested values are in the cells. Raises _TooMuch for a cell that is too
    long."""
    if pa.types.is_nested(cells.type):
        if cells.nbytes <= LONGEST_RECORD:
            return int(cells.nbytes)
        sizes = pa.array([cells.slice(row, 1).nbytes for row in range(len(cells))])
    elif pa.types.is_dictionary(cells.type):
        # Equal cells are one value, until they are read as texts.
        values = cells.dictionary
        sizes = pc.binary_length(values).take(cells.indices) if _is_text(values.type) else pa.array([0])
    elif _is_text(cells.type):
        sizes = pc.binary_length(cells)
    else:
        return 0
    if (longest := pc.max(sizes).as_py() or 0) > LONGEST_RECORD:
        raise _TooMuch(_LONG_CELL.format(longest, name))
    return int(pc.sum(sizes.cast(pa.int64())).as_py() or 0)


_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in _TEXTS)


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
            if unpacked > max(packed, 1 << 16) * MOST_CLAIMED:
                yield f"column {chunk.path_in_schema!r} would unpack to {unpacked:,} bytes"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
