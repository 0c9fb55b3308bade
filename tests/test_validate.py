"""What polars reads must be what the bytes have; otherwise a file is read again, row by row."""

from dataclasses import replace
from pathlib import Path

from importer import config, read
from importer.resources import SAMPLES
from importer.validate import validate


def test_a_file_that_polars_reads_otherwise_than_its_bytes_is_read_row_by_row(tmp_path: Path) -> None:
    migration = config.load(SAMPLES / "helpdesk.toml")
    scanned = read.scan(migration.source, migration.folder, tmp_path)["messages"]
    (origin,) = scanned.origins
    assert origin.records == 27
    misread = replace(scanned, origins=(replace(origin, records=28),))
    first, again = (
        validate(table, timezone="Europe/Copenhagen", workdir=tmp_path) for table in (scanned, misread)
    )
    assert not first.scanned.files[0].is_copy
    assert again.scanned.files[0].is_copy
    assert again.read == first.read == 26
    columns = ["_record", "message_id", "created_at", "body.hash"]
    assert again.good.select(columns).collect().equals(first.good.select(columns).collect())
