"""Exports that are built, or damaged, such that reading them uses up time, memory or disk: a clear message."""

import csv
import errno
import gzip
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from importer.errors import SourceError
from importer.migration import file as config
from importer.read import limits
from importer.read.csv.exact_rows import _Lines, exact_rows
from importer.read.flaws import Flaw
from importer.read.frames import batches
from importer.read.look import look
from importer.read.parquet.frame import header
from importer.read.scan import scan as scan_tables
from importer.read.workdir import work_folder
from importer.validate.checked import Checked
from importer.validate.judge import judge_table

Migration = Callable[..., Path]
LONG = 1 << 16


def judged(path: Path, workdir: Path) -> Checked:
    loaded = config.load_migration(path)
    scan = scan_tables(loaded.source, loaded.folder, workdir)["tickets"]
    return judge_table(scan, timezone="UTC", workdir=workdir)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 64 KB are the longest, and structure is checked in chunks of 4 KB."""
    for module in ("csv.structure", "csv.exact_rows", "frames", "readable"):
        monkeypatch.setattr(f"importer.read.{module}.LONGEST_RECORD", LONG)
    monkeypatch.setattr("importer.read.csv.structure.CHUNK", 1 << 12)


# -- unpacked sizes


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_that_unpacks_to_too_much_is_refused(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, encoding: str
) -> None:
    monkeypatch.setattr("importer.read.source_file.UNPACKED_FREELY_BYTES", 1 << 20)
    data = ("ticket_id,subject\n" + f"1,{'0' * 1000}\n" * 20_000).encode(encoding)
    packed = gzip.compress(data) if suffix == "gz" else pa.compress(data, "zstd", asbytes=True)
    assert len(data) > len(packed) * limits.MOST_UNPACKED
    (tmp_path / f"tickets.csv.{suffix}").write_bytes(packed)
    with pytest.raises(
        SourceError, match=r"has [\d,]+ bytes, but unpacks to more than [\d,]+, .*unpack the file"
    ):
        judged(migration(f'tickets.files = "tickets.csv.{suffix}"'), tmp_path)


def test_a_repetitive_export_is_read(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shrinks to a fiftieth, as real ones do, and is unpacked on disk once."""
    monkeypatch.setattr("importer.read.source_file.UNPACKED_FREELY_BYTES", 1 << 20)
    text = "Hello, your order has been shipped. Kind regards, the team. " * 20
    data = ("ticket_id,subject\n" + "".join(f'{n},"{text}"\n' for n in range(5_000))).encode()
    (tmp_path / "tickets.csv.gz").write_bytes(packed := gzip.compress(data))
    assert len(data) > 50 * len(packed)
    table = judged(migration('tickets.files = "tickets.csv.gz"'), tmp_path)
    (file,) = table.scanned.files
    assert table.read == 5_000
    assert file.readable != file.path
    assert not file.is_copy
    assert file.readable.read_bytes() == data


@pytest.mark.parametrize("name", ["tickets.csv", "tickets.csv.gz"])
def test_a_full_disk_is_told(migration: Migration, tmp_path: Path, name: str) -> None:
    """A limit on the size of files stands for it. The first file is copied, since a row of it is too short."""
    data = b"ticket_id,subject\n" + b"".join(
        b"%d,%s\n" % (n, os.urandom(50).hex().encode()) for n in range(9_000)
    )
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data + b"1\n")
    path = migration(f'tickets.files = "{name}"')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, before[1]))
    try:
        with pytest.raises(
            SourceError, match="its copy in .* cannot be written, because the disk is full; free"
        ):
            judged(path, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_where_polars_writes(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sink(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError(f"IO error: No space left on device (os error {errno.ENOSPC})")

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", sink)
    with pytest.raises(SourceError, match=r"source\.tickets: its copy in .* set TMPDIR"):
        judged(migration(tickets="ticket_id,subject\n1,a\n"), tmp_path)


# -- columns


def test_a_header_with_too_many_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{n}" for n in range(100_000)) + "\n", "utf-8")
    with pytest.raises(
        SourceError, match=r"t\.csv:1: its header has 100,000 columns, and at most 10,000 are"
    ):
        look(path)
    path.write_text(",".join(f"c{n}" for n in range(limits.MOST_COLUMNS)) + "\n", "utf-8")
    assert len(look(path).header) == limits.MOST_COLUMNS


def test_a_header_that_is_nested_json_without_end_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("[" * 500_000, "utf-8")
    look(path)


def test_parquet_with_too_many_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    empty = pa.array([None], pa.null())
    pq.write_table(pa.table({f"c{n}": empty for n in range(limits.MOST_COLUMNS + 1)}), path)
    with pytest.raises(SourceError, match=r"t\.parquet: has 10,001 columns, and at most 10,000 are read"):
        look(path)


def test_many_columns_take_little_time_each(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They once took time in proportion to the square of their number: the schema was resolved for each."""
    resolve, schemas = pl.LazyFrame.collect_schema, []
    monkeypatch.setattr(pl.LazyFrame, "collect_schema", lambda self: schemas.append(1) or resolve(self))
    names = [f"c{n}" for n in range(500)]
    path = migration(tickets=f"ticket_id,{','.join(names)}\n1,{','.join(names)}\n")
    assert judged(path, tmp_path).read == 1
    assert len(schemas) < 100


# -- rows and cells of Parquet


def write_parquet(path: Path, values: pa.Array, **more: object) -> Path:
    pq.write_table(pa.table({"id": np.arange(len(values)), "x": values}), path, compression="zstd", **more)
    return path


def test_parquet_with_more_rows_than_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": pa.nulls(50_000_000)}), path, row_group_size=50_000_000)
    with pytest.raises(SourceError, match=r"says that it has 50,000,000 rows, which no export does"):
        header(path)


def test_parquet_with_a_long_cell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for values in (["a"] * 100 + ["x" * ((1 << 26) + 1)], ["x" * (3 << 26)]):
        write_parquet(path, pa.array(values), write_statistics=False)
        with pytest.raises(SourceError, match=r"t\.parquet: has a cell of [\d,]+ bytes in column 'x'"):
            header(path)
    nested = pa.array([["a"], ["x" * (1 << 25)] * 3])
    with pytest.raises(SourceError, match=r"has a cell of [\d,]+ bytes in column 'x'"):
        header(write_parquet(path, nested, write_statistics=False))
    assert header(write_parquet(path, pa.array(["x" * (1 << 25)] * 3), write_statistics=False))[1] == 3


@pytest.mark.parametrize("is_told", [True, False])
def test_equal_cells_that_unpack_to_too_much_are_refused(tmp_path: Path, is_told: bool) -> None:
    """Parquet stores each value once. The second file does not tell pyarrow that it does."""
    values = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(300_000, np.int32)), pa.array(["x" * (1 << 13)])
    )
    path = write_parquet(tmp_path / "t.parquet", values, write_statistics=False, store_schema=is_told)
    with pytest.raises(
        SourceError, match=r"has [\d,]+ bytes, but unpacks to more than [\d,]+, which no export"
    ):
        header(path)


def test_the_check_of_a_parquet_file_does_not_inherit_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it import what is beside the export."""
    path = write_parquet(tmp_path / "t.parquet", pa.array(["a"]))
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nopen({str(tmp_path / 'seen')!r}, 'w').write(','.join(os.environ))"
    )
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.chdir(tmp_path)
    assert header(path)[1] == 1
    assert not (tmp_path / "seen").exists()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DIXA_API_TOKEN", "secret")
    (tmp_path / "json.py").unlink()
    assert header(path)[1] == 1
    seen = (tmp_path / "seen").read_text().split(",")
    assert "PATH" in seen
    assert "DIXA_API_TOKEN" not in seen


# -- rows and cells of CSV


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("cell", ["x" * LONG * 3, "x\n" * LONG, 'say ""hi""\n' * LONG])
@pytest.mark.parametrize("checked_first", [1, 1 << 40])
def test_a_row_that_is_too_long_is_refused(
    migration: Migration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, checked_first: int
) -> None:
    monkeypatch.setattr("importer.read.readable.CHECKED_FIRST_BYTES", checked_first)
    path = migration(tickets=f'ticket_id,subject\n1,a\n2,"{cell}"\n3,b\n')
    with pytest.raises(
        SourceError, match=r"tickets\.csv: row 2 \(without the header\) has more than 65,536 bytes"
    ):
        judged(path, tmp_path)


@pytest.mark.usefixtures("short")
def test_a_row_that_is_almost_too_long_is_read(migration: Migration, tmp_path: Path) -> None:
    text = "x" * (LONG - 100)
    path = migration(tickets=f'ticket_id,subject\n1,a\n2,"{text}"\n3,"{text}"\n')
    assert judged(path, tmp_path).read == 3


@pytest.mark.usefixtures("short")
def test_an_open_quote_in_a_long_file_costs_one_row(migration: Migration, tmp_path: Path) -> None:
    """It looks like a row that is too long, but the quotes do not end with one."""
    rows = "".join(f"{n},text {n}\n" for n in range(20_000))
    path = migration(tickets=f'ticket_id,subject\na,"open\n{rows}')
    table = judged(path, tmp_path)
    assert table.read == 20_001
    assert table.fates.collect()["rule"].to_list() == ["row.quotes"]


@pytest.mark.usefixtures("short")
def test_a_line_that_is_too_long_costs_one_row_and_shows_its_beginning(
    migration: Migration, tmp_path: Path
) -> None:
    long = "x" * LONG * 5
    path = migration(tickets=f'ticket_id,subject\n1,a\n2,b "c" {long}\n3,"d"e\n4,f\n')
    table = judged(path, tmp_path)
    assert table.read == 4
    assert table.fates.sort("_record").collect()["rule"].to_list() == ["row.length", "row.quotes"]
    rows = list(exact_rows(look(tmp_path / "tickets.csv")))
    assert [row.flaw for row in rows] == [None, Flaw.LENGTH, Flaw.QUOTES, None]
    assert [row.line for row in rows] == [2, 3, 4, 5]
    assert max(map(len, rows[1].cells)) <= limits.SHOWN_OF_LONG


@pytest.mark.usefixtures("short")
def test_a_line_that_is_too_long_is_never_in_memory() -> None:
    lines = _Lines(io.StringIO("x" * LONG * 100 + "\nnext\n"))
    with pytest.raises(csv.Error):
        next(lines)
    assert len(lines.taken[0]) == LONG + 1
    lines.begin()
    assert next(lines) == "next\n"


@pytest.mark.usefixtures("short")
def test_a_batch_with_a_long_cell_is_not_worked_on(tmp_path: Path) -> None:
    pl.DataFrame({"a": ["x", "y" * (LONG + 1)]}).write_csv(tmp_path / "t.csv")
    with pytest.raises(pl.exceptions.ComputeError, match="a cell has 65,537 bytes"):
        list(batches(pl.scan_csv(tmp_path / "t.csv")))


def test_a_work_folder_is_private_and_removed() -> None:
    with work_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "x").write_text("x")
    assert not folder.exists()
