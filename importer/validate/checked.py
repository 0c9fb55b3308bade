"""A table after the rules about its own rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from importer.read.table import Scanned
from importer.tables.rules import Rule


@dataclass(frozen=True, slots=True)
class Checked:
    """A table after the rules about its own rows. Every row that was read is either in `good` or in
    `fates`."""

    # The table as read.
    scanned: Scanned
    # All rules for its rows, by name.
    rules: Mapping[str, Rule]
    # How many rows were read.
    read: int
    # The same by file (an index into `scanned.origins`).
    rows_by_file: Mapping[int, int]
    # The rows that break no rule: GOOD (tables/frames.py), row signals, and all given columns, typed.
    # Messages that are not kept in full have only `signature` and `created_at`. Texts are in `bodies`.
    good: pl.LazyFrame
    # One line for every other row and each rule that it breaks: FATES.
    fates: pl.LazyFrame
    # How many tickets that are gathered from messages have rows with different values, by column.
    differing: Mapping[str, int]
    # For rejected tickets that are gathered from messages: which of their rows break a rule (`ticket_id`,
    # `rule`, `_file`, `_record`).
    at_fault: pl.LazyFrame | None = None
    # The distinct author signatures of messages: `signature` and AUTHOR_SIGNATURE.
    signatures: pl.LazyFrame | None = None
    # The texts of good rows: BODIES_OF_ROWS. None where texts are not kept.
    bodies: pl.LazyFrame | None = None
