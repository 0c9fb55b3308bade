"""polars must read the rows that the bytes have; otherwise a file is read again, row by row."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from importer.errors import SourceError
from importer.migration import file as config
from importer.read.csv.structure import Structure
from importer.read.scan import scan
from importer.resources import SAMPLES
from importer.validate.judge import judge_table


def test_a_file_that_polars_misreads_is_read_row_by_row(tmp_path: Path) -> None:
    migration = config.load_migration(SAMPLES / "helpdesk.toml")
    scanned = scan(migration.source, migration.folder, tmp_path)["messages"]
    (origin,) = scanned.table.origins
    assert origin.structure.result().records == 27
    wrong: Future[Structure] = Future()
    wrong.set_result(replace(origin.structure.result(), records=28))
    misread = replace(scanned, table=replace(scanned.table, origins=(replace(origin, structure=wrong),)))
    first, again = (
        judge_table(table, timezone="Europe/Copenhagen", workdir=tmp_path) for table in (scanned, misread)
    )
    assert not first.scanned.files[0].is_copy
    assert again.scanned.files[0].is_copy
    assert again.read == first.read == 26
    columns = ["_record", "message_id", "created_at", "body.hash"]
    assert again.good.select(columns).collect().equals(first.good.select(columns).collect())


def test_rows_that_polars_loses_from_a_parquet_file_are_an_error(
    migration: Callable[..., Path], tmp_path: Path
) -> None:
    pl.DataFrame({"ticket_id": ["1", "2"], "text": ["a", "b"]}).write_parquet(tmp_path / "m.parquet")
    loaded = config.load_migration(migration(source='messages.files = "m.parquet"'))
    scanned = scan(loaded.source, loaded.folder, tmp_path)["messages"]
    (origin,) = scanned.table.origins
    assert origin.rows == 2
    assert judge_table(scanned, timezone="UTC", workdir=tmp_path).read == 2
    origins = (replace(origin, file=replace(origin.file, rows=3)),)
    fewer = replace(scanned, table=replace(scanned.table, origins=origins))
    with pytest.raises(SourceError, match="2 of its 3 rows could be read"):
        judge_table(fewer, timezone="UTC", workdir=tmp_path)


def test_rows_whose_keys_collide_are_distinguished_by_their_ids(
    migration: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importer.validate.kept.id_hash", lambda name: pl.lit(7, pl.UInt64))
    loaded = config.load_migration(
        migration(messages="message_id,ticket_id,text\na,1,x\nb,1,x\na,1,x\nc,1,x\n")
    )
    scanned = scan(loaded.source, loaded.folder, tmp_path)["messages"]
    for whole in (True, False):
        checked = judge_table(scanned, timezone="UTC", workdir=tmp_path, whole=whole)
        assert checked.fates.select("_record", "rule").collect().rows() == [
            (0, "message_id.unique"),
            (2, "message_id.unique"),
        ]
        assert checked.good.select("_record").collect()["_record"].to_list() == [1, 3]
