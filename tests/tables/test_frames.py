"""Frames that one folder passes to another have the columns and dtypes of tables/frames.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from importer.migration.file import load_migration
from importer.read.scan import scan
from importer.resources import SAMPLES
from importer.tables import frames

MIGRATIONS = ("helpdesk.toml", "helpdesk-parquet.toml", "helpdesk-integrations.toml")


def assert_has(frame: pl.LazyFrame | None, schema: pl.Schema) -> None:
    assert frame is not None
    found = frame.collect_schema()
    assert {name: found.get(name) for name in schema} == dict(schema)
    # The collected frame has the schema of the lazy one.
    assert frame.select(list(schema)).collect().schema == schema


@pytest.mark.parametrize("name", MIGRATIONS)
def test_read_hands_rows_of_text_to_validate(name: str, tmp_path: Path) -> None:
    migration = load_migration(SAMPLES / name)
    for found in scan(migration.source, migration.folder, tmp_path).values():
        frame = found.table.frame
        assert_has(frame, frames.SCANNED)
        others = [dtype for name, dtype in frame.collect_schema().items() if name not in frames.SCANNED]
        assert set(others) == {pl.String()}


@pytest.mark.parametrize("name", MIGRATIONS)
def test_validate_hands_good_rows_and_fates_to_relate(name: str, prepare: Callable[..., Any]) -> None:
    for table, checked in prepare(SAMPLES / name).tables.items():
        assert_has(checked.good, frames.GOOD)
        assert_has(checked.fates, frames.FATES)
        if table in frames.BODIES:
            assert_has(checked.bodies, frames.BODIES_OF_ROWS)


@pytest.mark.parametrize("name", MIGRATIONS)
def test_relate_hands_everything_that_goes_to_the_plan(name: str, prepare: Callable[..., Any]) -> None:
    related = prepare(SAMPLES / name).related
    assert_has(related.tickets, frames.TICKETS)
    assert_has(related.going, frames.GOING)
    assert_has(related.bodies, frames.BODIES_OF_ROWS)
    assert_has(related.authors, frames.AUTHORS)
    assert_has(related.contacts, frames.CONTACTS)
    assert_has(related.by_ticket, frames.MESSAGES_BY_TICKET)
    for fates in related.fates.values():
        assert_has(fates, frames.FATES)
