"""A Table Schema (Frictionless) becomes typed columns and named rules, both polars expressions.

A rule's name is `column.constraint` in the schema's own words (`created_at.type`, `status.enum`), so that the
words of a report are those of the schema. Expressions work on frames in which every cell is text and an
empty cell is null; each column that is not text stands there once more, as `<column>` parsed beside
`raw.<column>` as it came. Two more rules have no word in the standard: `<column>.timezone`, a time without a
zone where none is configured, and `<column>.format`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import polars as pl

from importer.resources import SCHEMAS

TABLES = ("tickets", "messages", "people", "attachments")


FieldType = Literal["string", "datetime", "boolean", "integer", "array"]


@dataclass(frozen=True, slots=True)
class Field:
    """`beside` names a column in whose presence a cell that cannot be right does no harm: it does not go."""

    name: str
    type: FieldType
    format: str | None
    constraints: Mapping[str, Any]
    item_format: str | None
    example: str | None = None
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class TableSchema:
    name: str
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.constraints.get("required"))

    @property
    def primary(self) -> str | None:
        """The column that tells records apart."""
        return next(iter(self.unique), None)

    @property
    def unique(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.constraints.get("unique"))

    def dtype(self, name: str) -> pl.DataType:
        """What the column holds once it is typed."""
        kind = next(field.type for field in self.fields if field.name == name)
        return _DTYPES.get(kind, pl.String())


@cache
def load(table: str, folder: Path = SCHEMAS / "tables") -> TableSchema:
    """The schema of one canonical table, from `<folder>/<table>.json`."""
    data = json.loads((folder / f"{table}.json").read_text("utf-8"))
    return TableSchema(data["name"], tuple(_field(item) for item in data["fields"]))


def fold(name: str) -> str:
    """A header as it is compared: without case, blanks, `_` and `-`."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def _field(item: Mapping[str, Any]) -> Field:
    return Field(
        name=item["name"],
        type=item["type"],
        format=item.get("format"),
        constraints=item.get("constraints", {}),
        item_format=item.get("arrayItem", {}).get("format"),
        example=item.get("example"),
        beside=item.get("beside"),
    )


_DTYPES: Mapping[str, pl.DataType] = {
    "datetime": pl.Datetime("us", "UTC"),
    "boolean": pl.Boolean(),
    "integer": pl.Int64(),
    "array": pl.List(pl.String),
}
