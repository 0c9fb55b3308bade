"""A table after the rules that look at it alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from importer.read.table import Scanned
from importer.tables.rules import Rule


@dataclass(frozen=True, slots=True)
class Checked:
    """One table after the rules that look at it alone. Every row that was read is either in `good` or in
    `fates`."""

    # The table as it was read.
    scanned: Scanned
    # Every rule that its rows had to pass, by name.
    rules: Mapping[str, Rule]
    # How many rows were read, and how many of each file (by its index in `scanned.origins`).
    read: int
    rows_by_file: Mapping[int, int]
    # The rows that break no rule: GOOD (tables/frames.py), row signals, and all given columns, typed. Of
    # messages that are not kept whole only `signature` and `created_at`. Texts are in `bodies`.
    good: pl.LazyFrame
    # One line for every other row and every rule that it breaks: FATES.
    fates: pl.LazyFrame
    # Of tickets that are gathered out of messages: how many have rows that disagree, by column.
    differing: Mapping[str, int]
    # Of rejected tickets that are gathered out of messages: which of their rows break a rule themselves
    # (`ticket_id`, `rule`, `_file`, `_record`).
    at_fault: pl.LazyFrame | None = None
    # The different author signatures among messages: `signature` and AUTHOR_SIGNATURE.
    signatures: pl.LazyFrame | None = None
    # The texts of good rows, where they are kept: BODIES_OF_ROWS.
    bodies: pl.LazyFrame | None = None
